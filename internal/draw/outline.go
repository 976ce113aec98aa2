package draw

import (
	"cmp"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/topology"
)

// narrowest is the length to which no text of an outline is shortened further.
const narrowest = 12

// Outline writes a topology as a tree, for terminals that a drawing does not
// fit: what is in what, and below each what it leads to.
func Outline(g topology.Graph, width int, o TextOptions, describe func(topology.Node) []Row) string {
	nodes, inside, leads := map[string]topology.Node{}, map[string][]topology.Node{}, map[string][]topology.Edge{}
	for _, n := range g.Nodes {
		nodes[n.ID] = n
	}
	for _, n := range g.Nodes {
		parent := n.Parent
		if _, ok := nodes[parent]; !ok {
			parent = ""
		}
		inside[parent] = append(inside[parent], n)
	}
	for _, e := range g.Edges {
		leads[e.From] = append(leads[e.From], e)
	}
	// As in the drawing: API Gateway's, the accounts, and what is outside.
	column := func(n topology.Node) int {
		if c, ok := columns[n.Kind]; ok {
			return c
		}
		return firstCustomer
	}
	slices.SortStableFunc(inside[""], func(a, b topology.Node) int { return cmp.Compare(column(a), column(b)) })
	var b strings.Builder
	write := func(depth int, r Row) {
		text := ""
		for _, c := range printable(Shorten(r.Text, max(width-2*depth, narrowest))) {
			text += string((&cell{char: c}).rune(o.ASCII))
		}
		if colour := colours[r.State]; o.Colour && colour != "" {
			text = colour + text + "\x1b[0m"
		}
		b.WriteString(strings.Repeat("  ", depth) + text + "\n")
	}
	var tree func(depth int, n topology.Node)
	tree = func(depth int, n topology.Node) {
		text := n.Label
		if n.Detail != "" {
			text += "  " + n.Detail
		}
		write(depth, Row{text, n.State})
		if describe != nil {
			for _, r := range describe(n) {
				write(depth+1, Row{strings.TrimSpace(r.Text), r.State})
			}
		}
		for _, e := range leads[n.ID] {
			if to, ok := nodes[e.To]; ok {
				write(depth+1, Row{"▶ " + to.Label, e.State})
			}
		}
		for _, m := range inside[n.ID] {
			tree(depth+1, m)
		}
	}
	for _, n := range inside[""] {
		tree(0, n)
	}
	return b.String()
}

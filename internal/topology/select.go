package topology

import (
	"cmp"
	"fmt"
	"slices"
)

// Filter says of what a topology is to be drawn; empty fields: of everything.
type Filter struct{ Account, VPC, API string }

// Select keeps what a filter names, and all that is connected with it.
func (g Graph) Select(f Filter) Graph {
	if f == (Filter{}) {
		return g
	}
	parents := map[string]string{}
	for _, n := range g.Nodes {
		parents[n.ID] = n.Parent
	}
	kept := map[string]bool{}
	var queue []string
	keep := func(id string) {
		if id != "" && !kept[id] {
			kept[id] = true
			queue = append(queue, id)
		}
	}
	for _, n := range g.Nodes {
		switch {
		case f.API != "" && (n.ID == f.API || n.Parent == f.API),
			f.VPC != "" && (n.ID == f.VPC || n.Parent == f.VPC || parents[n.Parent] == f.VPC),
			f.Account != "" && n.Account == f.Account:
			keep(n.ID)
		}
	}
	for len(queue) > 0 {
		id := queue[0]
		queue = queue[1:]
		keep(parents[id])
		for _, e := range g.Edges {
			if e.From == id {
				keep(e.To)
			}
			// What leads to an API is not what it is made of.
			if e.To == id && f.API == "" {
				keep(e.From)
			}
		}
		for _, n := range g.Nodes {
			if n.Parent == id && (n.Kind == Listener || n.Kind == Prefix) {
				keep(n.ID)
			}
		}
	}
	out := Graph{Counters: g.Counters}
	for _, n := range g.Nodes {
		if kept[n.ID] {
			out.Nodes = append(out.Nodes, n)
		}
	}
	for _, e := range g.Edges {
		if kept[e.From] && kept[e.To] {
			out.Edges = append(out.Edges, e)
		}
	}
	return out
}

// Condense has one row stand for those of a box that are more than limit.
// Rows with drops, then those that something leads to, are kept first. Edges
// are led to the row that stands for theirs.
func (g Graph) Condense(limit int) Graph {
	linked := map[string]bool{}
	for _, e := range g.Edges {
		linked[e.To] = true
	}
	rank := func(n Node) int {
		switch {
		case len(g.Of(n).Drops) > 0:
			return 0
		case linked[n.ID]:
			return 1
		}
		return 2
	}
	rows := map[string][]Node{}
	for _, n := range g.Nodes {
		if n.Kind == Host || n.Kind == Route || n.Kind == Listener || n.Kind == Prefix {
			rows[n.Parent] = append(rows[n.Parent], n)
		}
	}
	instead := map[string]string{}
	out := Graph{Counters: g.Counters}
	for parent, all := range rows {
		if len(all) <= limit {
			continue
		}
		slices.SortStableFunc(all, func(a, b Node) int { return cmp.Compare(rank(a), rank(b)) })
		for _, n := range all[limit-1:] {
			instead[n.ID] = parent + "/more"
		}
	}
	for _, n := range g.Nodes {
		if instead[n.ID] == "" {
			out.Nodes = append(out.Nodes, n)
			continue
		}
		i := slices.IndexFunc(out.Nodes, func(m Node) bool { return m.ID == instead[n.ID] })
		if i < 0 {
			i = len(out.Nodes)
			out.Nodes = append(out.Nodes, Node{ID: instead[n.ID], Kind: More, Parent: n.Parent, Account: n.Account})
		}
		out.Nodes[i].Interfaces = append(out.Nodes[i].Interfaces, n.Interfaces...)
	}
	for i, n := range out.Nodes {
		if n.Kind == More {
			out.Nodes[i].Label = fmt.Sprintf("… %d more", len(rows[n.Parent])-limit+1)
		}
	}
	seen := map[Edge]bool{}
	for _, e := range g.Edges {
		e.From, e.To = cmp.Or(instead[e.From], e.From), cmp.Or(instead[e.To], e.To)
		if !seen[e] {
			seen[e] = true
			out.Edges = append(out.Edges, e)
		}
	}
	return out
}

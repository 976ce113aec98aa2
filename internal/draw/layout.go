// Package draw draws a topology: API Gateway with its VPC on the left, the
// customers' accounts and VPCs right of it, on-premises networks on the right,
// and what leads from one to the other in between. Layout places everything on a grid of character cells;
// Text and SVG draw what it placed.
package draw

import (
	"cmp"
	"slices"
	"unicode/utf8"

	"github.com/isthmus-net/isthmus/internal/topology"
)

// Drawing is a topology on a grid. Sizes and places are in cells.
type Drawing struct {
	Width, Height int
	Frames        []Frame // outer ones first
	Boxes         []Box
	Lines         []Line
}

// Rect is a rectangle with its border in its outermost cells.
type Rect struct{ X, Y, Width, Height int }

// Frame holds boxes.
type Frame struct {
	Rect
	Kind  topology.Kind // empty for API Gateway's
	Title string
}

// Box is one thing with its rows.
type Box struct {
	Rect
	Kind  topology.Kind
	State topology.State
	Title string
	Rows  []Row
}

// Row is a line of text in a box.
type Row struct {
	Text  string
	State topology.State
}

// Point is a cell.
type Point struct{ X, Y int }

// Line leads from its first point to its last, where it has its arrow's head.
type Line struct {
	Points []Point
	State  topology.State
}

// columns of the kinds of box. What is left of firstCustomer is API Gateway's,
// what is right of lastCustomer is outside the accounts.
var columns = map[topology.Kind]int{
	topology.API: 0, topology.Link: 1, topology.ExecuteAPI: 1,
	topology.LinkEnd: 2, topology.Service: 2, topology.Endpoint: 2,
	topology.Balancer: 3, topology.CloudMap: 3, topology.Subnet: 4, topology.VPNGateway: 4,
	topology.VirtualInterface: 5, topology.OnPremises: 6,
}

const (
	columnCount   = 7
	firstCustomer = 2
	lastCustomer  = 4
)

// Options are how to draw.
type Options struct {
	// MaxText is the length to which texts are shortened.
	MaxText int
	// Describe is what else is told of a node, in rows of its own.
	Describe func(topology.Node) []Row
}

// piece is a box on its way to its place.
type piece struct {
	Box
	id     string
	parent string
	column int
	rows   map[string]int // row of each node in it; itself has -1
}

type layout struct {
	pieces []*piece
	of     map[string]*piece // by the id of a box or a row
	bottom int
	frames []Frame
	edges  []topology.Edge
}

// Layout places a topology.
func Layout(g topology.Graph, o Options) Drawing {
	l := &layout{of: map[string]*piece{}, edges: g.Edges}
	l.collect(g, o)
	l.placeCustomers(g, o)
	for _, column := range []int{1, 0, 5, 6} {
		l.placeBeside(column)
	}
	return l.placeColumns()
}

func (l *layout) collect(g topology.Graph, o Options) {
	say := func(p *piece, n topology.Node) {
		if o.Describe != nil {
			for _, r := range o.Describe(n) {
				p.Rows = append(p.Rows, Row{Shorten(r.Text, o.MaxText), r.State})
			}
		}
	}
	for _, n := range g.Nodes {
		column, ok := columns[n.Kind]
		if !ok {
			continue
		}
		p := &piece{id: n.ID, parent: n.Parent, column: column, rows: map[string]int{n.ID: -1}}
		p.Kind, p.State, p.Title = n.Kind, n.State, Shorten(n.Label, o.MaxText-2)
		if n.Detail != "" {
			p.Rows = append(p.Rows, Row{Shorten(n.Detail, o.MaxText), n.State})
		}
		say(p, n)
		l.pieces = append(l.pieces, p)
		l.of[n.ID] = p
	}
	for _, n := range g.Nodes {
		p := l.of[n.Parent]
		if p == nil || columns[n.Kind] != 0 || n.Kind == topology.API {
			continue
		}
		p.rows[n.ID] = len(p.Rows)
		l.of[n.ID] = p
		text := n.Label
		if n.Detail != "" {
			text += "  " + n.Detail
		}
		p.Rows = append(p.Rows, Row{Shorten(text, o.MaxText), n.State})
		say(p, n)
	}
	for _, p := range l.pieces {
		p.Width = utf8.RuneCountInString(p.Title) + 6
		for _, r := range p.Rows {
			p.Width = max(p.Width, utf8.RuneCountInString(r.Text)+4)
		}
		p.Height = len(p.Rows) + 2
	}
}

// placeCustomers stacks accounts, in them VPCs, in these the boxes of each
// column, and below the VPCs what is in none.
func (l *layout) placeCustomers(g topology.Graph, o Options) {
	y := 0
	for _, a := range g.Nodes {
		if a.Kind != topology.Account {
			continue
		}
		account := len(l.frames)
		l.frames = append(l.frames, Frame{Kind: topology.Account, Title: a.Label, Rect: Rect{Y: y}})
		y++
		for _, v := range g.Nodes {
			if v.Kind != topology.VPC || v.Parent != a.ID {
				continue
			}
			f := Frame{Kind: topology.VPC, Title: v.Label + "  " + v.Detail, Rect: Rect{Y: y}}
			f.Height = max(l.stack(v.ID, y+1)-y, 2)
			y += f.Height + 1
			l.frames = append(l.frames, f)
		}
		y = l.stack(a.ID, y)
		l.frames[account].Height = y - l.frames[account].Y
		y++
	}
	l.bottom = max(0, y-1)
}

// stack puts the boxes that are in a frame below each other in their columns,
// from a line of cells on, and returns the line after them and a free one; the
// same if there are none.
func (l *layout) stack(parent string, y int) int {
	bottom := y
	for column := firstCustomer; column <= lastCustomer; column++ {
		at := y
		for _, p := range l.pieces {
			if p.parent == parent && p.column == column {
				p.Y = at
				at += p.Height + 1
				bottom = max(bottom, at)
			}
		}
	}
	return bottom
}

// placeBeside puts the boxes of a column that is none of the customers' beside
// what they lead to, as far as there is room.
func (l *layout) placeBeside(column int) {
	inwards := func(other int) bool { return other > column }
	below := 1 // API Gateway's frame
	if column > lastCustomer {
		inwards, below = func(other int) bool { return other < column }, -1
	}
	var stack []*piece
	wish := map[*piece]int{}
	for _, p := range l.pieces {
		if p.column != column {
			continue
		}
		best := -1
		for _, e := range l.edges {
			if l.of[e.From] == p && l.of[e.To] != nil && inwards(l.of[e.To].column) {
				if to := l.of[e.To].Y; best < 0 || to < best {
					best = to
				}
			}
		}
		wish[p] = max(best, 1)
		stack = append(stack, p)
	}
	slices.SortStableFunc(stack, func(a, b *piece) int { return cmp.Compare(wish[a], wish[b]) })
	at := 1
	for _, p := range stack {
		p.Y = max(at, wish[p])
		at = p.Y + p.Height + 1
		l.bottom = max(l.bottom, at+below)
	}
}

// port is the line of cells at which edges meet a node.
func (l *layout) port(id string) int {
	p := l.of[id]
	if row := p.rows[id]; row >= 0 {
		return p.Y + 1 + row
	}
	return p.Y + min(1, len(p.Rows))
}

// Shorten cuts the middle out of texts longer than limit.
func Shorten(s string, limit int) string {
	r := []rune(s)
	if limit < 3 || len(r) <= limit {
		return s
	}
	head := (limit - 1) * 2 / 3
	return string(r[:head]) + "…" + string(r[len(r)-(limit-1-head):])
}

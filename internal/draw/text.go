package draw

import (
	"strings"
	"unicode/utf8"

	"github.com/isthmus-net/isthmus/internal/topology"
)

// TextOptions are how a terminal is drawn on.
type TextOptions struct {
	ASCII  bool
	Colour bool
}

// Sides to which a line leaves a cell.
const (
	north = 1 << iota
	east
	south
	west
)

// strokes are the characters for the sides of a cell.
var strokes = [16]rune{
	' ', '│', '─', '└', '│', '│', '┌', '├', '─', '┘', '─', '┴', '┐', '┤', '┬', '┼',
}

type cell struct {
	sides uint8
	char  rune // over the sides
	state topology.State
}

type canvas struct {
	width, height int
	cells         []cell
}

func (c *canvas) at(x, y int) *cell {
	if x < 0 || y < 0 || x >= c.width || y >= c.height {
		return &cell{} // what does not fit is cut off
	}
	return &c.cells[y*c.width+x]
}

// Text draws for a terminal.
func Text(d Drawing, o TextOptions) string {
	c := &canvas{width: d.Width, height: d.Height, cells: make([]cell, d.Width*d.Height)}
	for _, l := range d.Lines {
		c.line(l)
	}
	for _, f := range d.Frames {
		c.border(f.Rect, "")
		c.write(f.X+2, f.Y, " "+f.Title+" ", "")
	}
	for _, b := range d.Boxes {
		c.clear(b.Rect)
		c.border(b.Rect, b.State)
		c.write(b.X+2, b.Y, " "+b.Title+" ", b.State)
		for i, r := range b.Rows {
			c.write(b.X+2, b.Y+1+i, r.Text, r.State)
		}
	}
	for _, l := range d.Lines {
		c.head(l)
	}
	return c.string(o)
}

func (c *canvas) clear(r Rect) {
	for y := r.Y; y < r.Y+r.Height; y++ {
		for x := r.X; x < r.X+r.Width; x++ {
			*c.at(x, y) = cell{}
		}
	}
}

func (c *canvas) border(r Rect, s topology.State) {
	right, bottom := r.X+r.Width-1, r.Y+r.Height-1
	c.segment(Point{r.X, r.Y}, Point{right, r.Y}, s)
	c.segment(Point{right, r.Y}, Point{right, bottom}, s)
	c.segment(Point{r.X, bottom}, Point{right, bottom}, s)
	c.segment(Point{r.X, r.Y}, Point{r.X, bottom}, s)
}

func (c *canvas) line(l Line) {
	for i := 1; i < len(l.Points); i++ {
		c.segment(l.Points[i-1], l.Points[i], l.State)
	}
}

// segment draws a horizontal or vertical stroke.
func (c *canvas) segment(a, b Point, s topology.State) {
	if a.X > b.X || a.Y > b.Y {
		a, b = b, a
	}
	for x := a.X; x <= b.X && a.Y == b.Y; x++ {
		p := c.at(x, a.Y)
		p.state = s
		if x > a.X {
			p.sides |= west
		}
		if x < b.X {
			p.sides |= east
		}
	}
	for y := a.Y; y <= b.Y && a.X == b.X; y++ {
		p := c.at(a.X, y)
		p.state = s
		if y > a.Y {
			p.sides |= north
		}
		if y < b.Y {
			p.sides |= south
		}
	}
}

// head draws the arrow's head.
func (c *canvas) head(l Line) {
	n := len(l.Points)
	if n < 2 {
		return
	}
	p := c.at(l.Points[n-1].X, l.Points[n-1].Y)
	if p.char = '▶'; l.Points[n-2].X > l.Points[n-1].X {
		p.char = '◀'
	}
	p.state = l.State
}

func (c *canvas) write(x, y int, text string, s topology.State) {
	for _, r := range printable(text) {
		p := c.at(x, y)
		p.char, p.state = r, s
		x++
	}
}

// printable replaces what would move a terminal's cursor or has no width.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

var colours = map[topology.State]string{topology.Good: "\x1b[32m", topology.Waiting: "\x1b[33m", topology.Bad: "\x1b[31m"}

func (c *canvas) string(o TextOptions) string {
	var b strings.Builder
	for y := range c.height {
		var line strings.Builder
		state := topology.State("")
		end := c.width
		for end > 0 && c.at(end-1, y).blank() {
			end--
		}
		for x := range end {
			p := c.at(x, y)
			if o.Colour && p.state != state && !p.blank() {
				line.WriteString("\x1b[0m" + colours[p.state])
				state = p.state
			}
			line.WriteRune(p.rune(o.ASCII))
		}
		if state != "" {
			line.WriteString("\x1b[0m")
		}
		b.WriteString(line.String() + "\n")
	}
	return b.String()
}

func (p *cell) blank() bool { return (p.char == 0 || p.char == ' ') && (p.sides == 0 || p.char != 0) }

func (p *cell) rune(ascii bool) rune {
	r := p.char
	if r == 0 {
		r = strokes[p.sides&15]
	}
	if !ascii || r < 0x7f {
		return r
	}
	switch r {
	case '▶':
		return '>'
	case '◀':
		return '<'
	case '│':
		return '|'
	case '─':
		return '-'
	case '…':
		return '~'
	}
	if p.char == 0 {
		return '+'
	}
	return '?'
}

package draw

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/isthmus-net/isthmus/internal/topology"
)

// Sizes of a cell, and of the margin, in pixels.
const (
	cellWidth  = 7.25
	cellHeight = 18.0
	margin     = 16.0
)

// fills are the colours of boxes: light, and of their titles.
var fills = map[topology.Kind][2]string{
	topology.API: {"#fdf2fa", "#b5247f"}, topology.Link: {"#f4f0ff", "#5f3dc4"}, topology.ExecuteAPI: {"#f4f0ff", "#5f3dc4"},
	topology.LinkEnd: {"#f4f0ff", "#5f3dc4"}, topology.Service: {"#f4f0ff", "#5f3dc4"}, topology.Endpoint: {"#f4f0ff", "#5f3dc4"},
	topology.Balancer: {"#eef6ff", "#1864ab"}, topology.CloudMap: {"#eef6ff", "#1864ab"}, topology.Subnet: {"#f3faf0", "#3b7a1e"},
	topology.VPNGateway: {"#f4f0ff", "#5f3dc4"}, topology.VirtualInterface: {"#fff4e6", "#a34700"}, topology.OnPremises: {"#f1f3f5", "#495057"},
}

// frameColours are the borders of frames.
var frameColours = map[topology.Kind]string{"": "#b5247f", topology.Account: "#868e96", topology.VPC: "#5f3dc4"}

var strokeColours = map[topology.State]string{topology.Good: "#2b8a3e", topology.Waiting: "#e67700", topology.Bad: "#e03131", "": "#868e96"}

var textColours = map[topology.State]string{topology.Good: "#343a40", topology.Waiting: "#b35c00", topology.Bad: "#c92a2a", "": "#343a40"}

// SVG draws a picture.
func SVG(d Drawing) string {
	var b strings.Builder
	w, h := float64(d.Width)*cellWidth+2*margin, float64(d.Height)*cellHeight+2*margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace" font-size="11.5">`+"\n", w, h, w, h)
	b.WriteString("<defs>\n")
	for _, s := range []topology.State{topology.Good, topology.Waiting, topology.Bad, ""} {
		fmt.Fprintf(&b, `<marker id="head%s" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0.5 8 4 0 7.5Z" fill="%s"/></marker>`+"\n", s, strokeColours[s])
	}
	b.WriteString("</defs>\n")
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" fill="#ffffff"/>`+"\n", w, h)
	for _, f := range d.Frames {
		frame(&b, f)
	}
	for _, l := range d.Lines {
		line(&b, l)
	}
	for _, x := range d.Boxes {
		box(&b, x)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// centre is the middle of a cell.
func centre(x, y int) (float64, float64) {
	return margin + (float64(x)+0.5)*cellWidth, margin + (float64(y)+0.5)*cellHeight
}

// corners are the middles of a rectangle's corner cells.
func corners(r Rect) (x, y, w, h float64) {
	x, y = centre(r.X, r.Y)
	return x, y, float64(r.Width-1) * cellWidth, float64(r.Height-1) * cellHeight
}

func text(b *strings.Builder, x, y float64, fill, extra, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="%s"%s xml:space="preserve">%s</text>`+"\n", x, y, fill, extra, escape(s))
}

// escape makes text that may stand in XML.
func escape(s string) string {
	var b strings.Builder
	// A strings.Builder takes everything.
	_ = xml.EscapeText(&b, []byte(printable(s)))
	return b.String()
}

func frame(b *strings.Builder, f Frame) {
	x, y, w, h := corners(f.Rect)
	fill, dash := "none", ""
	switch f.Kind {
	case topology.Account:
		fill, dash = "#f8f9fa", ` stroke-dasharray="6 4"`
	case topology.VPC, "":
		fill = "#ffffff"
	}
	colour := frameColours[f.Kind]
	fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="8" fill="%s" stroke="%s" stroke-width="1.3"%s/>`+"\n", x, y, w, h, fill, colour, dash)
	// The title interrupts the border.
	fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="4" fill="%s"/>`+"\n", x+cellWidth*2, y-2, float64(len([]rune(f.Title))+1)*cellWidth, backdrop(f.Kind))
	text(b, x+cellWidth*2.5, y+4, colour, ` font-weight="bold"`, f.Title)
}

func backdrop(k topology.Kind) string {
	if k == topology.VPC {
		return "#f8f9fa"
	}
	return "#ffffff"
}

func line(b *strings.Builder, l Line) {
	if len(l.Points) < 2 {
		return
	}
	var path strings.Builder
	for i, p := range l.Points {
		x, y := centre(p.X, p.Y)
		// The ends reach the borders of the boxes.
		switch {
		case i == 0:
			x -= sign(l.Points[1].X-p.X, 1) * cellWidth
		case i == len(l.Points)-1:
			x += sign(p.X-l.Points[i-1].X, 1) * cellWidth * 0.85
		}
		fmt.Fprintf(&path, "%.1f,%.1f ", x, y)
	}
	dash := ""
	if l.State == topology.Bad {
		dash = ` stroke-dasharray="4 3"`
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.4" stroke-linejoin="round"%s marker-end="url(#head%s)"/>`+"\n",
		strings.TrimSpace(path.String()), strokeColours[l.State], dash, l.State)
}

func sign(n int, zero float64) float64 {
	switch {
	case n > 0:
		return 1
	case n < 0:
		return -1
	}
	return zero
}

func box(b *strings.Builder, x Box) {
	left, top, w, h := corners(x.Rect)
	colours := fills[x.Kind]
	border := colours[1]
	if x.State == topology.Bad || x.State == topology.Waiting {
		border = strokeColours[x.State]
	}
	top -= cellHeight / 2
	h += cellHeight / 2
	fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="5" fill="%s" stroke="%s" stroke-width="1.3"/>`+"\n", left, top, w, h, colours[0], border)
	fmt.Fprintf(b, `<path d="M%.1f %.1fv-%.1fa5 5 0 0 1 5-5h%.1fa5 5 0 0 1 5 5v%.1fz" fill="%s"/>`+"\n", left, top+cellHeight, cellHeight-5, w-10, cellHeight-5, border)
	text(b, left+cellWidth*1.2, top+13, "#ffffff", ` font-weight="bold"`, x.Title)
	for i, r := range x.Rows {
		_, y := centre(x.X, x.Y+1+i)
		text(b, left+cellWidth*1.2, y+4, textColours[r.State], "", r.Text)
	}
}

package draw

import (
	"cmp"
	"slices"

	"github.com/isthmus-net/isthmus/internal/topology"
)

// way is an edge on its way to become a line.
type way struct {
	edge     topology.Edge
	from, to *piece
	y1, y2   int
	channel  int  // right of the column of this number
	fromLeft bool // leaves its box on the left
	toRight  bool // arrives on the right
	lane     int
}

// The cells between a frame's border and what is in it.
const padding = 2

// placeColumns gives every column and every channel between them a place, and
// leads the edges through the channels.
func (l *layout) placeColumns() Drawing {
	ways, lanes := l.ways()
	var x, width [columnCount]int
	for _, p := range l.pieces {
		width[p.column] = max(width[p.column], p.Width)
	}
	channel := [columnCount]int{}
	at := padding
	gatewayRight, customersLeft, customersRight := 0, 0, 0
	for c := range columnCount {
		x[c] = at
		at += width[c]
		if c == firstCustomer-1 {
			at += padding
			gatewayRight = at - 1
		}
		if c == lastCustomer {
			if width[c] > 0 {
				at += padding
			}
			if customersRight = at + padding; width[c+1] > 0 {
				at += 2 * padding
			}
		}
		channel[c] = at
		if lanes[c] > 0 || c == firstCustomer-1 {
			at += 2*lanes[c] + 2
		} else if width[c] > 0 && c != lastCustomer {
			at += 2
		}
		if c == firstCustomer-1 {
			customersLeft = at
			at += 2 * padding
		}
	}
	d := Drawing{Height: l.bottom}
	d.Width = max(at, customersRight)
	for _, f := range l.frames {
		f.X, f.Width = customersLeft, customersRight-customersLeft
		if f.Kind == topology.VPC {
			f.X, f.Width = f.X+padding, f.Width-2*padding
		}
		// A frame is at least as wide as its title.
		f.Title = Shorten(f.Title, f.Width-6)
		d.Frames = append(d.Frames, f)
	}
	if width[0]+width[1] > 0 {
		d.Frames = append([]Frame{{Title: Shorten("Amazon API Gateway and its VPC", gatewayRight-4), Rect: Rect{Width: gatewayRight + 1, Height: l.bottom}}}, d.Frames...)
	}
	for _, p := range l.pieces {
		p.X, p.Width = x[p.column], width[p.column]
		d.Boxes = append(d.Boxes, p.Box)
	}
	for _, w := range ways {
		d.Lines = append(d.Lines, w.line(channel[w.channel]+1+2*w.lane))
	}
	return d
}

// ways finds the channel of each edge, and a lane in it: edges of one source
// share theirs, others do so only if they do not meet.
func (l *layout) ways() ([]*way, [columnCount]int) {
	var ways []*way
	for _, e := range l.edges {
		from, to := l.of[e.From], l.of[e.To]
		if from == nil || to == nil || from == to {
			continue
		}
		w := &way{edge: e, from: from, to: to, y1: l.port(e.From), y2: l.port(e.To), channel: from.column}
		if to.column <= from.column {
			w.channel, w.fromLeft = from.column-1, true
			w.toRight = to.column < from.column
		}
		if w.channel >= 0 {
			ways = append(ways, w)
		}
	}
	type trunk struct {
		channel int
		from    string
	}
	trunks := map[trunk][]*way{}
	var order []trunk
	for _, w := range ways {
		t := trunk{w.channel, w.edge.From}
		if trunks[t] == nil {
			order = append(order, t)
		}
		trunks[t] = append(trunks[t], w)
	}
	span := func(t trunk) (low, high int) {
		low = trunks[t][0].y1
		high = low
		for _, w := range trunks[t] {
			low, high = min(low, w.y2), max(high, w.y2)
		}
		return low, high
	}
	slices.SortStableFunc(order, func(a, b trunk) int {
		lowA, highA := span(a)
		lowB, highB := span(b)
		return cmp.Or(cmp.Compare(lowA, lowB), cmp.Compare(highB, highA))
	})
	var lanes [columnCount]int
	ends := map[[2]int]int{} // last line of cells taken in a lane of a channel
	for _, t := range order {
		low, high := span(t)
		lane := 0
		for lane < lanes[t.channel] && ends[[2]int{t.channel, lane}] >= low {
			lane++
		}
		lanes[t.channel] = max(lanes[t.channel], lane+1)
		ends[[2]int{t.channel, lane}] = high
		for _, w := range trunks[t] {
			w.lane = lane
		}
	}
	return ways, lanes
}

// line leads from the side of one box by way of a lane to the side of another.
func (w *way) line(lane int) Line {
	start := w.from.X + w.from.Width
	if w.fromLeft {
		start = w.from.X - 1
	}
	end := w.to.X - 1
	if w.toRight {
		end = w.to.X + w.to.Width
	}
	points := []Point{{start, w.y1}, {lane, w.y1}, {lane, w.y2}, {end, w.y2}}
	return Line{Points: slices.Compact(points), State: w.edge.State}
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/internal/draw"
	"github.com/isthmus-net/isthmus/internal/node"
	"github.com/isthmus-net/isthmus/internal/topology"
)

type showCmd struct {
	Account string        `help:"Show what is connected with this account only." placeholder:"ID"`
	VPC     string        `name:"vpc" help:"Show what is connected with this VPC only." placeholder:"ID"`
	API     string        `name:"api" help:"Show what this API leads to only." placeholder:"ID"`
	SVG     string        `name:"svg" help:"Write a picture to a file; - for the standard output." placeholder:"FILE"`
	JSON    bool          `name:"json" help:"Print the graph and its counters as JSON."`
	ASCII   bool          `name:"ascii" help:"Draw with ASCII characters."`
	Width   int           `help:"Columns to draw in; those of the terminal if it is not given." placeholder:"N"`
	Rows    int           `help:"How many interfaces, routes or listeners of one box are drawn; others are summed up." default:"8"`
	Watch   bool          `help:"Draw again and again, with rates."`
	Every   time.Duration `help:"How often, with --watch." default:"2s"`
}

func (showCmd) Help() string {
	return examples(`Draws what exists: APIs with their routes, VPC links, and the accounts and VPCs
that they lead into, with live counters of flows and of packets dropped; and
on-premises networks with their virtual interfaces, what BGP says of these, and
the prefixes that they have learned. Where the drawing is too wide for the
terminal, an outline is written.`,
		"isthmus show",
		"isthmus show --api a1b2c3d4e5 --watch",
		"isthmus show --account 111111111111 --ascii --width 160",
		"isthmus show --svg topology.svg",
		"isthmus show --json | jq .counters",
	)
}

// Limits of what is drawn, and the size when nobody says it.
const (
	fewestRows   = 2
	longestText  = 46
	shortestText = 12
	defaultWidth = 200
	fastestWatch = 200 * time.Millisecond
)

// Validate is called by kong.
func (c *showCmd) Validate() error {
	switch {
	case c.Rows < fewestRows:
		return fmt.Errorf("--rows is at least %d", fewestRows)
	case c.Watch && (c.JSON || c.SVG != ""):
		return errors.New("--watch draws in a terminal only")
	case c.Every < fastestWatch:
		return fmt.Errorf("--every is at least %s", fastestWatch)
	}
	return nil
}

func (c *showCmd) Run(ctx context.Context, env *Env, dir node.Dir) error {
	g, err := c.graph(ctx, dir)
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		e := json.NewEncoder(env.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(g)
	case c.SVG != "":
		picture := draw.SVG(c.layout(g, longestText, nil, 0))
		if c.SVG == "-" {
			_, err := io.WriteString(env.Stdout, picture)
			return err
		}
		return os.WriteFile(c.SVG, []byte(picture), 0o644)
	case !c.Watch:
		_, err := io.WriteString(env.Stdout, c.text(g, env, nil, 0))
		return err
	}
	for before, at := g, time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.Every):
		}
		if g, err = c.graph(ctx, dir); err != nil {
			return err
		}
		now := time.Now()
		if _, err := io.WriteString(env.Stdout, "\x1b[H\x1b[2J"+c.text(g, env, before.Counters, now.Sub(at))); err != nil {
			return err
		}
		before, at = g, now
	}
}

func (c *showCmd) graph(ctx context.Context, dir node.Dir) (topology.Graph, error) {
	var g topology.Graph
	conn, err := node.Call(ctx, dir.Socket(), "show", struct{}{}, &g)
	if err != nil {
		return g, err
	}
	conn.Close()
	return g.Select(topology.Filter{Account: c.Account, VPC: c.VPC, API: c.API}), nil
}

// text draws for a terminal: with texts as long as fit, or else an outline.
func (c *showCmd) text(g topology.Graph, env *Env, before map[string]topology.Counters, past time.Duration) string {
	width, colour := c.Width, false
	if f, ok := env.Stdout.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			colour = true
			if width == 0 {
				width = int(size.Col)
			}
		}
	}
	if width == 0 {
		width = defaultWidth
	}
	if env.Getenv("NO_COLOR") != "" {
		colour = false
	}
	o := draw.TextOptions{ASCII: c.ASCII, Colour: colour}
	for long := longestText; long >= shortestText; long-- {
		if d := c.layout(g, long, before, past); d.Width <= width {
			return draw.Text(d, o)
		}
	}
	g = g.Condense(c.Rows)
	return draw.Outline(g, width, o, describe(g, before, past))
}

func (c *showCmd) layout(g topology.Graph, long int, before map[string]topology.Counters, past time.Duration) draw.Drawing {
	g = g.Condense(c.Rows)
	return draw.Layout(g, draw.Options{MaxText: long, Describe: describe(g, before, past)})
}

// describe tells the counters of nodes, or their rates if there are counters of
// before.
func describe(g topology.Graph, before map[string]topology.Counters, past time.Duration) func(topology.Node) []draw.Row {
	old := topology.Graph{Counters: before}
	return func(n topology.Node) []draw.Row {
		if len(n.Interfaces) == 0 {
			return nil
		}
		now := g.Of(n)
		if before == nil {
			return counterRows(now)
		}
		return rateRows(now, old.Of(n), past)
	}
}

// counterRows tell counters that are not zero.
func counterRows(c topology.Counters) (rows []draw.Row) {
	if c.Flows > 0 {
		rows = append(rows, draw.Row{Text: fmt.Sprintf("  %s, %s packets, %sB", flows(c.Flows), short(c.Packets), short(c.Bytes))})
	}
	for _, reason := range slices.Sorted(maps.Keys(c.Drops)) {
		rows = append(rows, draw.Row{Text: fmt.Sprintf("  dropped %s: %s", short(c.Drops[reason]), reason), State: topology.Bad})
	}
	return rows
}

// rateRows tell what has been counted since. Flows that ended in between are
// missing.
func rateRows(now, before topology.Counters, past time.Duration) (rows []draw.Row) {
	rate := func(a, b uint64) string {
		if a < b {
			return "0"
		}
		return short(uint64(float64(a-b) / past.Seconds()))
	}
	if now.Flows > 0 {
		rows = append(rows, draw.Row{Text: fmt.Sprintf("  %s, %s packets/s, %sB/s", flows(now.Flows), rate(now.Packets, before.Packets), rate(now.Bytes, before.Bytes))})
	}
	for _, reason := range slices.Sorted(maps.Keys(now.Drops)) {
		rows = append(rows, draw.Row{Text: fmt.Sprintf("  dropped %s: %s, %s/s", short(now.Drops[reason]), reason, rate(now.Drops[reason], before.Drops[reason])), State: topology.Bad})
	}
	return rows
}

func flows(n int) string {
	if n == 1 {
		return "1 flow"
	}
	return fmt.Sprintf("%d flows", n)
}

// short is a number in three or four characters.
func short(n uint64) string {
	if n < 1000 {
		return strconv.FormatUint(n, 10)
	}
	f := float64(n)
	for _, unit := range "kMGTPE" {
		if f /= 1000; f < 999.5 {
			if f < 9.95 {
				return fmt.Sprintf("%.1f%c", f, unit)
			}
			return fmt.Sprintf("%.0f%c", f, unit)
		}
	}
	return strconv.FormatUint(n, 10)
}

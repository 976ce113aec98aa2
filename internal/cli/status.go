package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/isthmus-net/isthmus/internal/node"
)

type statusCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (statusCmd) Help() string {
	return examples("Shows what runs, what is connected, and why packets were dropped.",
		"isthmus status",
		"isthmus status --json | jq '.drops[] | select(.reason == \"sg-ingress\")'",
	)
}

func (c *statusCmd) Run(ctx context.Context, env *Env, dir node.Dir) error {
	var raw json.RawMessage
	conn, err := node.Call(ctx, dir.Socket(), "status", struct{}{}, &raw)
	if err != nil {
		return err
	}
	conn.Close()
	if c.JSON {
		return printJSON(env.Stdout, raw)
	}
	var s node.Status
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	return printStatus(env.Stdout, s, time.Now())
}

func printStatus(out io.Writer, s node.Status, now time.Time) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROCESS\tPID\tFOR\tRESTARTS\tPROBLEM")
	for _, p := range s.Processes {
		pid, since := "-", "-"
		if p.PID != 0 {
			pid, since = strconv.Itoa(p.PID), now.Sub(p.Since).Round(time.Second).String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", p.Role, pid, since, p.Restarts, p.Problem)
	}
	fmt.Fprintln(t, "\nINTERFACE\tKIND\tNETWORK\tADDRESSES\tNAMESPACE\tOWNER")
	for _, i := range s.Interfaces {
		var addresses []string
		for _, a := range i.Addresses {
			addresses = append(addresses, a.String())
		}
		where := i.Netns
		if i.Problem != "" {
			where = "missing: " + i.Problem
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", i.ID, i.Kind, i.Network, strings.Join(addresses, ","), dash(where), dash(i.Owner))
	}
	if len(s.Links) > 0 {
		fmt.Fprintln(t, "\nLINK\tFROM\tTO\tSTATE\tOWNER")
		for _, l := range s.Links {
			state := "closed"
			if l.Open {
				state = "open"
			}
			fmt.Fprintf(t, "%s\t%s (%s)\t%s (%s)\t%s\t%s\n", l.Kind, l.From, l.FromNetwork, dash(l.To), dash(l.ToNetwork), state, dash(l.Owner))
		}
	}
	if len(s.Drops) > 0 {
		fmt.Fprintln(t, "\nDROPPED\tREASON\tSENDER")
		for _, d := range s.Drops {
			fmt.Fprintf(t, "%d\t%s\t%s\n", d.Packets, d.Reason, dash(d.Interface))
		}
	}
	fmt.Fprintf(t, "\n%d flows\n", s.Flows)
	return t.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func printJSON(out io.Writer, raw json.RawMessage) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(raw)
}

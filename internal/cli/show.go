package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/isthmus-net/isthmus/internal/node"
)

type traceCmd struct {
	From   string         `required:"" help:"The sender: eni-…, or gateway." placeholder:"ENI"`
	Source netip.Addr     `help:"Source address; the sender's primary if it is not given." placeholder:"IP"`
	To     netip.AddrPort `required:"" help:"Destination; port 0 for icmp." placeholder:"IP:PORT"`
	Proto  string         `help:"Protocol: tcp, udp or icmp." enum:"tcp,udp,icmp" default:"tcp"`
	JSON   bool           `name:"json" help:"Print JSON."`
}

func (traceCmd) Help() string {
	return examples(`Explains step by step what becomes of the first packet of a flow, by the tables
that are in force. The exit status is 0 if it is forwarded and 3 if it is not.`,
		"isthmus trace --from eni-0a1b --to 10.0.1.10:80",
		"isthmus trace --from gateway --to 100.64.0.17:443 --json",
		"isthmus trace --from eni-0a1b --to 10.0.1.10:0 --proto icmp",
	)
}

// notForwarded is the exit status of a trace that ends in a drop.
const notForwarded = 3

func (c *traceCmd) Run(ctx context.Context, env *Env, dir node.Dir) error {
	params := struct {
		From     string         `json:"from"`
		Source   netip.Addr     `json:"source,omitzero"`
		To       netip.AddrPort `json:"to"`
		Protocol string         `json:"protocol"`
	}{c.From, c.Source, c.To, c.Proto}
	var raw json.RawMessage
	conn, err := node.Call(ctx, dir.Socket(), "trace", params, &raw)
	if err != nil {
		return err
	}
	conn.Close()
	var r traceResult
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("read trace: %w", err)
	}
	if c.JSON {
		err = printJSON(env.Stdout, raw)
	} else {
		err = r.print(env.Stdout)
	}
	if err == nil && r.Verdict != "forwarded" {
		return exitCode(notForwarded)
	}
	return err
}

// traceResult is what the control process answers.
type traceResult struct {
	Verdict string `json:"verdict"`
	Steps   []struct {
		At   string `json:"at"`
		Text string `json:"text"`
	} `json:"steps"`
	Source      netip.AddrPort `json:"source"`
	Destination netip.AddrPort `json:"destination"`
}

func (r traceResult) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, s := range r.Steps {
		fmt.Fprintf(w, "%d\t%s\t%s\n", i+1, s.At, s.Text)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Destination.IsValid() {
		fmt.Fprintf(out, "arrives as %s -> %s\n", r.Source, r.Destination)
	}
	_, err := fmt.Fprintln(out, r.Verdict)
	return err
}

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

// stopTimeout is how long a running isthmus may take to end.
const stopTimeout = time.Minute

type downCmd struct {
	Data    bool   `help:"Remove the data directory too."`
	DataDir string `help:"The data directory." default:"/var/lib/isthmus" env:"ISTHMUS_DATA_DIR"`
}

func (downCmd) Help() string {
	return examples(`Stops isthmus serve, ends the programs of isthmus run, and removes every
namespace, device, pinned object, mount and socket of the instance. What the AWS
API was told is kept for the next isthmus serve, unless --data is given.`,
		"isthmus down",
		"isthmus down --data",
	)
}

func (c *downCmd) Run(ctx context.Context, env *Env, dir node.Dir) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	lock, err := node.Stop(ctx, dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := node.Down(dir); err != nil {
		return err
	}
	if c.Data {
		if err := removeData(c.DataDir); err != nil {
			return err
		}
	}
	fmt.Fprintln(env.Stderr, "isthmus: everything is removed")
	return nil
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/isthmus-net/isthmus/internal/control"
	"github.com/isthmus-net/isthmus/internal/node"
	"github.com/isthmus-net/isthmus/internal/trace"
)

type traceCmd struct {
	From    string     `help:"The sender: eni-…, i-…, the path of a namespace, the id of a process in it, a version 2 VPC link, gateway; on-premises, an address or prefix that a virtual interface has learned, dxvif-… or dxvif-…/ADDRESS; or api:ID/STAGE." placeholder:"SENDER"`
	To      string     `help:"The destination: an address, eni-…, i-…, vpce-…, the name of an endpoint, load balancer or Cloud Map service, each with a port where there are several; or the URL of an API, or of a load balancer." placeholder:"DESTINATION"`
	API     string     `name:"api" help:"The API, as in --from api:ID/STAGE." placeholder:"ID"`
	Stage   string     `help:"Its stage." default:"$default"`
	Request string     `help:"The request, as the argument." placeholder:"\"GET /pets\""`
	Header  []string   `short:"H" sep:"none" help:"A header field of the request, as often as wanted." placeholder:"\"NAME: VALUE\""`
	Source  netip.Addr `help:"Source address; the sender's primary if it is not given." placeholder:"IP"`
	Proto   string     `help:"Protocol: tcp, udp or icmp." enum:"tcp,udp,icmp" default:"tcp"`
	JSON    bool       `name:"json" help:"Print JSON."`
	Words   []string   `arg:"" optional:"" name:"request" help:"The request to an API or a load balancer: METHOD PATH; METHOD alone for a URL."`
}

func (traceCmd) Help() string {
	return examples(`Explains hop by hop what becomes of a request to an API, or of the first packet
of a connection: how its addresses are rewritten, and which rule, route, state of
acceptance or of health stops it. A request that comes to an Application Load
Balancer is followed to the targets of the rule that it meets. The cause is told in
the words of the gateway's log, and of the balancer's. The exit status is 0 if it gets through and 1 if not.`,
		"isthmus trace --from eni-0a1b --to 10.0.1.10:80",
		"isthmus trace --from api:a1b2c3d4e5/prod GET /pets/7",
		"isthmus trace --to http://a1b2c3d4e5.execute-api.localhost:8080/prod/pets",
		"isthmus trace --from i-0a1b --to https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com/prod/pets",
		"isthmus trace --from /run/netns/office --to my-balancer:80 --json",
		"isthmus trace --from eni-0a1b --to my-balancer:80 -H 'Host: shop.example' GET /pets/7",
		"isthmus trace --from 192.168.50.10 --to my-balancer:80",
		"isthmus trace --from dxvif-0a1b/192.168.50.10 --to 10.0.1.10:80",
		"isthmus trace --from gateway --to vpce-0a1b:443",
		"isthmus trace --from eni-0a1b --to 10.0.1.10 --proto icmp",
	)
}

// notForwarded is the exit status of a trace that ends before its destination.
const notForwarded = 1

// params makes the question of the arguments.
func (c *traceCmd) params() (control.TraceParams, error) {
	p := control.TraceParams{From: c.From, Source: c.Source, To: c.To, Request: c.Request, Header: c.Header, Protocol: c.Proto}
	if len(c.Words) > 0 {
		if c.Request != "" {
			return p, errors.New("the request is given twice")
		}
		p.Request = strings.Join(c.Words, " ")
	}
	if c.API != "" {
		if c.From != "" {
			return p, errors.New("--api and --from exclude each other")
		}
		p.From = "api:" + c.API + "/" + c.Stage
	}
	route := strings.HasPrefix(p.From, "api:")
	switch {
	case route && p.To != "":
		return p, errors.New("the destination is what the route leads to: leave --to out")
	case route && !strings.Contains(p.Request, " /"):
		return p, errors.New(`the request is missing, such as "GET /pets"`)
	case !route && p.To == "":
		return p, errors.New("--to is missing")
	}
	return p, nil
}

// Validate is called by kong, so that a wrong question is one of arguments.
func (c *traceCmd) Validate() error {
	_, err := c.params()
	return err
}

func (c *traceCmd) Run(ctx context.Context, env *Env, dir node.Dir) error {
	params, err := c.params()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	conn, err := node.Call(ctx, dir.Socket(), "trace", params, &raw)
	if err != nil {
		return err
	}
	conn.Close()
	var r control.TraceResult
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("read trace: %w", err)
	}
	if c.JSON {
		err = printJSON(env.Stdout, raw)
	} else {
		err = printTrace(env.Stdout, r)
	}
	if err == nil && r.Verdict != "forwarded" {
		return exitCode(notForwarded)
	}
	return err
}

// printTrace prints a way for people: the hops numbered through, the
// addresses where they change, and the verdict at the end.
func printTrace(out io.Writer, r control.TraceResult) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	hop := 0
	for i, l := range r.Legs {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprint(w, l.From)
		if l.To != "" {
			fmt.Fprint(w, " → ", l.To)
		}
		fmt.Fprintln(w)
		hop = printSteps(w, l.Steps, hop)
		start := hop
		for j, way := range l.Ways {
			if len(l.Ways) > 1 {
				fmt.Fprintf(w, " %s\n", wayTitle(way, j, len(l.Ways)))
			}
			last := printSteps(w, way.Steps, start)
			printBalancers(w, way.Balancers)
			if way.Chosen {
				hop = last
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	text := r.Verdict
	if r.Cause != "" {
		text = "stopped: " + r.Cause
	}
	_, err := fmt.Fprintf(out, "\n%s\n", text)
	return err
}

func wayTitle(w control.Way, index, count int) string {
	text := fmt.Sprintf("way %d of %d", index+1, count)
	if w.Zone != "" {
		text += ", " + w.Zone
	}
	if w.Name != "" {
		text += ", " + w.Name
	}
	if w.Chosen {
		return text + " (chosen)"
	}
	return text
}

// printSteps prints hops and returns the number of the last.
func printSteps(w io.Writer, steps []trace.Step, hop int) int {
	before := ""
	for _, s := range steps {
		hop++
		addresses := ""
		if s.Destination.IsValid() {
			addresses = fmt.Sprintf("%s → %s", s.Source, s.Destination)
		}
		if addresses == before {
			addresses = ""
		} else {
			before = addresses
		}
		fmt.Fprintf(w, "  %d\t%s\t%s\t%s\n", hop, s.At, balancerARN.ReplaceAllString(s.Text, "$1"), addresses)
	}
	return hop
}

// balancerARN is too long for a line; the name tells enough here.
var balancerARN = regexp.MustCompile(`arn:aws:elasticloadbalancing:[^ ]*:(?:loadbalancer|listener)/[a-z]+/([^/ ]+)[^ :]*`)

func printBalancers(w io.Writer, balancers []control.BalancerView) {
	for _, b := range balancers {
		fmt.Fprintf(w, "  \t%s %s\ttargets of %s:\n", b.LoadBalancer, b.Listener, b.TargetGroup)
		for _, t := range b.Targets {
			mark, text := " ", t.State
			if t.Chosen {
				mark = "*"
			}
			if t.Description != "" {
				text += ": " + t.Description
			}
			fmt.Fprintf(w, "  \t\t%s %s in %s %s\n", mark, t.Address, t.Zone, text)
		}
	}
}

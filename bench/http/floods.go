package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/isthmus-net/isthmus/bench/http/internal/contest"
	"github.com/isthmus-net/isthmus/bench/internal/namespace"
	"github.com/isthmus-net/isthmus/bench/internal/report"
)

// floodsCase is what clients that send little cost other ones.
const floodsCase = "floods"

// floods are what is done with how many connections. Of those without a request
// there are more than ours accept.
var floods = []struct {
	kind        string
	connections int
}{
	{"none", 0}, {"silent", 11_000}, {"heads", 11_000}, {"idle", 11_000}, {"bodies", 2_000}, {"readers", 300}, {"hellos", 50},
}

// floodLength is how many rounds of the other cases are one of the floods': to open the
// connections takes most of it, and the slowest hundredth is to be more than a few requests.
const floodLength = 3

// floods measures what requests at a fixed rate take while other clients flood a
// contestant, beside what they take without that in the same round.
func (n *network) floods(ctx context.Context, r *report.Report, s *subject, program string, o options) error {
	t, err := s.at(cases[0])
	if err != nil {
		return err
	}
	secure, err := s.at(kase{door: tlsDoor, routes: 1})
	if err != nil {
		return err
	}
	pids, err := tree(s.pid)
	if err != nil {
		return err
	}
	// What is timed passes through these, and anything else that they wait for
	// would be taken for the flood's doing.
	for _, pid := range append(pids, n.backendPID) {
		if err := namespace.Urge(pid); err != nil {
			return err
		}
	}
	rounds, duration := (o.rounds+floodLength-1)/floodLength, floodLength*o.duration
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "bench/http: floods of %s, round %d of %d; load average %s\n", s.name, round+1, rounds, load())
		var undisturbed [2]float64
		for _, f := range floods {
			begun := time.Now()
			before, err := n.read(pids)
			if err != nil {
				return err
			}
			out, err := n.output(ctx, exec.Command(program, "-address", t.address, "-host", t.host, "-tls-address", secure.address, "-tls-name", secure.host,
				"-path", cases[0].paths()[0], "-large", contest.Prefix(0)+"1m", "-kind", f.kind,
				"-connections", strconv.Itoa(f.connections), "-duration", duration.String()))
			if err != nil {
				return fmt.Errorf("flood %s: %w", f.kind, err)
			}
			after, err := n.read(pids)
			if err != nil {
				return err
			}
			r.Add(f.kind, s.name, "flood_cpu", "", after.since(before).cpu.Seconds()/time.Since(begun).Seconds())
			var got contest.Flood
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				return fmt.Errorf("flood %s said %q: %w", f.kind, out, err)
			}
			for i, load := range []struct {
				name string
				contest.Timing
			}{{"kept", got.Kept}, {"new", got.New}} {
				name := f.kind + "-" + load.name
				r.Add(name, s.name, "flood_p50_us", "µs", load.P50)
				r.Add(name, s.name, "flood_p99_us", "µs", load.P99)
				if f.kind == "none" {
					undisturbed[i] = load.P99
				} else {
					r.Add(name, s.name, "flood_ratio", "", load.P99/undisturbed[i])
				}
				metric := "errors"
				if !s.ours {
					metric = "flood_errors" // which a peer may have
				}
				r.Add(name, s.name, metric, "", float64(load.Errors))
				if load.Errors > 0 {
					fmt.Fprintf(os.Stderr, "bench/http: flood %s of %s: %d of %d requests failed, the first: %s\n", name, s.name, load.Errors, load.Requests, load.Error)
				}
			}
			if f.kind != "none" {
				r.Add(f.kind, s.name, "flood_open", "", float64(got.Open))
				r.Add(f.kind, s.name, "flood_closed", "", float64(got.Closed))
			}
		}
	}
	return nil
}

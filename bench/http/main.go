// Command http measures what a request costs in a proxy: the gateway with a
// VPC link, an Application Load Balancer, and the engine below both, beside
// nginx, HAProxy, Caddy and Go's standard reverse proxy doing the same work.
//
// It needs root, nginx, haproxy, wrk and h2load; for the gateway and the load
// balancer bin/isthmus. Everything runs in network namespaces that it makes,
// and is removed at the end, also after a failure or an interrupt. All
// contestants have the same CPU, one after the other; clients and the backend
// have another.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/isthmus-net/isthmus/bench/internal/report"
)

// options are the command line's.
type options struct {
	cases, peers []string
	rounds       int
	duration     time.Duration
	connections  int
	profile      string
	binary       string
}

func main() {
	var o options
	only := flag.String("case", "", "measure these `cases` only, separated by commas; "+idleCase+" is the memory with many connections, "+floodsCase+" what slow clients cost others")
	peers := flag.String("peers", "", "measure these `contestants` only, separated by commas")
	flag.IntVar(&o.rounds, "rounds", 15, "how many `times` everything is measured, in turn")
	flag.DurationVar(&o.duration, "duration", time.Second, "how long one load lasts, in whole seconds: briefly, since machines change their speed from one second to the next")
	flag.IntVar(&o.connections, "connections", 64, "how many `connections` send requests at a time")
	flag.StringVar(&o.profile, "profile", "", "write profiles of our own processes, and counts of system calls of all, into this `directory`")
	flag.StringVar(&o.binary, "binary", "bin/isthmus", "the `program` that is measured")
	quick := flag.Bool("quick", false, "measure little, to see that everything works")
	flag.Parse()
	o.cases, o.peers = split(*only), split(*peers)
	if *quick {
		o.rounds = 1
	}
	// A reader of the output that leaves must not leave anything behind either.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	err := bench(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/http:", err)
		os.Exit(1)
	}
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// inMemory has the files of all contestants be made in memory: a disk that lags
// behind dozens of megabytes of their logs a second stops whoever writes to it.
func inMemory() {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() && os.Getenv("TMPDIR") == "" {
		os.Setenv("TMPDIR", shm)
	}
}

func bench(ctx context.Context, o options) (err error) {
	needs := []string{"wrk", "h2load"}
	if o.profile != "" {
		needs = append(needs, "perf")
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return err
		}
	}
	for _, needed := range needs {
		if _, err := exec.LookPath(needed); err != nil {
			return fmt.Errorf("it is not installed: %w", err)
		}
	}
	inMemory()
	dir, err := os.MkdirTemp("", "isthmus-bench-http-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var i *isthmus
	if chosen(o.peers, "gateway") || chosen(o.peers, "alb") {
		if i, err = startIsthmus(ctx, o.binary); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, i.close(err)) }()
	}
	n, err := newNetwork(dir, i)
	if err != nil {
		return err
	}
	backend, err := n.build(ctx, "backend")
	if err != nil {
		return err
	}
	if n.pacer, err = n.build(ctx, "pacer"); err != nil {
		return err
	}
	serving := exec.Command(backend, "-listen", fmt.Sprintf("0.0.0.0:%d", backendPort))
	if err := n.start(n.backend, n.backendCPU, serving); err != nil {
		return err
	}
	n.backendPID = serving.Process.Pid
	if i != nil {
		if err := i.bringUp(ctx, n); err != nil {
			return fmt.Errorf("set up Isthmus: %w", err)
		}
	}
	subjects, err := newSubjects(ctx, n, o.peers)
	if err != nil {
		return err
	}
	r := report.New("http")
	if err := n.run(ctx, r, subjects, o); err != nil {
		return err
	}
	if err := finish(r, subjects); err != nil {
		return err
	}
	return failures(r)
}

// warm has each contestant serve a case for a second that isn't counted: until then
// memory is new to a process, and so are the connections to its backend, and of one
// second these are more than the slowest hundredth.
func (n *network) warm(ctx context.Context, subjects []*subject, c kase, o options) error {
	o.duration = time.Second
	for _, s := range subjects {
		if _, err := n.measure(ctx, s.in(c), c, o); err != nil && !errors.Is(err, errUnsupported) {
			return fmt.Errorf("%s of %s: %w", c.name, s.name, err)
		}
	}
	return nil
}

// run measures all cases, each several times, in turn.
func (n *network) run(ctx context.Context, r *report.Report, subjects []*subject, o options) error {
	for _, c := range cases {
		if !chosen(o.cases, c.name) {
			continue
		}
		if err := n.warm(ctx, subjects, c, o); err != nil {
			return err
		}
		for round := range o.rounds {
			fmt.Fprintf(os.Stderr, "bench/http: %s, round %d of %d; load average %s\n", c.name, round+1, o.rounds, load())
			taken := map[string]float64{}
			for _, s := range subjects {
				m, err := n.measure(ctx, s.in(c), c, o)
				if errors.Is(err, errUnsupported) {
					if round == 0 {
						fmt.Fprintf(os.Stderr, "bench/http: %s of %s: %v\n", c.name, s.name, err)
					}
					continue
				}
				if err != nil {
					return fmt.Errorf("%s of %s: %w", c.name, s.name, err)
				}
				if m.others() > disturbed {
					fmt.Fprintf(os.Stderr, "bench/http: %s of %s: others have used %.0f %% of the CPU\n", c.name, s.name, 100*m.others())
				}
				m.add(r, c, s)
				taken[s.name] = m.perRequest(m.cpu)
			}
			addRatios(r, c, subjects, taken)
		}
		if o.profile == "" {
			continue
		}
		for _, s := range subjects {
			if err := n.look(ctx, r, s.in(c), c, o); err != nil && !errors.Is(err, errUnsupported) {
				return fmt.Errorf("profile %s of %s: %w", c.name, s.name, err)
			}
		}
	}
	if chosen(o.cases, idleCase) {
		for _, s := range subjects {
			if err := n.idle(ctx, r, s); err != nil {
				return fmt.Errorf("%s of %s: %w", idleCase, s.name, err)
			}
		}
	}
	if !chosen(o.cases, floodsCase) {
		return nil
	}
	program, err := n.build(ctx, "flood")
	if err != nil {
		return err
	}
	for _, s := range subjects {
		if err := n.floods(ctx, r, s, program, o); err != nil {
			return fmt.Errorf("%s of %s: %w", floodsCase, s.name, err)
		}
	}
	return nil
}

// disturbed is the part of the CPU from which on others are told of.
const disturbed = 0.1

// addRatios adds our CPU time as a part of each peer's in the same round.
func addRatios(r *report.Report, c kase, subjects []*subject, taken map[string]float64) {
	for _, ours := range subjects {
		for _, peer := range subjects {
			if a, b := taken[ours.name], taken[peer.name]; ours.ours && !peer.ours && a > 0 && b > 0 {
				r.Add(c.name, ours.name+"/"+peer.name, ratioMetric, "", a/b)
			}
		}
	}
}

// failures is an error if a contestant has failed requests.
func failures(r *report.Report) error {
	var failed []string
	for _, l := range r.Lines() {
		if l.Metric == "errors" && l.Max > 0 {
			failed = append(failed, fmt.Sprintf("%s of %s: %.0f", l.Case, l.Subject, l.Max))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("requests have failed: %s", strings.Join(failed, "; "))
	}
	return nil
}

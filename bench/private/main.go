// Command private calls a private API at a rate, over HTTPS, from three VPCs
// with the same addresses, through three endpoints. Every answer must name the
// right VPC, endpoint, address and call: one wrong or missing answer fails the
// benchmark.
//
// It needs root, and bin/isthmus. Everything runs in network namespaces that
// it makes, and is removed at the end, also after a failure or an interrupt.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/isthmus-net/isthmus/bench/internal/report"
	"github.com/isthmus-net/isthmus/test/calls"
	"github.com/isthmus-net/isthmus/test/machine"
)

func main() {
	rate := flag.Int("rate", 1000, "calls a `second`, of all VPCs together, on kept connections")
	newRate := flag.Int("new-rate", 200, "calls a `second` with a new connection each")
	duration := flag.Duration("duration", time.Minute, "how long each case lasts")
	only := flag.String("only", "", "measure this `case` only: kept or new")
	binary := flag.String("binary", "bin/isthmus", "the `program` that is measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err := bench(ctx, *binary, *only, []kase{
		{"kept", calls.Load{Rate: *rate, Duration: *duration}},
		{"new", calls.Load{Rate: *newRate, Duration: *duration, NewConnections: true}},
	})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/private:", err)
		os.Exit(1)
	}
}

// kase is a case of the report.
type kase struct {
	name string
	load calls.Load
}

func bench(ctx context.Context, binary, only string, cases []kase) (err error) {
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	m, err := machine.Start(ctx, binary)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w\nthe log ends:\n%s", err, m.LogTail(10))
		}
		err = errors.Join(err, m.Close())
	}()
	s, err := calls.New(ctx, m, "111111111111", "222222222222", "333333333333", "444444444444")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r := report.New("private")
	for _, c := range cases {
		if only != "" && c.name != only {
			continue
		}
		if err := measure(ctx, m, s, r, c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return r.Finish()
}

func measure(ctx context.Context, m *machine.Machine, s *calls.Setup, r *report.Report, c kase) error {
	all, err := processes(ctx, m)
	if err != nil {
		return err
	}
	before := make([]time.Duration, len(all))
	for i, p := range all {
		if before[i], err = p.used(); err != nil {
			return err
		}
	}
	done := s.Run(ctx, c.load)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if done.Failed > 0 {
		return fmt.Errorf("%d of %d calls were not answered as they should be:\n%s", done.Failed, done.Calls, strings.Join(done.Failures, "\n"))
	}
	r.Add(c.name, report.Ours, "calls", "", float64(done.Calls))
	r.Add(c.name, report.Ours, "rps", "1/s", float64(done.Calls)/done.Took.Seconds())
	for _, p := range []struct {
		metric string
		part   float64
	}{{"p50_us", 0.5}, {"p99_us", 0.99}, {"p999_us", 0.999}} {
		r.Add(c.name, report.Ours, p.metric, "µs", float64(done.Percentile(p.part).Microseconds()))
	}
	for i, p := range all {
		after, err := p.used()
		if err != nil {
			return err
		}
		per := (after - before[i]) / time.Duration(done.Calls)
		r.Add(c.name, report.Ours, p.role+"_cpu_us_per_request", "µs", float64(per.Nanoseconds())/1000)
	}
	return nil
}

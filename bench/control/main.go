// Command control measures the control plane as its clients see it: how long a
// new VPC link takes until the first answer comes through it, how long
// "isthmus serve" takes to be ready, what its processes need at rest, and how
// many writes the AWS API takes, beside moto_server where that is installed.
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
	"syscall"
	"time"

	"github.com/isthmus-net/isthmus/bench/internal/report"
	"github.com/isthmus-net/isthmus/test/machine"
)

// plan says how often what is measured.
type plan struct {
	links    int // of each version
	starts   int // of each kind
	samples  int // of memory
	writes   int // rounds
	duration time.Duration
}

func main() {
	runs := flag.Int("runs", 50, "how many `links` of each version are made")
	quick := flag.Bool("quick", false, "measure little, to see that everything works")
	binary := flag.String("binary", "bin/isthmus", "the `program` that is measured")
	flag.Parse()
	p := plan{links: *runs, starts: 10, samples: 5, writes: 5, duration: time.Second}
	if *quick {
		p = plan{links: 3, starts: 1, samples: 1, writes: 1, duration: 200 * time.Millisecond}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err := bench(ctx, *binary, p)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/control:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, binary string, p plan) (err error) {
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
	r := report.New("control")
	for _, part := range []struct {
		name    string
		measure func(context.Context, *machine.Machine, *report.Report, plan) error
	}{
		{"start", starts},
		{"links", links}, // and two sites and APIs, that stay
		{"memory", memory},
		{"writes", writes}, // pins the processes, so that it is the last
	} {
		if err := part.measure(ctx, m, r, p); err != nil {
			return fmt.Errorf("measure %s: %w", part.name, err)
		}
	}
	return r.Finish()
}

// ms is a duration in milliseconds.
func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// Command datapath measures the packet path of a PrivateLink link beside a
// bare pair of devices, which is the limit, and beside what else could carry
// the same packets: the kernel's NAT, HAProxy and nginx.
//
// It needs root. Everything runs in namespaces that it makes, on two CPUs: the
// ends of a load that take turns, and the proxies, on the first, and sinks of
// streams on the second. The subjects are measured in turn, several times over.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/bench/internal/report"
)

const kase = "privatelink"

func main() {
	runs := flag.Int("runs", 7, "how many `times` everything is measured")
	duration := flag.Duration("duration", time.Second, "how long one load lasts")
	only := flag.String("only", "", "measure these `metrics` only, separated by commas")
	role := flag.String("role", "", "be one end of a load (internal)")
	to := flag.String("at", "", "address of the server (internal)")
	inside := flag.String("inside", "", "be the benchmark itself, with files in this directory (internal)")
	flag.Parse()
	var err error
	switch {
	case *role != "":
		var a netip.AddrPort
		if a, err = netip.ParseAddrPort(*to); err == nil {
			err = play(*role, a, *duration)
		}
	case *inside != "":
		err = bench(*inside, *runs, *duration, *only)
	default:
		err = isolate()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/datapath:", err)
		os.Exit(1)
	}
}

// isolate runs the benchmark once more in a mount namespace of its own, so
// that the bpffs goes with it.
func isolate() error {
	dir, err := os.MkdirTemp("", "isthmus-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("/proc/self/exe", append([]string{"-inside", dir}, os.Args[1:]...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	return cmd.Run()
}

func bench(dir string, runs int, duration time.Duration, only string) error {
	bpffs := dir + "/bpffs"
	if err := os.Mkdir(bpffs, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("bpffs", bpffs, "bpf", 0, ""); err != nil {
		return fmt.Errorf("mount bpffs: %w", err)
	}
	ours, subjects, err := setUp(dir, bpffs)
	if err != nil {
		return err
	}
	r := report.New("datapath")
	for range runs {
		for _, m := range metrics {
			if only != "" && !strings.Contains(","+only+",", ","+m.name+",") {
				continue
			}
			for _, s := range subjects {
				if m.load == "udp" && !s.udp {
					continue
				}
				figure, err := m.measure(s, duration)
				if err != nil {
					return err
				}
				r.Add(kase, s.name, m.name, m.unit, figure)
			}
		}
		if err := ours.addRuns(r); err != nil {
			return err
		}
	}
	return r.Finish()
}

func setUp(dir, bpffs string) (*link, []*subject, error) {
	ours, err := isthmus(bpffs)
	if err != nil {
		return nil, nil, fmt.Errorf("set up isthmus: %w", err)
	}
	subjects := []*subject{ours.subject}
	for _, peer := range []struct {
		name  string
		setUp func() (*subject, error)
	}{
		{"veth", bareVeth},
		{"nftables", nftables},
		{"haproxy", func() (*subject, error) { return haproxy(dir) }},
		{"nginx-stream", func() (*subject, error) { return nginxStream(dir) }},
	} {
		s, err := peer.setUp()
		if errors.Is(err, exec.ErrNotFound) {
			return nil, nil, fmt.Errorf("%s is not installed: %w", peer.name, err)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("set up %s: %w", peer.name, err)
		}
		subjects = append(subjects, s)
	}
	return ours, subjects, nil
}

// addRuns measures the program alone.
func (l *link) addRuns(r *report.Report) error {
	for _, run := range []struct {
		metric, subject string
		time            func() (time.Duration, error)
	}{
		{"known_flow_ns", report.Ours, l.knownRun},
		{"known_flow_ns", "empty-program", emptyRun},
		{"new_flow_ns", report.Ours, l.newRun},
	} {
		var d time.Duration
		err := l.fabric.Do(func() (err error) {
			d, err = run.time()
			return err
		})
		if err != nil {
			return fmt.Errorf("%s of %s: %w", run.metric, run.subject, err)
		}
		r.Add(kase, run.subject, run.metric, "ns", float64(d.Nanoseconds()))
	}
	return nil
}

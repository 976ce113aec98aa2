package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	proc "github.com/isthmus-net/isthmus/bench/internal/process"
	"github.com/isthmus-net/isthmus/bench/internal/report"
	"github.com/isthmus-net/isthmus/test/machine"
	"golang.org/x/sys/unix"
)

// process is one of Isthmus's, by its role.
type process struct {
	role string
	pid  int
}

// processes are "isthmus serve", which is the node, and its children.
func processes(m *machine.Machine) ([]process, error) {
	server := m.Server().Pid
	all := []process{{"node", server}}
	children, err := proc.Children(server)
	if err != nil {
		return nil, err
	}
	for _, pid := range children {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			return nil, err
		}
		args := bytes.Split(line, []byte{0})
		if len(args) < 2 {
			return nil, fmt.Errorf("process %d has no role", pid)
		}
		all = append(all, process{string(args[1]), pid})
	}
	return all, nil
}

// memory measures what each process has resident, and its share of what it
// shares with the others (they are of one program), once all are at rest.
func memory(ctx context.Context, m *machine.Machine, r *report.Report, p plan) error {
	all, err := processes(m)
	if err != nil {
		return err
	}
	for range p.samples {
		if err := rest(ctx, all); err != nil {
			return err
		}
		var sum float64
		for _, process := range all {
			rss, pss, err := process.memory()
			if err != nil {
				return err
			}
			r.Add(process.role, report.Ours, "rss_mb", "MB", rss)
			r.Add(process.role, report.Ours, "pss_mb", "MB", pss)
			sum += pss
		}
		r.Add("all", report.Ours, "pss_mb", "MB", sum)
	}
	return nil
}

// memory reads the two sums of proc_pid_smaps_rollup(5), in megabytes.
func (p process) memory() (rss, pss float64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
	if err != nil {
		return 0, 0, fmt.Errorf("read memory of %s: %w", p.role, err)
	}
	for line := range strings.Lines(string(b)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "Rss: %f kB", &kb); n == 1 {
			rss = kb * 1024 / 1e6
		}
		if n, _ := fmt.Sscanf(line, "Pss: %f kB", &kb); n == 1 {
			pss = kb * 1024 / 1e6
		}
	}
	if rss == 0 || pss == 0 {
		return 0, 0, fmt.Errorf("read memory of %s: no sums in smaps_rollup", p.role)
	}
	return rss, pss, nil
}

// At rest are processes that together used less than a twentieth of a CPU in
// the last second.
const (
	restSpan = time.Second
	restWork = 50 * time.Millisecond
)

func rest(ctx context.Context, all []process) error {
	const attempts = 30
	before, err := work(all)
	for range attempts {
		if err != nil {
			return err
		}
		select {
		case <-time.After(restSpan):
		case <-ctx.Done():
			return ctx.Err()
		}
		var after time.Duration
		if after, err = work(all); err == nil && after-before < restWork {
			return nil
		}
		before = after
	}
	return errors.New("the processes don't come to rest")
}

// work is the CPU time that processes have used.
func work(all []process) (sum time.Duration, err error) {
	for _, p := range all {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", p.pid))
		if err != nil {
			return 0, fmt.Errorf("read CPU time of %s: %w", p.role, err)
		}
		var ns int64
		if _, err := fmt.Sscan(string(b), &ns); err != nil {
			return 0, fmt.Errorf("read CPU time of %s: %w", p.role, err)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// pin binds all threads of a process, and with them those that they start, to
// CPUs.
func pin(pid int, set unix.CPUSet) error {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return fmt.Errorf("pin process: %w", err)
	}
	for _, t := range tasks {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("pin process %d: %w", pid, err)
		}
	}
	return nil
}

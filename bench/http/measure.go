package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/bench/http/internal/contest"
	"github.com/isthmus-net/isthmus/bench/internal/process"
	"github.com/isthmus-net/isthmus/bench/internal/report"
)

// measure sends a load to a contestant once.
func (n *network) measure(ctx context.Context, s *subject, c kase, o options) (*measurement, error) {
	t, err := s.at(c)
	if err != nil {
		return nil, err
	}
	// What is left of earlier runs, if it is there: the file is opened to append.
	if err := os.Truncate(s.log, 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	pids, err := tree(s.pid)
	if err != nil {
		return nil, err
	}
	before, err := n.read(pids)
	if err != nil {
		return nil, err
	}
	got, err := n.generate(ctx, c, t, o.connections, o.duration)
	if err := errors.Join(err, n.whole()); err != nil {
		return nil, err
	}
	after, err := n.read(pids)
	if err != nil {
		return nil, err
	}
	if got.Requests == 0 {
		return nil, errors.New("no request was answered")
	}
	m := after.since(before)
	m.Result = got
	return m, nil
}

// measurement is what one run has cost.
type measurement struct {
	contest.Result
	cpu, user time.Duration // of the contestant's processes
	core      time.Duration // of the proxies' CPU, whoever used it
	softirq   time.Duration // of the kernel's thread for that on this CPU
}

func (m *measurement) perRequest(d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1000 / float64(m.Requests)
}

// others is which part of the run others have used the proxies' CPU.
func (m *measurement) others() float64 {
	return max(0, (m.core-m.cpu-m.softirq).Seconds()/m.Seconds)
}

func (m *measurement) add(r *report.Report, c kase, s *subject) {
	for _, f := range []struct {
		metric, unit string
		figure       float64
	}{
		{cpuMetric, "µs", m.perRequest(m.cpu)},
		{"user_us", "µs", m.perRequest(m.user)},
		{"core_us", "µs", m.perRequest(m.cpu + m.softirq)},
		{"rps", "1/s", float64(m.Requests) / m.Seconds},
		{"p50_us", "µs", m.P50},
		{p99Metric, "µs", m.P99},
		{"p999_us", "µs", m.P999},
		{"errors", "", float64(m.Errors)},
	} {
		r.Add(c.name, s.name, f.metric, f.unit, f.figure)
	}
}

// counters are those of CPU time that a run moves.
type counters struct{ cpu, user, core, softirq time.Duration }

func (n *network) read(pids []int) (c counters, err error) {
	for _, pid := range pids {
		cpu, user, err := used(pid)
		if err != nil {
			return c, err
		}
		c.cpu += cpu
		c.user += user
	}
	if c.core, err = busy(n.proxyCPU); err != nil {
		return c, err
	}
	c.softirq, err = threadTime(n.softirqThread())
	return c, err
}

func (c counters) since(b counters) *measurement {
	return &measurement{cpu: c.cpu - b.cpu, user: c.user - b.user, core: c.core - b.core, softirq: c.softirq - b.softirq}
}

// tree is a process and its descendants.
func tree(pid int) ([]int, error) {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		children, err := process.Children(all[i])
		if err != nil {
			return nil, err
		}
		all = append(all, children...)
	}
	return all, nil
}

// tick is the unit of times in /proc, the same on all of Linux's machines.
const tick = time.Second / 100

// used is the CPU time of a process: all, to the nanosecond, of the threads
// that it has; and that in user mode, of which the kernel keeps samples
// (proc_pid_stat(5)).
func used(pid int) (cpu, user time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(threads) == 0 {
		return 0, 0, fmt.Errorf("read CPU time of process %d: it has ended", pid)
	}
	for _, t := range threads {
		d, err := threadTime(t)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, 0, err
		}
		cpu += d
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	ticks, err := strconv.ParseInt(fields[11], 10, 64)
	return cpu, time.Duration(ticks) * tick, err
}

// threadTime is the CPU time of a thread, by its directory in /proc. The
// kernel counts what it does for the network on an interrupt's occasion as the
// thread's that was interrupted.
func threadTime(dir string) (time.Duration, error) {
	b, err := os.ReadFile(dir + "/schedstat")
	if err != nil {
		return 0, err
	}
	var ns int64
	_, err = fmt.Sscan(string(b), &ns)
	return time.Duration(ns), err
}

// softirqThread is ksoftirqd's directory in /proc for the proxies' CPU: what
// the network asks of that CPU beyond the threads that it interrupts.
func (n *network) softirqThread() string {
	if n.ksoftirqd == "" {
		names, _ := filepath.Glob("/proc/[0-9]*/comm")
		for _, name := range names {
			if b, err := os.ReadFile(name); err == nil && strings.TrimSpace(string(b)) == fmt.Sprintf("ksoftirqd/%d", n.proxyCPU) {
				n.ksoftirqd = filepath.Dir(name)
			}
		}
	}
	return n.ksoftirqd
}

// busy is how long a CPU was not idle (proc_stat(5)); time that the host took
// away counts as well.
func busy(cpu int) (time.Duration, error) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if fields[0] != fmt.Sprintf("cpu%d", cpu) {
			continue
		}
		var ticks int64
		for i, field := range fields[1:9] { // user nice system idle iowait irq softirq steal
			if i == 3 || i == 4 {
				continue
			}
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
		return time.Duration(ticks) * tick, nil
	}
	return 0, fmt.Errorf("no CPU %d in /proc/stat", cpu)
}

// load is the machine's load average.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

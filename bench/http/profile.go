package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/bench/http/internal/contest"
	"github.com/isthmus-net/isthmus/bench/internal/report"
)

// calls are the system calls that are counted one by one.
var calls = []string{
	"read", "write", "readv", "writev", "recvfrom", "sendto", "recvmsg", "sendmsg", "splice", "sendfile64",
	"epoll_wait", "epoll_pwait", "epoll_ctl", "io_uring_enter", "futex", "nanosleep", "accept4", "connect", "close",
	"setsockopt", "getsockopt", "timerfd_settime", "getpid", "tgkill", "sched_yield", "madvise",
}

// look runs a load once more with a contestant's system calls counted, and
// twice if it is ours, with profiles.
func (n *network) look(ctx context.Context, r *report.Report, s *subject, c kase, o options) error {
	t, err := s.at(c)
	if err != nil {
		return err
	}
	if err := n.count(ctx, r, s, t, c, o); err != nil || !s.ours {
		return err
	}
	if s.debug != "" {
		if err := n.pprof(ctx, r, s, t, c, o); err != nil {
			return err
		}
	}
	_, err = n.observe(ctx, s, t, c, o, "record", "-q", "-F", "1999", "-g", "-o", filepath.Join(o.profile, s.name+"-"+c.name+".perf"))
	return err
}

// observe runs a load while perf looks at the contestant.
func (n *network) observe(ctx context.Context, s *subject, t target, c kase, o options, args ...string) (r contest.Result, err error) {
	// perf looks for tracefs, which need not be mounted; so it is in a mount
	// namespace of perf's. It tells that it has begun by starting a command,
	// and ends with that.
	const begun = "begun"
	args = append([]string{"--mount", "sh", "-c", `mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; exec perf "$@"`, "perf"}, args...)
	perf := exec.CommandContext(ctx, "unshare", append(args, "-p", strconv.Itoa(s.pid), "--", "sh", "-c", "echo "+begun+"; exec cat")...)
	var said bytes.Buffer
	perf.Stderr = &said
	in, err := perf.StdinPipe()
	if err != nil {
		return r, err
	}
	out, err := perf.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := perf.Start(); err != nil {
		return r, err
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if line == begun+"\n" {
		r, err = n.generate(ctx, c, t, o.connections, o.duration)
	}
	in.Close()
	if failed := perf.Wait(); failed != nil {
		err = errors.Join(err, fmt.Errorf("perf: %w: %s", failed, said.String()))
	}
	return r, err
}

// count counts system calls, while the load runs as ever: a tracepoint costs
// next to nothing.
func (n *network) count(ctx context.Context, r *report.Report, s *subject, t target, c kase, o options) error {
	path := filepath.Join(o.profile, s.name+"-"+c.name+".calls")
	events := "raw_syscalls:sys_enter"
	for _, name := range calls {
		events += ",syscalls:sys_enter_" + name
	}
	got, err := n.observe(ctx, s, t, c, o, "stat", "-x", ";", "-o", path, "-e", events)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		fields := strings.Split(line, ";") // count, unit, event, …
		if len(fields) < 3 {
			continue
		}
		counted, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return fmt.Errorf("perf counted %q", line)
		}
		_, name, _ := strings.Cut(fields[2], ":sys_enter")
		if per := counted / float64(got.Requests); per >= 0.005 {
			r.Add(c.name, s.name, syscallMetric+name, "", per)
		}
	}
	return nil
}

// pprof takes a CPU profile and counts what was allocated.
func (n *network) pprof(ctx context.Context, r *report.Report, s *subject, t target, c kase, o options) error {
	before, err := n.allocations(ctx, s)
	if err != nil {
		return err
	}
	path := filepath.Join(o.profile, s.name+"-"+c.name)
	profiled := make(chan error, 1)
	go func() {
		profiled <- n.fetch(ctx, s, fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(1, int(o.duration.Seconds()))), path+".cpu")
	}()
	got, err := n.generate(ctx, c, t, o.connections, o.duration)
	if err := errors.Join(err, <-profiled); err != nil {
		return err
	}
	after, err := n.allocations(ctx, s)
	if err != nil {
		return err
	}
	r.Add(c.name, s.name, "allocations", "", float64(after[0]-before[0])/float64(got.Requests))
	r.Add(c.name, s.name, "allocated_bytes", "B", float64(after[1]-before[1])/float64(got.Requests))
	return n.fetch(ctx, s, "/debug/pprof/allocs", path+".allocs")
}

// allocations are the objects and bytes that a contestant has allocated.
func (n *network) allocations(ctx context.Context, s *subject) (v [2]uint64, err error) {
	body, err := n.get(ctx, s, "/allocations")
	if err != nil {
		return v, err
	}
	defer body.Close()
	_, err = fmt.Fscan(body, &v[0], &v[1])
	return v, err
}

// fetch writes what a contestant tells at its debug address into a file.
func (n *network) fetch(ctx context.Context, s *subject, what, path string) error {
	body, err := n.get(ctx, s, what)
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}

func (n *network) get(ctx context.Context, s *subject, what string) (io.ReadCloser, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
		err = n.proxy.Do(func() error {
			c, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return c, err
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.debug+what, nil)
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s: %s", what, response.Status)
	}
	return response.Body, nil
}

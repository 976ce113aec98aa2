package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/bench/internal/namespace"
)

// The CPU of clients and proxies, and the one that sinks of streams have for
// themselves. Where the ends take turns, both are on the first.
const (
	busyCPU = 0
	sinkCPU = 1
)

// metric is one figure of a subject.
type metric struct {
	name, unit string
	load       string // the roles' second word
	serverCPU  int
	counts     string // which end's count it is
	scale      float64
}

var metrics = []metric{
	{"rr", "1/s", "rr", busyCPU, "client", 1},
	{"crr", "1/s", "crr", busyCPU, "client", 1},
	{"bulk", "Gbit/s", "bulk", sinkCPU, "server", 8e-9},
	{"udp_pps", "1/s", "udp", sinkCPU, "server", 1},
}

// patience is how long after its load a process may take to end.
const patience = 10 * time.Second

// measure runs a load through a subject and returns the metric.
func (m metric) measure(s *subject, duration time.Duration) (float64, error) {
	server, err := startRole(s.server, m.serverCPU, "server "+m.load, s.listen, duration)
	if err != nil {
		return 0, err
	}
	defer server.stop()
	if line, err := server.out.ReadString('\n'); line != "listening\n" {
		return 0, fmt.Errorf("server of %s said %q: %w", s.name, line, err)
	}
	client, err := startRole(s.client, busyCPU, "client "+m.load, s.dial, duration)
	if err != nil {
		return 0, err
	}
	defer client.stop()
	r, err := client.result(duration + patience)
	if err == nil && m.counts == "server" {
		r, err = server.result(patience)
	}
	if err != nil {
		return 0, fmt.Errorf("%s of %s: %w", m.name, s.name, err)
	}
	return r.rate() * m.scale, nil
}

// process is a role that runs.
type process struct {
	cmd *exec.Cmd
	out *bufio.Reader
	end *os.File
}

func startRole(ns *namespace.NS, cpu int, role string, at netip.AddrPort, duration time.Duration) (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	words := strings.Fields(role)
	cmd := exec.Command("/proc/self/exe", "-role", words[0]+" "+words[1], "-at", at.String(), "-duration", duration.String())
	// Go's signals would begin the waiting in a call to the kernel anew.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	if _, err := ns.Start(cpu, cmd); err != nil {
		r.Close()
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	return &process{cmd: cmd, out: bufio.NewReader(r), end: r}, nil
}

func (p *process) result(within time.Duration) (r result, err error) {
	if err := p.end.SetReadDeadline(time.Now().Add(within)); err != nil {
		return r, err
	}
	line, err := p.out.ReadString('\n')
	if errors.Is(err, io.EOF) {
		return r, errors.New("it ended without a result")
	}
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal([]byte(line), &r)
}

// stop ends the process if it runs still, and waits for that.
func (p *process) stop() {
	p.cmd.Process.Kill()
	p.end.SetReadDeadline(time.Time{})
	io.Copy(io.Discard, p.out) // until the end of its output
	p.end.Close()
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/test/machine"
)

// subject is a contestant.
type subject struct {
	name string
	ours bool
	port int // the first of its block
	pid  int // of its process, whose children count too
	log  string
	// where a case is to be called; an error says why it can't be.
	at func(kase) (target, error)
	// instead are other processes of it, for the cases that they are better at.
	instead map[string]*subject
	// debug is where it tells of its allocations, in the proxies' namespace.
	debug string
}

// in is the contestant's process for a case.
func (s *subject) in(c kase) *subject {
	if other := s.instead[c.name]; other != nil {
		return other
	}
	return s
}

// target is where a load goes.
type target struct {
	address string // host:port
	host    string // the Host field
}

// errUnsupported is a case that a contestant can't do.
var errUnsupported = errors.New("not supported")

// makers make the contestants, in the order in which they are measured.
var makers = []struct {
	name string
	ours bool
	make func(context.Context, *network, *subject) error
}{
	{"gateway", true, startGateway},
	{"alb", true, startALB},
	{"engine", true, startOwn},
	{"nginx", false, startNginx},
	{"haproxy", false, startHAProxy},
	{"httputil", false, startOwn},
	{"caddy", false, startCaddy},
}

// absent are contestants that can't be had, and why.
var absent = map[string]string{
	"traefik": "the Go module proxy serves no version of it, and Debian has none",
}

// newSubjects starts those whose names are given, or all.
func newSubjects(ctx context.Context, n *network, names []string) ([]*subject, error) {
	var all []*subject
	for i, m := range makers {
		if !chosen(names, m.name) {
			continue
		}
		s := &subject{name: m.name, ours: m.ours, port: firstPort + 10*i, log: filepath.Join(n.dir, m.name+".log")}
		s.at = s.byPorts
		err := m.make(ctx, n, s)
		if errors.Is(err, errUnsupported) {
			fmt.Fprintf(os.Stderr, "bench/http: %s is left out: %v\n", m.name, err)
			continue
		}
		if err == nil {
			err = s.answers(ctx, n)
		}
		if err != nil {
			return nil, fmt.Errorf("set up %s: %w", m.name, err)
		}
		all = append(all, s)
	}
	for name, why := range absent {
		if chosen(names, name) {
			fmt.Fprintf(os.Stderr, "bench/http: %s is left out: %s\n", name, why)
		}
	}
	return all, nil
}

// chosen tells whether a name is among those asked for, or none are.
func chosen(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return len(names) == 0
}

// byPorts is where a contestant with a block of ports is called.
func (s *subject) byPorts(c kase) (target, error) {
	port := s.tlsPort()
	if c.door == plain {
		port = s.plainPort(c.routes)
	}
	return target{fmt.Sprintf("%s:%d", proxyAddress, port), serverName}, nil
}

// run starts a contestant's program, and returns when it accepts connections.
// It is killed with this process.
func (s *subject) run(n *network, cmd *exec.Cmd) error {
	if err := n.start(n.proxy, n.proxyCPU, cmd); err != nil {
		return err
	}
	s.pid = cmd.Process.Pid
	return s.accepts(n)
}

// patience is for what takes milliseconds, or seconds with thousands of routes.
const patience = time.Minute

func (s *subject) accepts(n *network) error {
	ports := []int{s.tlsPort()}
	for _, routes := range routeCounts() {
		ports = append(ports, s.plainPort(routes))
	}
	return n.client.Do(func() error {
		for _, port := range ports {
			address := net.JoinHostPort(proxyAddress, fmt.Sprint(port))
			for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
				c, err := net.Dial("tcp", address)
				if err == nil {
					c.Close()
					break
				}
				select {
				case ended := <-n.exited:
					return ended
				default:
				}
				if time.Now().After(end) {
					return err
				}
			}
		}
		return nil
	})
}

// answers waits until a contestant answers requests of every number of routes
// as they should be answered.
func (s *subject) answers(ctx context.Context, n *network) error {
	for _, c := range cases {
		t, err := s.at(c)
		if err != nil || c.door != plain {
			continue
		}
		if err := machine.Until(ctx, patience, func() (bool, string, error) {
			err := n.client.Do(func() error { return once(c, t) })
			return err == nil, fmt.Sprintf("%s is answered with %v", c.name, err), n.whole()
		}); err != nil {
			return err
		}
	}
	return nil
}

// once sends one request on a connection of its own.
func once(c kase, t target) error {
	conn, err := net.DialTimeout("tcp", t.address, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	return ask(conn, bufio.NewReader(conn), c.request(t))
}

// config writes a contestant's configuration into the directory.
func (n *network) config(name, text string, values ...string) (string, error) {
	path := filepath.Join(n.dir, name)
	return path, os.WriteFile(path, []byte(strings.NewReplacer(values...).Replace(text)), 0o600)
}

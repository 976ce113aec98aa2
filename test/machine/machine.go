// Package machine runs Isthmus inside a network namespace that stands for a
// machine of its own: no packet can leave it by the real one's uplink. Tests
// and benchmarks drive it from outside with AWS's SDK and with commands.
package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/internal/node"
)

// Machine is a running instance of Isthmus.
type Machine struct {
	Dir    string // everything that it keeps: run, data, log
	binary string
	ns     *netns.NS
	path   string // of the namespace
	flags  []string

	log *os.File

	mu    sync.Mutex
	serve *server
}

// server is one process of "isthmus serve".
type server struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has, with
	err   error
}

// Addresses of the listeners inside the machine.
const (
	APIAddress     = "127.0.0.1:4566"
	GatewayAddress = "127.0.0.1:8080"
)

// Start makes the namespace and starts the binary's "serve" in it, with flags;
// it returns when the instance is ready.
func Start(ctx context.Context, binary string, flags ...string) (*Machine, error) {
	dir, err := os.MkdirTemp("", "isthmus-machine-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	m := &Machine{Dir: dir, binary: binary, path: filepath.Join(dir, "net"), flags: flags}
	if m.ns, err = netns.Create(m.path, loopbackUp); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if m.log, err = os.OpenFile(m.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	if err := m.Serve(ctx); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// LogPath is the file that holds what the instance logs.
func (m *Machine) LogPath() string { return filepath.Join(m.Dir, "log") }

// Serve starts "isthmus serve", once more if it has been stopped or killed,
// and waits until it tells that it is ready, as a service manager would.
func (m *Machine) Serve(ctx context.Context) error {
	told := &net.UnixAddr{Name: filepath.Join(m.Dir, "ready"), Net: "unixgram"}
	ready, err := net.ListenUnixgram("unixgram", told)
	if err != nil {
		return fmt.Errorf("start isthmus serve: %w", err)
	}
	defer os.Remove(told.Name)
	defer ready.Close()
	c := m.Isthmus(ctx, "serve", m.flags...)
	c.Env = append(os.Environ(), "NOTIFY_SOCKET="+told.Name)
	c.Stdout, c.Stderr = m.log, m.log
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	if err := c.Start(); err != nil {
		return fmt.Errorf("start isthmus serve: %w", err)
	}
	s := &server{cmd: c, ended: make(chan struct{})}
	m.mu.Lock()
	m.serve = s
	m.mu.Unlock()
	go func() {
		s.err = c.Wait()
		close(s.ended)
		ready.Close()
	}()
	if _, err := ready.Read(make([]byte, 64)); err != nil {
		<-s.ended
		return fmt.Errorf("isthmus serve did not become ready: %w\n%s", s.err, m.LogTail(20))
	}
	return nil
}

// Server is the process of "isthmus serve".
func (m *Machine) Server() *os.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.serve.cmd.Process
}

// Wait waits until "isthmus serve" has ended.
func (m *Machine) Wait() error {
	m.mu.Lock()
	s := m.serve
	m.mu.Unlock()
	<-s.ended
	return s.err
}

// Isthmus is a command of the binary, inside the machine.
func (m *Machine) Isthmus(ctx context.Context, command string, args ...string) *exec.Cmd {
	own := []string{"--run-dir", filepath.Join(m.Dir, "run"), "--data-dir", filepath.Join(m.Dir, "data")}
	if command != "serve" && command != "down" {
		own = own[:2]
	}
	return m.Command(ctx, m.binary, append(append([]string{command}, own...), args...)...)
}

// Command is any command inside the machine.
func (m *Machine) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + m.path, "--", name}, args...)...)
}

// Namespace opens the namespace of an ENI.
func (m *Machine) Namespace(ctx context.Context, eni string) (*netns.NS, error) {
	conn, err := node.Call(ctx, node.Dir(filepath.Join(m.Dir, "run")).Socket(), "exec", node.ExecParams{Interface: eni}, nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ns, err := netns.FromFile(conn.Files[0])
	if err == nil {
		conn.Files = conn.Files[1:] // that one is ns's now
	}
	return ns, err
}

// Output runs a command and returns what it printed; the error holds what it
// printed on stderr.
func Output(c *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", strings.Join(c.Args[2:], " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Dial opens a connection from the machine's own network.
func (m *Machine) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = m.ns.Do(func() error {
		conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens for streams at an address of the machine.
func (m *Machine) Listen(address string) (l net.Listener, err error) {
	err = m.ns.Do(func() (err error) {
		l, err = net.Listen("tcp4", address)
		return err
	})
	return l, err
}

// Client is an HTTP client in the machine's own network: whatever the host of
// a URL is, its port on loopback is dialled.
func (m *Machine) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 256,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return m.Dial(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}}
}

// Log is all that the instance has logged.
func (m *Machine) Log() string {
	b, err := os.ReadFile(m.LogPath())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// LogTail is the end of the log, without the requests that went well.
func (m *Machine) LogTail(lines int) string {
	b, err := os.ReadFile(m.LogPath())
	if err != nil {
		return err.Error()
	}
	all := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(b)), "\n"), func(line string) bool {
		return strings.Contains(line, "level=INFO") && (strings.Contains(line, "msg=call ") || strings.Contains(line, "msg=request "))
	})
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Down runs "isthmus down".
func (m *Machine) Down(ctx context.Context) error {
	_, err := Output(m.Isthmus(ctx, "down"))
	return err
}

// Close removes everything.
func (m *Machine) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := m.Down(ctx)
	if m.log != nil {
		m.log.Close()
	}
	return errors.Join(err, netns.Kill(m.ns.ID(), 5*time.Second), m.ns.Close(), netns.Delete(m.path), os.RemoveAll(m.Dir))
}

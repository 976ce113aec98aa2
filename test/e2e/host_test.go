package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/node"
	"github.com/isthmus-net/isthmus/test/machine"
)

// patience bounds every wait for something that takes milliseconds on an idle
// machine.
const patience = 20 * time.Second

// host is an instance of "isthmus run" with a program of its own, beside which
// commands are run.
type host struct {
	m                      *machine.Machine
	cmd                    *exec.Cmd
	instance, eni, address string
}

// addHost starts an instance; its program does nothing if none is given. It is
// stopped with the test at the latest.
func addHost(t *testing.T, m *machine.Machine, account, subnet, group string, options []string, program ...string) *host {
	t.Helper()
	if len(program) == 0 {
		program = []string{"sleep", "infinity"}
	}
	return startHost(t, m, m.Run(context.WithoutCancel(t.Context()), account, subnet, group, options, program...))
}

// startHost starts an instance with a command that is an "isthmus run".
func startHost(t *testing.T, m *machine.Machine, run *exec.Cmd) *host {
	t.Helper()
	log, err := os.CreateTemp(m.Dir, "host-")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	h := &host{m: m, cmd: run}
	h.cmd.Stderr = log
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.stop)
	h.instance, h.eni, h.address = announced(t, log.Name())
	return h
}

var announcement = regexp.MustCompile(`isthmus: (i-\w+) (eni-\w+) (\S+)\n`)

// announced waits for what "isthmus run" tells about its instance.
func announced(t *testing.T, log string) (instance, eni, address string) {
	t.Helper()
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		b, err := os.ReadFile(log)
		if told := announcement.FindStringSubmatch(string(b)); told != nil {
			instance, eni, address = told[1], told[2], told[3]
		}
		return instance != "", "isthmus run says " + string(b), err
	})
	if err != nil {
		t.Fatal(err)
	}
	return instance, eni, address
}

// stop ends the program, and with it the instance.
func (h *host) stop() {
	if h.cmd.ProcessState != nil {
		return
	}
	if h.cmd.Process.Signal(syscall.SIGTERM) == nil {
		kill := time.AfterFunc(patience, func() { h.cmd.Process.Kill() })
		defer kill.Stop()
	}
	h.cmd.Wait() // its status is that of a program that was killed
}

// exec is a command beside the host's program.
func (h *host) exec(ctx context.Context, program ...string) *exec.Cmd {
	return h.m.Isthmus(ctx, "exec", append([]string{"--user", "nobody", h.eni, "--"}, program...)...)
}

// curl is a new connection from the host; without an answer it gives up soon.
func (h *host) curl(ctx context.Context, url string, options ...string) *exec.Cmd {
	return h.exec(ctx, append(append([]string{"curl", "-sSf", "--connect-timeout", "0.5"}, options...), url)...)
}

// becomes waits until a command succeeds or, if it is not wanted to, fails: a
// change is in force a moment after the AWS API has acknowledged it.
func becomes(t *testing.T, succeed bool, command func() *exec.Cmd) string {
	t.Helper()
	var out string
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		var err error
		out, err = machine.Output(command())
		var failed *exec.ExitError
		if err != nil && !errors.As(err, &failed) {
			return false, "", err
		}
		return (err == nil) == succeed, fmt.Sprintf("it prints %q, error %v", out, err), nil
	})
	if err != nil {
		t.Fatalf("%s: want success %v: %v", strings.Join(command().Args[2:], " "), succeed, err)
	}
	return out
}

// called waits until a call from the host is answered, and says from which port
// it was made. A port of the test's own would be taken for a minute after a call
// that came too early.
func (h *host) called(t *testing.T, url string) (answer, port string) {
	t.Helper()
	out := becomes(t, true, func() *exec.Cmd {
		return h.curl(t.Context(), url, "--max-time", "5", "--write-out", "%{local_port}")
	})
	end := strings.LastIndexByte(out, '\n')
	return strings.TrimSpace(out[:end+1]), out[end+1:]
}

// The slow part of a backend: what lies below it is sent at a bounded rate.
const (
	slowLocation = "location /slow/ { limit_rate 2m; sendfile_max_chunk 64k; }"
	slowSize     = 5 << 20
)

// putSlow puts a file there and returns its checksum.
func putSlow(t *testing.T, s *machine.Site) string {
	t.Helper()
	body := make([]byte, slowSize)
	rand.NewChaCha8([32]byte{1}).Read(body)
	dir := filepath.Join(s.Dir, "slow")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "file"), body, 0o644)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(body))
}

// transfer is a download.
type transfer struct {
	cmd      *exec.Cmd
	stderr   bytes.Buffer
	sum      hash.Hash
	received atomic.Int64
	ended    chan struct{} // closed when it has, with
	err      error
}

// Write counts what the client got.
func (x *transfer) Write(p []byte) (int, error) {
	x.sum.Write(p)
	x.received.Add(int64(len(p)))
	return len(p), nil
}

// download begins a transfer of the slow file from an address, and returns when
// it has begun.
func download(t *testing.T, h *host, address string, options ...string) *transfer {
	t.Helper()
	return transferOf(t, h, "http://"+address+"/slow/file", options...)
}

// transferOf begins a transfer of what a URL names.
func transferOf(t *testing.T, h *host, url string, options ...string) *transfer {
	t.Helper()
	x := &transfer{sum: sha256.New(), ended: make(chan struct{})}
	x.cmd = h.curl(t.Context(), url, append(options, "--no-buffer")...)
	x.cmd.Stdout, x.cmd.Stderr = x, &x.stderr
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		x.err = x.cmd.Wait()
		close(x.ended)
	}()
	t.Cleanup(func() { <-x.ended })
	x.progress(t)
	return x
}

// progress waits until more arrives; the transfer must be under way then.
func (x *transfer) progress(t *testing.T) {
	t.Helper()
	begin := x.received.Load()
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		select {
		case <-x.ended:
			return false, "", fmt.Errorf("the transfer ended after %d bytes: %v %s", x.received.Load(), x.err, x.stderr.String())
		default:
		}
		return x.received.Load() > begin, fmt.Sprintf("%d bytes arrived", begin), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// complete waits for the end of the transfer, which must be a good one.
func (x *transfer) complete(t *testing.T, sum string) {
	t.Helper()
	select {
	case <-x.ended:
	case <-time.After(2 * patience):
		t.Fatalf("the transfer stands still after %d bytes", x.received.Load())
	}
	if got := fmt.Sprintf("%x", x.sum.Sum(nil)); x.err != nil || got != sum {
		t.Errorf("%d bytes arrived, with checksum %s, want %s; %v %s", x.received.Load(), got, sum, x.err, x.stderr.String())
	}
}

// silence is how long nothing may come before a transfer is taken to be cut;
// several retransmissions long, and the file is sent in less.
const silence = 2 * time.Second

// stops waits until the transfer fails or nothing comes any more.
func (x *transfer) stops(t *testing.T) {
	t.Helper()
	for {
		begin := x.received.Load()
		select {
		case <-x.ended:
			if x.err == nil {
				t.Errorf("the transfer went on to its end, %d bytes", x.received.Load())
			}
			return
		case <-time.After(silence):
			if x.received.Load() == begin {
				return
			}
		}
	}
}

// isReset waits until the transfer ends by a reset.
func (x *transfer) isReset(t *testing.T) {
	t.Helper()
	select {
	case <-x.ended:
	case <-time.After(patience):
		t.Fatalf("the transfer, of which %d bytes arrived, is not reset", x.received.Load())
	}
	if !strings.Contains(x.stderr.String(), "Connection reset by peer") {
		t.Errorf("the transfer ended after %d bytes with %v %s, want a reset", x.received.Load(), x.err, x.stderr.String())
	}
}

// status is what "isthmus status" tells.
func status(t *testing.T, m *machine.Machine) (s node.Status) {
	t.Helper()
	if err := json.Unmarshal([]byte(output(t, m.Isthmus(t.Context(), "status", "--json"))), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

var roles = []string{"control", "gateway", "health", "dns"}

// processes are the pids of the roles.
func processes(t *testing.T, m *machine.Machine) map[string]int {
	t.Helper()
	pids := map[string]int{}
	for _, p := range status(t, m).Processes {
		pids[p.Role] = p.PID
	}
	for _, role := range roles {
		if pids[role] <= 1 {
			t.Fatalf("%s does not run: %v", role, pids)
		}
	}
	return pids
}

// killServe kills "isthmus serve" and nothing else.
func killServe(t *testing.T, m *machine.Machine) {
	t.Helper()
	if err := m.Server().Kill(); err != nil {
		t.Fatal(err)
	}
	if err := m.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("isthmus serve ended by itself: %v", err)
	}
}

// killEverything kills "isthmus serve" and the processes of all roles.
func killEverything(t *testing.T, m *machine.Machine) {
	t.Helper()
	pids := processes(t, m)
	killServe(t, m)
	for role, pid := range pids {
		kill(t, role, pid)
	}
}

func kill(t *testing.T, role string, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %s: %v", role, err)
	}
}

// curlTo makes new connections to an address.
func (h *host) curlTo(t *testing.T, address string) func() *exec.Cmd {
	return func() *exec.Cmd { return h.curl(t.Context(), "http://"+address+"/") }
}

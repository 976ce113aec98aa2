package node

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// serveTest serves handlers on a socket for the length of a test, at the end of
// which nothing may be left.
func serveTest(t *testing.T, handlers map[string]Handler) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("needs root")
	}
	before := goleak.IgnoreCurrent()
	path := filepath.Join(t.TempDir(), "node.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, handlers, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, before)
	})
	return path
}

func TestCall(t *testing.T) {
	large := strings.Repeat("x", 500_000)
	path := serveTest(t, map[string]Handler{
		"echo": handler(func(_ context.Context, s string) (Answer, error) { return Answer{Result: s}, nil }),
		"fail": handler(func(context.Context, string) (Answer, error) { return Answer{}, errors.New("no such thing") }),
	})
	for _, s := range []string{"", "hello", large} {
		var got string
		c, err := Call(t.Context(), path, "echo", s, &got)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if got != s {
			t.Errorf("%d bytes became %d", len(s), len(got))
		}
	}
	for method, want := range map[string]string{"fail": "no such thing", "none": `unknown method "none"`} {
		if _, err := Call(t.Context(), path, method, "", nil); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", method, err, want)
		}
	}
	if _, err := Call(t.Context(), path, "echo", 7, nil); err == nil || !strings.Contains(err.Error(), "read parameters") {
		t.Errorf("wrong parameters: %v", err)
	}
	if _, err := Call(t.Context(), path+"x", "echo", "", nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no socket: %v", err)
	}
}

func TestCallBringsFiles(t *testing.T) {
	released := make(chan struct{})
	path := serveTest(t, map[string]Handler{
		"open": handler(func(context.Context, struct{}) (Answer, error) {
			r, w, err := os.Pipe()
			if err != nil {
				return Answer{}, err
			}
			io.WriteString(w, "through the pipe")
			return Answer{Files: []*os.File{r, w}, Released: func() { close(released) }}, nil
		}),
	})
	c, err := Call(t.Context(), path, "open", struct{}{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Files) != 2 {
		t.Fatalf("%d files", len(c.Files))
	}
	for _, f := range c.Files {
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("a file would be inherited: %x, %v", flags, err)
		}
	}
	c.Files[1].Close()
	// The node's own copy is closed too, or this would not end.
	if b, err := io.ReadAll(c.Files[0]); err != nil || string(b) != "through the pipe" {
		t.Errorf("read %q, %v", b, err)
	}
	select {
	case <-released:
		t.Error("released while it is held")
	default:
	}
	c.Release()
	select {
	case <-released:
	default:
		t.Error("not released after Release")
	}
}

// A client that dies ends its request.
func TestClientGoesAway(t *testing.T) {
	began := make(chan struct{})
	cancelled := make(chan struct{})
	path := serveTest(t, map[string]Handler{
		"wait": handler(func(ctx context.Context, _ struct{}) (Answer, error) {
			close(began)
			<-ctx.Done()
			close(cancelled)
			return Answer{}, ctx.Err()
		}),
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	if _, err := Call(ctx, path, "wait", struct{}{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Call returned %v", err)
	}
	select {
	case <-cancelled:
	case <-time.After(10 * time.Second):
		t.Error("the request went on")
	}
}

func TestOnlyRootMayCall(t *testing.T) {
	var called atomic.Bool
	path := serveTest(t, map[string]Handler{
		"echo": func(context.Context, json.RawMessage) (Answer, error) {
			called.Store(true)
			return Answer{}, nil
		},
	})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// Even if the file's mode let another user in.
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "perl", "-MIO::Socket::UNIX", "-e", `
		$SIG{PIPE} = "IGNORE";
		my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "connect: $!";
		print $s "{\"method\":\"echo\"}\n"; $s->flush; print defined(<$s>) ? "answered" : "refused"`, path).CombinedOutput()
	if err != nil || string(out) != "refused" || called.Load() {
		t.Errorf("another user: %s, %v", out, err)
	}
}

func TestBadRequests(t *testing.T) {
	path := serveTest(t, nil)
	for _, s := range []string{"", "x\n", "{}\n", `{"method":1}` + "\n", strings.Repeat("x", maxRequest+1)} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			io.WriteString(c, s)
			c.(*net.UnixConn).CloseWrite()
		}()
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if b, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || len(b) > 0 && !strings.Contains(string(b), `"error"`) {
			t.Errorf("%.20q: %q, %v", s, b, err)
		}
		c.Close()
	}
}

func TestInstances(t *testing.T) {
	var terminated []string
	var failing error
	i := &instances{
		dir: filepath.Join(t.TempDir(), "instances"), log: slog.New(slog.DiscardHandler),
		terminate: func(_ context.Context, id string) error {
			if failing == nil {
				terminated = append(terminated, id)
			}
			return failing
		},
	}
	if living, dead, err := i.list(); err != nil || living != nil || dead != nil {
		t.Errorf("before the first: %v, %v, %v", living, dead, err)
	}
	a, err := i.hold("i-a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := i.hold("i-b")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	// Another process holds a, as a command does that was given the file.
	cmd := exec.Command("sleep", "60")
	cmd.ExtraFiles = []*os.File{a}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a.Close()
	i.sweep(t.Context())
	if len(terminated) > 0 {
		t.Errorf("%v ended while they live", terminated)
	}
	cmd.Process.Kill()
	cmd.Wait()
	failing = errors.New("control is away")
	i.sweep(t.Context())
	failing = nil
	living, dead, err := i.list()
	if err != nil || len(living) != 1 || living[0] != "i-b" || len(dead) != 1 || dead[0] != "i-a" {
		t.Errorf("living %v, dead %v, %v", living, dead, err)
	}
	i.sweep(t.Context())
	i.sweep(t.Context())
	if len(terminated) != 1 || terminated[0] != "i-a" {
		t.Errorf("terminated %v, want i-a once", terminated)
	}
}

package cli

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/netns"
)

// inNamespace runs a program in a namespace made for it.
func inNamespace(t *testing.T, user string, args ...string) (string, netns.ID, error) {
	t.Helper()
	return runInNamespace(t, program{args: args, user: user})
}

func runInNamespace(t *testing.T, p program) (string, netns.ID, error) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("needs root")
	}
	path := filepath.Join(t.TempDir(), "ns")
	ns, err := netns.Create(path, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer netns.Delete(path)
	defer ns.Close()
	var out bytes.Buffer
	p.ns = ns
	err = p.run(&Env{
		Stdout: &out, Stderr: &out, Environ: func() []string { return []string{"GREETING=hello"} },
	})
	return strings.TrimSpace(out.String()), ns.ID(), err
}

func TestProgramStatus(t *testing.T) {
	for script, want := range map[string]error{
		"exit 0": nil, "exit 7": exitCode(7), "kill -TERM $$": exitCode(128 + 15), "kill -KILL $$": exitCode(128 + 9),
	} {
		if _, _, err := inNamespace(t, "nobody", "sh", "-c", script); err != want {
			t.Errorf("%s: %v, want %v", script, err, want)
		}
	}
	if _, _, err := inNamespace(t, "", "no-such-program"); err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("a program that is not there: %v", err)
	}
	if _, _, err := inNamespace(t, "no-such-user", "true"); err == nil || !strings.Contains(err.Error(), "no-such-user") {
		t.Errorf("a user who is not there: %v", err)
	}
}

func TestProgramUser(t *testing.T) {
	for user, want := range map[string]string{"nobody": "65534 1", "61234": "61234 1", "root": "0 1", "": "0 0"} {
		out, id, err := inNamespace(t, user, "sh", "-c", `echo $(id -u) $(awk '/NoNewPrivs/{print $2}' /proc/self/status); readlink /proc/self/ns/net; echo $GREETING`)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out, "\n")
		if lines[0] != want {
			t.Errorf("as %q: %s, want %s", user, lines[0], want)
		}
		if !strings.Contains(lines[1], strconv.FormatUint(id.Inode, 10)) {
			t.Errorf("as %q: in %s, want %d", user, lines[1], id.Inode)
		}
		if lines[2] != "hello" {
			t.Errorf("as %q: the environment is lost", user)
		}
	}
}

// A program sees its resolver's resolv.conf, and nobody else does.
func TestProgramResolver(t *testing.T) {
	before, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	mounts := func() string {
		b, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			t.Fatal(err)
		}
		var ours []string
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, "resolv") {
				ours = append(ours, line)
			}
		}
		return strings.Join(ours, "")
	}
	mounted := mounts()
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	for _, user := range []string{"nobody", ""} {
		p := program{args: []string{"cat", "/etc/resolv.conf"}, user: user, resolver: netip.MustParseAddr("10.0.0.2")}
		out, _, err := runInNamespace(t, p)
		if err != nil || !strings.HasPrefix(out, "nameserver 10.0.0.2\n") {
			t.Errorf("as %q: %q, %v", user, out, err)
		}
	}
	if out, _, err := inNamespace(t, "", "cat", "/etc/resolv.conf"); err != nil || out != strings.TrimSpace(string(before)) {
		t.Errorf("without a resolver: %q, %v", out, err)
	}
	if after, err := os.ReadFile("/etc/resolv.conf"); err != nil || string(after) != string(before) {
		t.Errorf("the machine's is %q, %v", after, err)
	}
	if after := mounts(); after != mounted {
		t.Errorf("mounts were\n%sand are\n%s", mounted, after)
	}
	if files, err := os.ReadDir(temporary); err != nil || len(files) > 0 {
		t.Errorf("files are left: %v, %v", files, err)
	}
}

func TestSignalsAreForwarded(t *testing.T) {
	done := make(chan error, 1)
	marker := filepath.Join(t.TempDir(), "ready")
	go func() {
		_, _, err := inNamespace(t, "", "sh", "-c", `trap 'exit 42' USR1; : > "$0"; while :; do sleep 0.05; done`, marker)
		done <- err
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(marker); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the program never started")
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, exitCode(42)) {
		t.Errorf("it ended with %v", err)
	}
}

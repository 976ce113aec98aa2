package cli

import (
	"bytes"
	"errors"
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
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	path := filepath.Join(t.TempDir(), "ns")
	ns, err := netns.Create(path, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer netns.Delete(path)
	defer ns.Close()
	var out bytes.Buffer
	err = program{args: args, user: user, ns: ns}.run(&Env{
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

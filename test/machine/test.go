package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Main runs a package's tests with a binary of Isthmus that has the race
// detector, whose path it stores. What is to be done after all tests must
// succeed, too.
func Main(m *testing.M, binary *string, after ...func() error) int {
	dir, err := os.MkdirTemp("", "isthmus-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	*binary = filepath.Join(dir, "isthmus")
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	build := exec.Command("go", "build", "-race", "-o", *binary, "github.com/isthmus-net/isthmus/cmd/isthmus")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build isthmus:", err)
		return 1
	}
	// Commands of a build with the race detector would take a second to end.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	for _, f := range after {
		if err := f(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// StartTest runs a machine for the time of a test, which fails if there is a
// data race in it. The flags are those of isthmus serve.
func StartTest(t *testing.T, binary string, flags ...string) *Machine {
	t.Helper()
	m, err := Start(context.WithoutCancel(t.Context()), binary, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the log:\n%s", m.LogTail(60))
		}
		if err := m.CloseClean(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// Logged waits until the log holds a text: a line is written when the answer
// that it is about may already have been read.
func (m *Machine) Logged(t *testing.T, text string) {
	t.Helper()
	if err := Until(t.Context(), 20*time.Second, func() (bool, string, error) {
		return strings.Contains(m.Log(), text), fmt.Sprintf("the log does not say %q", text), nil
	}); err != nil {
		t.Error(err)
	}
}

// CloseClean is Close, with an error if there was a data race, which says no
// more of the log than that.
func (m *Machine) CloseClean() error {
	var race error
	if reports := races(m.Log()); reports != nil {
		race = fmt.Errorf("a data race in Isthmus:\n%s", strings.Join(reports[:min(3, len(reports))], "\n"))
	}
	return errors.Join(race, m.Close())
}

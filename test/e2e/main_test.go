// Package e2e looks at Isthmus from outside: real AWS clients, real programs
// in the VPCs, real packets.
package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/test/machine"
)

var binary string

func TestMain(m *testing.M) { os.Exit(machine.Main(m, &binary)) }

// start runs a machine for the time of a test, with flags of isthmus serve. The
// test runs beside others: they wait more than they compute.
func start(t *testing.T, flags ...string) *machine.Machine {
	t.Helper()
	t.Parallel()
	return machine.StartTest(t, binary, flags...)
}

// logDir is a directory for logs, in which there is nothing yet. Users without
// privileges get there.
func logDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "isthmus-logs-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

const (
	accountA = "111111111111"
	accountB = "222222222222"
	accountC = "333333333333"
)

func site(t *testing.T, m *machine.Machine, account string, o machine.SiteOptions) *machine.Site {
	t.Helper()
	s, err := m.Site(t.Context(), m.AWS(account), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func overV1(t *testing.T, s *machine.Site) machine.API {
	t.Helper()
	a, err := s.RESTOverV1(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func overV2(t *testing.T, s *machine.Site, groups ...string) machine.API {
	t.Helper()
	a, err := s.HTTPOverV2(t.Context(), groups...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// get calls a URL and returns status and body.
func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// answers waits until a URL answers as wanted: a new deployment reaches the
// gateway a moment after the API has acknowledged it.
func answers(t *testing.T, m *machine.Machine, url string, status int, body string) {
	t.Helper()
	c := m.Client()
	defer c.CloseIdleConnections()
	err := machine.Until(t.Context(), 10*time.Second, func() (bool, string, error) {
		s, b := get(t, c, url)
		return s == status && strings.Contains(b, body), fmt.Sprintf("%s answers %d %s", url, s, b), nil
	})
	if err != nil {
		t.Fatalf("want %d %q: %v", status, body, err)
	}
}

// output runs a command and returns what it prints; it must succeed.
func output(t *testing.T, c *exec.Cmd) string {
	t.Helper()
	out, err := machine.Output(c)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

package server

import (
	"context"
	"encoding/xml"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// h2spec is where scripts/install-dependencies puts it.
const h2spec = "../../../test/bin/h2spec"

// Every case of h2spec passes, also those about what an implementation only
// should do.
func TestH2Spec(t *testing.T) {
	if _, err := os.Stat(h2spec); err != nil {
		t.Fatalf("%v: scripts/install-dependencies test makes it", err)
	}
	_, at := serveTLS(t, func(_ context.Context, r *message.Request) *message.Response {
		if r.Body != nil {
			io.Copy(io.Discard, r.Body) // what is sent behind an early answer is ignored
		}
		return text(200, "hello, h2spec")
	}, Options{})
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "report.xml")
	out, runErr := exec.CommandContext(t.Context(), h2spec, "--host", host, "--port", port, "--tls", "--insecure", "--strict",
		"--timeout", "5", "--junit-report", report).CombinedOutput()
	data, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("%v, %v\n%s", err, runErr, out)
	}
	var result struct {
		Suites []struct {
			Package string `xml:"package,attr"`
			Cases   []struct {
				Name    string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(data, &result); err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, s := range result.Suites {
		for _, c := range s.Cases {
			if c.Failure == nil && c.Error == nil && c.Skipped == nil {
				passed++
				continue
			}
			t.Errorf("%s: %s", s.Package, c.Name)
		}
	}
	if passed < 146 {
		t.Errorf("only %d cases passed", passed)
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

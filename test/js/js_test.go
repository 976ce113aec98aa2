// Package js sets up the article's topologies through the AWS SDK for
// JavaScript v3, and has packets go through them.
package js

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/isthmus-net/isthmus/test/machine"
)

var binary string

func TestMain(m *testing.M) { os.Exit(machine.Main(m, &binary)) }

// TestTopologies runs the tests of Node. They need the packages of
// package-lock.json, which scripts/install-dependencies installs.
func TestTopologies(t *testing.T) {
	if _, err := os.Stat("node_modules/@aws-sdk"); err != nil {
		t.Fatalf("the SDK is missing; run scripts/install-dependencies test: %v", err)
	}
	m := machine.StartTest(t, binary)
	c := m.Command(t.Context(), "node", "--no-warnings", "--test", "--test-reporter=spec", "topologies.test.js")
	c.Env = append(os.Environ(), "ISTHMUS="+binary, "ISTHMUS_RUN_DIR="+filepath.Join(m.Dir, "run"))
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

package datapath

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/isthmus-net/isthmus/bpf"
)

// The verifier gives up at a million instructions, counted along every path
// that it has to follow; kernels differ in how many those are.
const verifierBudget = 100_000

var processed = regexp.MustCompile(`processed (\d+) insns`)

// TestVerifierBudget keeps the program far from where kernels refuse it.
func TestVerifierBudget(t *testing.T) {
	enterWorld(t)
	spec, err := bpf.Load()
	if err != nil {
		t.Fatal(err)
	}
	spec.Maps[bpf.MapFlows].MaxEntries = 16
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := processed.FindStringSubmatch(c.Programs[bpf.Program].VerifierLog)
	if m == nil {
		t.Fatalf("the verifier does not say what it processed:\n%s", c.Programs[bpf.Program].VerifierLog)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the verifier processed %d instructions, of %d allowed here", n, verifierBudget)
	if n > verifierBudget {
		t.Errorf("the verifier processed %d instructions, want at most %d", n, verifierBudget)
	}
}

// Package internal_test holds the direction of imports that ARCHITECTURE.md
// promises.
package internal_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/isthmus-net/isthmus/"

// TestImports: what parses strangers' bytes reaches neither the store nor what
// writes to it; what is pure reaches no I/O of ours.
func TestImports(t *testing.T) {
	for from, forbidden := range map[string][]string{
		"internal/gateway":  {"internal/store", "internal/service", "internal/control", "internal/node", "internal/vpc", "internal/datapath"},
		"internal/alb":      {"internal/store", "internal/service", "internal/control", "internal/node", "internal/vpc", "internal/datapath"},
		"internal/health":   {"internal/store", "internal/service", "internal/control", "internal/node", "internal/vpc", "internal/datapath"},
		"internal/bgp":      {"internal/store", "internal/service", "internal/control", "internal/node", "internal/vpc", "internal/datapath"},
		"internal/dns":      {"internal/store", "internal/service", "internal/control", "internal/node", "internal/vpc", "internal/datapath"},
		"internal/compile":  {"internal/store", "internal/service", "internal/control", "internal/node", "internal/vpc", "internal/datapath"},
		"internal/trace":    {"internal/store", "internal/service", "internal/control", "internal/node", "internal/datapath"},
		"internal/resource": {"internal/"},
		"internal/policy":   {"internal/"},
		"internal/http1":    {"internal/"},
		"internal/node":     {"internal/store", "internal/service", "internal/control", "internal/vpc"},
	} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+from).Output()
		if err != nil {
			t.Fatalf("list imports of %s: %v", from, err)
		}
		for dep := range strings.FieldsSeq(string(out)) {
			own, ok := strings.CutPrefix(dep, module)
			if !ok || own == from || strings.HasPrefix(own, from+"/") {
				continue
			}
			for _, f := range forbidden {
				if own == f || strings.HasPrefix(own, strings.TrimSuffix(f, "/")+"/") {
					t.Errorf("%s imports %s", from, own)
				}
			}
		}
	}
}

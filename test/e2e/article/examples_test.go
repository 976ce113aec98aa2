package article

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestExamples runs the scripts of examples, all on one machine: they act in
// accounts of their own, and each ends with a check of its packets. What they
// have built is drawn for people only, by examples/run.
func TestExamples(t *testing.T) {
	m := machine.StartTest(t, binary)
	scripts := must(filepath.Glob("../../../examples/*/run"))(t)
	if len(scripts) < 8 {
		t.Fatalf("found the examples %v only", scripts)
	}
	// Without a folder bin beside them, they take the command from PATH.
	t.Setenv("PATH", filepath.Dir(binary)+":"+os.Getenv("PATH"))
	t.Setenv("ISTHMUS_RUN_DIR", filepath.Join(m.Dir, "run"))
	t.Setenv("ISTHMUS_LOG", m.LogPath())
	t.Run("all", func(t *testing.T) { // ends when all have
		for _, script := range scripts {
			t.Run(filepath.Base(filepath.Dir(script)), func(t *testing.T) {
				t.Parallel()
				out, err := m.Command(t.Context(), script).CombinedOutput()
				if err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	})
}

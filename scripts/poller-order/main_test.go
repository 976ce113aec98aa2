package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// With this Go, the overlay is one, and goroutines run in the order in which
// what they wait for came.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "order")
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, "./testdata/order")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(program).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var ran []int
	if err := json.Unmarshal(out, &ran); err != nil || len(ran) != 32 {
		t.Fatalf("it printed %q: %v", out, err)
	}
	// The runtime may look at the poller while some are still to be written to.
	backwards := 0
	for i := range ran[1:] {
		if ran[i+1] < ran[i] {
			backwards++
		}
	}
	if backwards > 2 {
		t.Errorf("they ran in the order %v", ran)
	}
}

func TestUnknownPoller(t *testing.T) {
	if _, ok := inOrder([]byte("package runtime\n")); ok {
		t.Error("a poller that is not known was taken for one")
	}
}

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/service"
	"github.com/isthmus-net/isthmus/internal/wire"
)

// TestGenerated checks that the committed page is what the command makes.
func TestGenerated(t *testing.T) {
	want, err := page(service.All(nil, service.Options{AccessLogs: true}))
	if err != nil {
		t.Fatal(err)
	}
	file, err := path()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what internal/service/compatibility makes; run go generate ./internal/service", file)
	}
}

// TestNotes: a note about an operation that is not served is a mistake.
func TestNotes(t *testing.T) {
	all := service.All(nil, service.Options{AccessLogs: true})
	for _, s := range all {
		if _, err := read(s); err != nil {
			t.Error(err)
		}
	}
	for name, note := range map[string]string{"CreateFleet": "not at all", "CreateVpc": "a | b"} {
		s := wire.Service{API: all[0].API, Partly: map[string]string{name: note}}
		if _, err := read(s); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("note %q of %s: error %v", note, name, err)
		}
	}
}

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestGenerated checks that the committed files are what the generator makes.
func TestGenerated(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	root, err := wireDir()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is not what internal/wire/gen makes; run go generate ./internal/wire", name)
		}
	}
	again, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if !bytes.Equal(files[name], again[name]) {
			t.Errorf("%s comes out differently the second time", name)
		}
	}
}

func TestEnumName(t *testing.T) {
	for value, want := range map[string]string{
		"HTTP_PROXY": "HttpProxy", "application-load-balancer": "ApplicationLoadBalancer", "TCP": "Tcp",
		"t3.micro": "T3Micro", "camelCase": "CamelCase", "10": "10", "": "",
	} {
		if got := enumName(value); got != want {
			t.Errorf("%q becomes %q, want %q", value, got, want)
		}
	}
}

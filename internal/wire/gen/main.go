// Command gen writes the packages below internal/wire that hold the shapes of
// each service: Go types, the Server interface and the pruned model, from the
// API models that AWS published with the Go SDK v1. It runs in any directory
// of the module and needs the Go module proxy once.
package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/isthmus-net/isthmus/internal/wire/model"
)

// sdk is the last version of the module that carries the models. The Go
// command checks it against the checksum database.
const sdk = "github.com/aws/aws-sdk-go@v1.55.8"

//go:embed services.json overlay
var config embed.FS

// A service is an entry of services.json.
type service struct {
	Package        string   `json:"package"`
	Model          string   `json:"model"`          // path below the module's models folder
	Checks         []string `json:"checks"`         // kinds of constraints that the service checks as the model has them
	ValidationCode string   `json:"validationCode"` // the error's code
	Operations     []string `json:"operations"`     // those that are supported
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("gen: ")
	root, err := wireDir()
	if err != nil {
		log.Fatal(err)
	}
	files, err := generate()
	if err != nil {
		log.Fatal(err)
	}
	for name, data := range files {
		if err := write(filepath.Join(root, name), data); err != nil {
			log.Fatal(err)
		}
	}
}

// generate returns all generated files by their path below internal/wire.
func generate() (map[string][]byte, error) {
	models, err := fetchModels()
	if err != nil {
		return nil, err
	}
	data, err := config.ReadFile("services.json")
	if err != nil {
		return nil, err
	}
	var services []service
	if err := json.Unmarshal(data, &services); err != nil {
		return nil, fmt.Errorf("parse services.json: %w", err)
	}
	files := make(map[string][]byte)
	for _, s := range services {
		if err := s.generate(models, files); err != nil {
			return nil, fmt.Errorf("generate %s: %w", s.Package, err)
		}
	}
	if err := generateProtocolTests(models, files); err != nil {
		return nil, fmt.Errorf("generate protocol test shapes: %w", err)
	}
	return files, nil
}

func (s service) generate(models string, files map[string][]byte) error {
	m, err := readModel(filepath.Join(models, filepath.FromSlash(s.Model)))
	if err != nil {
		return err
	}
	if err := overlay(m, s.Package); err != nil {
		return err
	}
	names := newNames(m)
	if err := s.prune(m); err != nil {
		return err
	}
	for file, emit := range map[string]func(*bytes.Buffer) error{
		"types.go":  func(b *bytes.Buffer) error { return emitTypes(b, s.Package, m, names, s.Operations) },
		"enums.go":  func(b *bytes.Buffer) error { return emitEnums(b, s.Package, m) },
		"server.go": func(b *bytes.Buffer) error { return emitServer(b, s.Package, m, names, s.Operations) },
	} {
		var b bytes.Buffer
		if err := emit(&b); err != nil {
			return err
		}
		if files[path.Join(s.Package, file)], err = formatted(&b); err != nil {
			return err
		}
	}
	s.dropUnchecked(m)
	files[path.Join(s.Package, "model.json")], err = marshalModel(m)
	return err
}

// fetchModels returns the folder of the models in the module cache.
func fetchModels() (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", sdk)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("download %s: %w", sdk, err)
	}
	var mod struct{ Dir string }
	if err := json.Unmarshal(out, &mod); err != nil {
		return "", fmt.Errorf("download %s: %w", sdk, err)
	}
	return filepath.Join(mod.Dir, "models"), nil
}

func readModel(file string) (*model.Model, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return model.Parse(data)
}

// wireDir returns the folder internal/wire of the enclosing module.
func wireDir() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find module: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if filepath.Base(mod) != "go.mod" {
		return "", fmt.Errorf("find module: not inside one")
	}
	return filepath.Join(filepath.Dir(mod), "internal", "wire"), nil
}

func write(file string, data []byte) error {
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/wire/model"
)

// generateProtocolTests writes Go types for the shapes of the protocol tests
// that AWS publishes beside the models. The tests themselves are read from the
// module when they run.
func generateProtocolTests(models string, files map[string][]byte) error {
	var body, registry bytes.Buffer
	for _, protocol := range []string{"rest-json", "json", "query", "ec2"} {
		for _, direction := range []string{"input", "output"} {
			data, err := os.ReadFile(filepath.Join(models, "protocol_tests", direction, protocol+".json"))
			if err != nil {
				return err
			}
			var suites []model.Model
			if err := json.Unmarshal(data, &suites); err != nil {
				return fmt.Errorf("parse %s %s: %w", direction, protocol, err)
			}
			for i := range suites {
				if err := emitSuite(&body, &registry, protocol, direction, i, &suites[i]); err != nil {
					return fmt.Errorf("%s %s %d: %w", direction, protocol, i, err)
				}
			}
		}
	}
	var b bytes.Buffer
	b.WriteString(header)
	b.WriteString("// Package protocoltest holds the shapes of AWS's published protocol tests.\npackage protocoltest\n\n")
	b.WriteString("import (\n\"reflect\"\n\"time\"\n)\n\n")
	b.WriteString("// Types holds the Go type of each structure by protocol, direction, number of\n" +
		"// the suite and name.\nvar Types = map[string]reflect.Type{\n")
	b.Write(registry.Bytes())
	b.WriteString("}\n\n")
	b.Write(body.Bytes())
	out, err := formatted(&b)
	files["protocoltest/types.go"] = out
	return err
}

func emitSuite(body, registry *bytes.Buffer, protocol, direction string, i int, m *model.Model) error {
	prefix := exported(strings.ReplaceAll(protocol, "-", "")) + exported(direction) + fmt.Sprint(i)
	n := make(names)
	for name := range m.Shapes {
		n[name] = prefix + exported(name)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Shapes)) {
		s := m.Shapes[name]
		if s.Type != "structure" {
			continue
		}
		decl, err := structType(m, s, n)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(body, "type %s %s\n\n", n[name], decl)
		fmt.Fprintf(registry, "%q: reflect.TypeFor[%s](),\n", fmt.Sprintf("%s/%s/%d/%s", protocol, direction, i, name), n[name])
	}
	return nil
}

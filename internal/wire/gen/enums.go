package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/isthmus-net/isthmus/internal/wire/model"
)

// maxEnum bounds the enums that get constants: the longer ones (instance
// types) are catalogues that no service switches on.
const maxEnum = 100

// emitEnums writes a constant for every value of every enum.
func emitEnums(b *bytes.Buffer, pkg string, m *model.Model) error {
	b.WriteString(header)
	fmt.Fprintf(b, "package %s\n\n", pkg)
	taken := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(m.Shapes)) {
		values := m.Shapes[name].Enum
		if len(values) == 0 || len(values) > maxEnum {
			continue
		}
		fmt.Fprintf(b, "// Values of %s.\nconst (\n", exported(name))
		for _, v := range values {
			id := exported(name) + enumName(v)
			if taken[id] {
				return fmt.Errorf("enum %s: the name %s is taken", name, id)
			}
			taken[id] = true
			fmt.Fprintf(b, "%s = %q\n", id, v)
		}
		b.WriteString(")\n\n")
	}
	return nil
}

// enumName turns a value into the end of a Go name: HTTP_PROXY and http-proxy
// both become HttpProxy.
func enumName(value string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(value, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		if strings.ToUpper(word) == word {
			word = strings.ToLower(word)
		}
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

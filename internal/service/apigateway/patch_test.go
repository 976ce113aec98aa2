package apigateway

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestPatch(t *testing.T) {
	type thing struct {
		Name   string
		On     bool
		Params map[string]bool
		Types  map[string]string
		List   []string
		Set    []string
	}
	full := func() thing {
		return thing{
			Name: "n", Params: map[string]bool{"p.a": true}, Types: map[string]string{"a/b": "x"},
			List: []string{"image/png", "image/gif"}, Set: []string{"s"},
		}
	}
	bad := func(m string) string { return "BadRequestException: " + m }
	missing := func(m string) string { return "NotFoundException: " + m }
	for _, c := range []struct {
		name  string
		style patchStyle
		ops   []string
		want  func(*thing)
		err   string
	}{
		{"replace", shortStyle, []string{"replace", "/name", "m", "replace", "/on", "TRUE"}, func(x *thing) { x.Name, x.On = "m", true }, ""},
		{"not a boolean", shortStyle, []string{"replace", "/on", "yes"}, func(*thing) {}, ""},
		{"remove string", shortStyle, []string{"remove", "/name", ""}, func(x *thing) { x.Name = "" }, ""},
		{"add entry", shortStyle, []string{"add", "/params/p.b", "false"}, func(x *thing) { x.Params["p.b"] = false }, ""},
		{"escaped entry", shortStyle, []string{"replace", "/types/a~1b", "y", "add", "/types/c~1~0d", "z"}, func(x *thing) { x.Types = map[string]string{"a/b": "y", "c/~d": "z"} }, ""},
		{"tilde before one", shortStyle, []string{"add", "/types/~01", "z"}, func(x *thing) { x.Types["~1"] = "z" }, ""},
		{"last entry leaves no map", shortStyle, []string{"remove", "/types/a~1b", ""}, func(x *thing) { x.Types = nil }, ""},
		{"members", shortStyle, []string{"add", "/list/a~1b", "", "replace", "/list/image~1png", "image/webp", "remove", "/list/image~1gif", ""},
			func(x *thing) { x.List = []string{"a/b", "image/webp"} }, ""},
		{"same member twice", shortStyle, []string{"add", "/list/image~1png", ""}, func(x *thing) { x.List = []string{"image/gif", "image/png"} }, ""},
		{"member by value", shortStyle, []string{"add", "/set", "t", "remove", "/set", "s"}, func(x *thing) { x.Set = []string{"t"} }, ""},
		{"unknown path", shortStyle, []string{"replace", "/x", ""}, nil, bad("Invalid patch path /x")},
		{"unescaped key", shortStyle, []string{"add", "/types/a/b", ""}, nil, bad("Invalid patch path /types/a/b")},
		{"no key", shortStyle, []string{"add", "/types", ""}, nil, bad("Invalid patch path /types")},
		{"empty key", shortStyle, []string{"add", "/types/", ""}, nil, bad("Invalid patch path /types/")},
		{"wrong operation", shortStyle, []string{"add", "/on", ""}, nil, bad("Invalid patch operation specified. Must be one of: [replace]")},
		{"copy", shortStyle, []string{"copy", "/on", ""}, nil, bad("Invalid patch operation specified. Must be one of: [replace]")},
		{"missing parameter", shortStyle, []string{"remove", "/params/q", ""}, nil, missing("Invalid parameter name specified")},
		{"missing type", shortStyle, []string{"remove", "/types/c~1d", ""}, nil, missing("Content-Type specified was not found")},
		{"list style, path", listStyle, []string{"replace", "/x", ""}, nil,
			bad("Invalid patch path  '/x' specified for op 'replace'. Must be one of: [/name, /on, /params/*, /types/*, /list/*, /set]")},
		{"list style, operation", listStyle, []string{"test", "/name", ""}, nil,
			bad("Invalid patch path  '/name' specified for op 'test'. Please choose supported operations")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, want := full(), full()
			err := applyPatch(ops(c.ops...), c.style,
				setString("/name", &got.Name, "remove"),
				setBool("/on", &got.On),
				setEntry("/params/*", &got.Params, isTrue, "Invalid parameter name specified"),
				setEntry("/types/*", &got.Types, asIs, "Content-Type specified was not found"),
				setMember("/list/*", &got.List),
				setMember("/set", &got.Set),
			)
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Errorf("error %v, want %s", err, c.err)
				}
				return
			}
			c.want(&want)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
			}
		})
	}
}

// Whatever its key, an entry that was added can be found and removed.
func TestPatchKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[~/01a-z.]{1,8}`).Draw(t, "key")
		var m map[string]string
		field := setEntry("/m/*", &m, asIs, "missing")
		path := "/m/" + escape(key)
		if err := applyPatch(ops("add", path, "v"), shortStyle, field); err != nil || m[key] != "v" {
			t.Fatalf("add %q: %v, %v", path, err, m)
		}
		if err := applyPatch(ops("remove", path, ""), shortStyle, field); err != nil || m != nil {
			t.Fatalf("remove %q: %v, %v", path, err, m)
		}
	})
}

// escape is the inverse of unescape.
func escape(s string) string {
	var out []byte
	for i := range len(s) {
		switch s[i] {
		case '~':
			out = append(out, "~0"...)
		case '/':
			out = append(out, "~1"...)
		default:
			out = append(out, s[i])
		}
	}
	return string(out)
}

package cookie

import (
	"bytes"
	"encoding/base64"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func sealer(t testing.TB, key byte) *Sealer {
	t.Helper()
	s, err := NewSealer(bytes.Repeat([]byte{key}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	now     = time.Unix(1_800_000_000, 0)
	binding = Binding{Group: "arn:tg", Target: netip.MustParseAddrPort("10.0.0.1:80"), Expires: now.Unix() + 60}
)

func TestSeal(t *testing.T) {
	s := sealer(t, 1)
	value := s.Seal(Target, binding)
	if got, err := s.Open(Target, value, now); err != nil || got != binding {
		t.Errorf("opened %+v, %v", got, err)
	}
	// Another node of the balancer has the same key.
	if got, err := sealer(t, 1).Open(Target, value, now); err != nil || got != binding {
		t.Errorf("opened %+v, %v", got, err)
	}
	if s.Seal(Target, binding) == value {
		t.Error("the same value twice")
	}
	if raw, _ := base64.RawURLEncoding.DecodeString(value); bytes.Contains(raw, []byte("10.0.0.1")) {
		t.Error("it can be read")
	}
	group := Binding{Group: "arn:tg", Expires: now.Unix() + 1}
	if got, err := s.Open(Group, s.Seal(Group, group), now); err != nil || got != group {
		t.Errorf("opened %+v, %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	s := sealer(t, 1)
	value := s.Seal(Target, binding)
	for what, open := range map[string]func() (Binding, error){
		"expired":      func() (Binding, error) { return s.Open(Target, value, now.Add(time.Minute)) },
		"another name": func() (Binding, error) { return s.Open(Application, value, now) },
		"another key":  func() (Binding, error) { return sealer(t, 2).Open(Target, value, now) },
		"empty":        func() (Binding, error) { return s.Open(Target, "", now) },
		"not encoded":  func() (Binding, error) { return s.Open(Target, "%%%", now) },
		"cut":          func() (Binding, error) { return s.Open(Target, value[:len(value)-4], now) },
		"very long":    func() (Binding, error) { return s.Open(Target, strings.Repeat("A", 1<<20), now) },
		"not a binding": func() (Binding, error) {
			return s.Open(Target, encoding.EncodeToString(s.aead.Seal(nil, nil, []byte("x"), []byte(Target))), now)
		},
	} {
		if b, err := open(); err == nil || b != (Binding{}) {
			t.Errorf("%s: opened %+v, %v", what, b, err)
		}
	}
	if _, err := NewSealer(make([]byte, 16)); err == nil {
		t.Error("a short key was taken")
	}
}

// Nothing but what was sealed can be opened.
func FuzzOpen(f *testing.F) {
	s := sealer(f, 1)
	value := s.Seal(Target, binding)
	f.Add(value)
	f.Add(value[1:])
	f.Add("")
	f.Fuzz(func(t *testing.T, v string) {
		if b, err := s.Open(Target, v, now); err == nil && b != binding {
			t.Errorf("opened %q as %+v", v, b)
		}
	})
}

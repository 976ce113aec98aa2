package feed

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func TestMessagesKeepTheirFields(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.Custom(func(t *rapid.T) json.RawMessage {
			b, err := json.Marshal(rapid.MapOf(rapid.String(), rapid.Int()).Draw(t, "raw"))
			if err != nil {
				t.Fatal(err)
			}
			return b
		})
		m := message{
			Kind: kind(rapid.String().Draw(t, "kind")), Role: Role(rapid.String().Draw(t, "role")),
			Revision: rapid.Int64().Draw(t, "revision"), Config: raw.Draw(t, "config"), ID: rapid.Uint64().Draw(t, "id"),
			Method: rapid.String().Draw(t, "method"), Error: rapid.String().Draw(t, "error"),
		}
		frame, err := encode(m, maxToServer)
		if err != nil {
			t.Fatal(err)
		}
		r := iotest.OneByteReader(bytes.NewReader(append(frame, frame...)))
		for range 2 {
			got, err := readMessage(r, len(frame)-headerSize)
			if err != nil {
				t.Fatal(err)
			}
			if !jsonEqual(t, got.Config, m.Config) {
				t.Fatalf("config is %s, want %s", got.Config, m.Config)
			}
			got.Config = m.Config
			if !reflect.DeepEqual(got, m) {
				t.Fatalf("message is %+v, want %+v", got, m)
			}
		}
		if _, err := readMessage(r, maxToServer); err != io.EOF {
			t.Fatalf("at the end: %v", err)
		}
		if _, err := readMessage(bytes.NewReader(frame), len(frame)-headerSize-1); err == nil {
			t.Fatal("a message beyond the limit was read")
		}
		cut := rapid.IntRange(1, len(frame)-1).Draw(t, "cut")
		if _, err := readMessage(bytes.NewReader(frame[:cut]), maxToServer); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("a message cut at %d: %v", cut, err)
		}
	})
}

func jsonEqual(t *rapid.T, a, b json.RawMessage) bool {
	var x, y any
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

// A length claims no memory before the bytes are there.
func TestLengthAloneClaimsLittle(t *testing.T) {
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := readFrame(bytes.NewReader([]byte("\x0f\xff\xff\xffabc")), maxToClient); err == nil {
				b.Fatal("no error")
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 2*firstRead {
		t.Errorf("%d bytes are allocated for a message that does not come", allocated)
	}
}

func FuzzReadMessage(f *testing.F) {
	for _, m := range []message{
		{Kind: kindHello, Role: roleNode},
		{Kind: kindUpdate, Revision: 5, Config: json.RawMessage(`{"a":[1,2]}`)},
		{Kind: kindResponse, ID: 1, Error: "x"},
	} {
		frame, err := encode(m, maxToServer)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x00\x00\x02[]\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 16
		r := bytes.NewReader(data)
		for {
			begin := len(data) - r.Len()
			m, err := readMessage(r, limit)
			if err != nil {
				return
			}
			size := int(binary.BigEndian.Uint32(data[begin:]))
			if size > limit || begin+headerSize+size != len(data)-r.Len() {
				t.Fatalf("a message of %d bytes left %d of %d", size, r.Len(), len(data))
			}
			frame, err := encode(m, 1<<20)
			if err != nil {
				t.Fatalf("a message that was read can't be written: %v", err)
			}
			again, err := readMessage(bytes.NewReader(frame), 1<<20)
			if err != nil || again.Kind != m.Kind || again.ID != m.ID || again.Revision != m.Revision {
				t.Fatalf("message %+v became %+v, %v", m, again, err)
			}
		}
	})
}

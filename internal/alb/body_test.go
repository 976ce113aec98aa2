package alb

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Large bodies come as they were sent, whether they are moved within the kernel
// or not, and one that breaks off is told as such.
func TestLargeBodies(t *testing.T) {
	body := make([]byte, 3<<20)
	source := rand.NewChaCha8([32]byte{})
	source.Read(body)
	at := startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PUT" {
			if got, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(got, body) {
				w.WriteHeader(400)
			}
			return
		}
		if r.URL.Path == "/chunked" {
			w.Write(body)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if r.URL.Path == "/whole" {
			w.Write(body)
			return
		}
		w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	})
	n := startNode(t, configuration(healthy(at)))
	for path, want := range map[string]error{"/whole": nil, "/chunked": nil, "/broken": io.ErrUnexpectedEOF} {
		response, err := n.client.Get("http://" + n.address() + path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if !errors.Is(err, want) || !bytes.Equal(got, body[:len(got)]) || want == nil && len(got) != len(body) {
			t.Errorf("%s: %d bytes, %v", path, len(got), err)
		}
		line := n.log.find(t, path)
		if want == nil && line["sent_bytes"] != float64(len(body)) {
			t.Errorf("%s: %v bytes in the log", path, line["sent_bytes"])
		}
		if cause, _ := line["error"].(string); (want != nil) != strings.Contains(cause, errBroken.Error()) {
			t.Errorf("%s: in the log: %q", path, cause)
		}
	}
	if a := n.do("PUT", "/put", bytes.NewReader(body)); a.status != 200 {
		t.Errorf("PUT: %d", a.status)
	}
}

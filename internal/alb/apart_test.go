package alb

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Exchanges use the memory of those before them. Nothing of one may come to
// another: with clients that leave, bodies that are streamed, and targets that
// answer early or close.
func TestExchangesApart(t *testing.T) {
	type received struct{ Path, Query, Mark, Agent, Trace, Body string }
	target := startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		mark := r.Header.Get("X-Mark")
		w.Header().Set("X-Echo", mark)
		switch r.URL.Query().Get("how") {
		case "silent":
			<-r.Context().Done()
			return
		case "early":
			w.WriteHeader(418)
			return
		case "close":
			w.Header().Set("Connection", "close")
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		text, _ := json.Marshal(received{r.URL.Path, r.URL.RawQuery, mark, r.UserAgent(), r.Header.Get("X-Amzn-Trace-Id"), string(body)})
		w.Write(text)
	})
	n := startNode(t, configuration(healthy(target)))
	call := func(mark string) error {
		how := [...]string{"plain", "plain", "held", "streamed", "close", "early", "silent", "leave"}[rand.IntN(8)]
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var body io.Reader
		want := received{Path: "/x/" + mark, Query: "how=" + how + "&" + mark, Mark: mark, Agent: "agent " + mark}
		if how == "held" || how == "streamed" || how == "early" {
			want.Body = strings.Repeat(mark, 1+rand.IntN(256))
			if body = strings.NewReader(want.Body); how != "held" {
				body = io.MultiReader(body) // whose length nobody knows
			}
		}
		r, err := http.NewRequestWithContext(ctx, "POST", "http://"+n.address()+want.Path+"?"+want.Query, body)
		if err != nil {
			return err
		}
		root := fmt.Sprintf("Root=1-67891233-%024x", rand.Uint64())
		r.Header = http.Header{"X-Mark": {mark}, "User-Agent": {want.Agent}, "X-Amzn-Trace-Id": {root}}
		if how == "silent" {
			defer time.AfterFunc(time.Duration(rand.IntN(int(5*time.Millisecond))), cancel).Stop()
		}
		a, err := n.client.Do(r)
		if err != nil {
			return nil // it left, or its kept connection was closed behind an early answer
		}
		defer a.Body.Close()
		if got := a.Header.Get("X-Echo"); got != mark {
			return fmt.Errorf("%s: the header of %q", how, got)
		}
		if how == "leave" || how == "early" {
			return nil
		}
		var got received
		if err := json.NewDecoder(a.Body).Decode(&got); err != nil {
			return fmt.Errorf("%s: %w", how, err)
		}
		if !strings.HasSuffix(got.Trace, ";"+root) {
			return fmt.Errorf("%s: the trace %q, want %q", how, got.Trace, root)
		}
		if got.Trace = ""; got != want {
			return fmt.Errorf("%s: %.300v, want %.300v", how, got, want)
		}
		return nil
	}
	var clients sync.WaitGroup
	for c := range 16 {
		clients.Go(func() {
			for i := range 50 {
				mark := fmt.Sprintf("mark-%d-%d-%s", c, i, strings.Repeat("x", rand.IntN(40)))
				if err := call(mark); err != nil {
					t.Errorf("%s: %v", mark, err)
				}
			}
		})
	}
	clients.Wait()
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	lines := 0
	for line := range bytes.Lines(n.log.b.Bytes()) {
		var l struct {
			Request string
			Agent   string `json:"user_agent"`
		}
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		if mark, is := strings.CutPrefix(l.Agent, "agent "); !is || l.Request != "POST /x/"+mark {
			t.Errorf("a line of two requests: %s", line)
		}
		lines++
	}
	if lines < 500 {
		t.Errorf("%d lines for 800 requests", lines)
	}
}

package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/isthmus-net/isthmus/internal/feed"
)

func port(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 64, 0, 9}), uint16(n))
}

// answerAll answers each connection with its port; every seventh is not known.
func answerAll(params, result any) error {
	raw, err := json.Marshal(params)
	if err != nil {
		return err
	}
	var asked struct{ Connections []connection }
	if err := json.Unmarshal(raw, &asked); err != nil {
		return err
	}
	var out struct {
		Callers []told `json:"callers"`
	}
	for _, c := range asked.Connections {
		if c.Other.Port()%7 == 0 {
			out.Callers = append(out.Callers, told{Error: "no such flow"})
		} else {
			out.Callers = append(out.Callers, told{Caller: Caller{Client: c.Other}})
		}
	}
	if raw, err = json.Marshal(out); err != nil {
		return err
	}
	return json.Unmarshal(raw, result)
}

// TestManyQuestionsGoTogether: a thousand connections at once take a few
// requests, and each gets its own answer.
func TestManyQuestionsGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		waiting := make(chan struct{})
		a := newAsker(func(_ context.Context, _ string, params, result any) error {
			requests.Add(1)
			<-waiting
			return answerAll(params, result)
		})
		go a.run(t.Context())
		var group sync.WaitGroup
		for i := 1; i <= 1000; i++ {
			group.Go(func() {
				got, err := a.ask(t.Context(), port(8443), port(i))
				if unknown := i%7 == 0; unknown != (err != nil) || !unknown && got.Client != port(i) {
					t.Errorf("%d: %+v, %v", i, got, err)
				}
			})
		}
		synctest.Wait() // the first requests are under way, all else waits
		close(waiting)
		group.Wait()
		if n := requests.Load(); n > 2+1000/askTogether+1 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestQuestionOutlivesTheControlProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		a := newAsker(func(ctx context.Context, _ string, params, result any) error {
			switch calls++; calls {
			case 1:
				return fmt.Errorf("call: %w", feed.ErrDisconnected)
			case 2:
				return answerAll(params, result)
			}
			<-ctx.Done()
			return ctx.Err()
		})
		go a.run(t.Context())
		if got, err := a.ask(t.Context(), port(8443), port(3)); err != nil || got.Client != port(3) {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := a.ask(t.Context(), port(8443), port(4)); err == nil {
			t.Error("nobody answered, and there is an answer")
		}
	})
}

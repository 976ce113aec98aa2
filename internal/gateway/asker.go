package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/isthmus-net/isthmus/internal/feed"
)

// Bounds of the question who opened a connection: how long a caller waits for
// the answer, how many questions go together, and how many such requests are
// under way.
const (
	askTimeout  = 5 * time.Second
	askTogether = 256
	askAtOnce   = 2
)

// connection is one inside API Gateway's VPC, and what node.CallerParams are.
type connection struct {
	Own   netip.AddrPort `json:"own"`
	Other netip.AddrPort `json:"other"`
}

// told is the answer about one connection.
type told struct {
	Caller Caller `json:"caller"`
	Error  string `json:"error,omitempty"`
}

type question struct {
	connection
	answer chan<- told // takes one without waiting
}

// asker asks the control process who opened connections. What is asked while
// requests are under way is asked together: when many connections come at once
// each costs little.
type asker struct {
	call      func(ctx context.Context, method string, params, result any) error
	questions chan question
}

func newAsker(call func(ctx context.Context, method string, params, result any) error) *asker {
	return &asker{call: call, questions: make(chan question)}
}

// ask is for Options.Caller. It is answered while run runs.
func (a *asker) ask(ctx context.Context, own, other netip.AddrPort) (Caller, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer := make(chan told, 1)
	select {
	case a.questions <- question{connection{own, other}, answer}:
	case <-ctx.Done():
		return Caller{}, fmt.Errorf("ask who opened the connection: %w", ctx.Err())
	}
	select {
	case t := <-answer:
		if t.Error != "" {
			return Caller{}, errors.New("ask who opened the connection: " + t.Error)
		}
		return t.Caller, nil
	case <-ctx.Done():
		return Caller{}, fmt.Errorf("ask who opened the connection: %w", ctx.Err())
	}
}

// run passes questions on until ctx ends.
func (a *asker) run(ctx context.Context) {
	slots := make(chan struct{}, askAtOnce)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		batch := a.collect(ctx)
		go func() {
			defer func() { <-slots }()
			a.pass(ctx, batch)
		}()
	}
}

// collect waits for a question and takes what else waits.
func (a *asker) collect(ctx context.Context) (batch []question) {
	select {
	case q := <-a.questions:
		batch = append(batch, q)
	case <-ctx.Done():
		return nil
	}
	for len(batch) < askTogether {
		select {
		case q := <-a.questions:
			batch = append(batch, q)
		default:
			return batch
		}
	}
	return batch
}

// pass asks the control process, which asks the node.
func (a *asker) pass(ctx context.Context, batch []question) {
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var params struct {
		Connections []connection `json:"connections"`
	}
	for _, q := range batch {
		params.Connections = append(params.Connections, q.connection)
	}
	var result struct {
		Callers []told `json:"callers"`
	}
	err := a.call(ctx, "callers", params, &result)
	if errors.Is(err, feed.ErrDisconnected) {
		// The control process was replaced; the question changes nothing.
		err = a.call(ctx, "callers", params, &result)
	}
	if err == nil && len(result.Callers) != len(batch) {
		err = fmt.Errorf("%d answers to %d questions", len(result.Callers), len(batch))
	}
	for i, q := range batch {
		if err != nil {
			q.answer <- told{Error: err.Error()}
		} else {
			q.answer <- result.Callers[i]
		}
	}
}

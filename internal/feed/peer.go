package feed

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// ErrDisconnected is the cause of a call's failure when the connection ended
// before the answer came: the request may or may not have been served.
var ErrDisconnected = errors.New("the connection ended")

// RemoteError is an error that the other side answered with.
type RemoteError struct {
	Method string
	Text   string
}

func (e *RemoteError) Error() string { return e.Method + ": " + e.Text }

const (
	// writeTimeout is how long the other side may take to make room for a
	// message before the connection is given up.
	writeTimeout = 30 * time.Second
	// maxRequests is the number of requests of one connection that are
	// served at a time; further ones are answered with an error.
	maxRequests = 64
)

// peer is one end of a connection.
type peer struct {
	conn   net.Conn
	log    *slog.Logger
	inMax  int // limit of a message that comes in
	outMax int // limit of one that goes out
	// serve answers a request; receive takes updates and acks, and must not
	// block.
	serve   func(ctx context.Context, method string, params json.RawMessage) (any, error)
	receive func(m message) error

	tasks *sync.WaitGroup // the owner's: requests being served, which may outlast the connection

	ctx     context.Context // ends with the connection
	cancel  context.CancelCauseFunc
	out     chan []byte            // frames to write
	update  atomic.Pointer[[]byte] // the latest configuration, not yet written
	updated chan struct{}
	slots   chan struct{}

	mu    sync.Mutex
	calls map[uint64]chan message
	last  uint64 // id
}

func newPeer(ctx context.Context, tasks *sync.WaitGroup, conn net.Conn, log *slog.Logger, inMax, outMax int) *peer {
	p := &peer{
		conn: conn, log: log, inMax: inMax, outMax: outMax, tasks: tasks,
		out:     make(chan []byte, 16),
		updated: make(chan struct{}, 1),
		slots:   make(chan struct{}, maxRequests),
		calls:   map[uint64]chan message{},
	}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	return p
}

// run serves the connection until it ends, and tells why it did.
func (p *peer) run() error {
	var writer sync.WaitGroup
	stop := context.AfterFunc(p.ctx, func() { p.conn.Close() })
	defer stop()
	writer.Go(func() { p.cancel(p.write()) })
	p.cancel(p.read())
	writer.Wait()
	p.conn.Close()
	return context.Cause(p.ctx)
}

func (p *peer) write() error {
	for {
		var frame []byte
		select {
		case frame = <-p.out:
		case <-p.updated:
			f := p.update.Swap(nil)
			if f == nil {
				continue
			}
			frame = *f
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
		if err := p.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		if _, err := p.conn.Write(frame); err != nil {
			return err
		}
	}
}

// replaceUpdate makes frame the next configuration to write, in the place of
// one that waits still.
func (p *peer) replaceUpdate(frame []byte) {
	p.update.Store(&frame)
	select {
	case p.updated <- struct{}{}:
	default:
	}
}

func (p *peer) read() error {
	r := bufio.NewReader(p.conn)
	for {
		m, err := readMessage(r, p.inMax)
		if err != nil {
			return err
		}
		switch m.Kind {
		case kindRequest:
			select {
			case p.slots <- struct{}{}:
				p.tasks.Go(func() {
					defer func() { <-p.slots }()
					p.answer(m)
				})
			default:
				// From here, so that a flood waits for its answers to be read.
				p.respond(m.ID, nil, errors.New("too many requests at a time"))
			}
		case kindResponse:
			p.mu.Lock()
			answer := p.calls[m.ID]
			delete(p.calls, m.ID)
			p.mu.Unlock()
			if answer != nil {
				answer <- m
			}
		default:
			if err := p.receive(m); err != nil {
				return err
			}
		}
	}
}

func (p *peer) answer(m message) {
	var result any
	err := errors.New("internal error")
	func() {
		defer func() {
			if cause := recover(); cause != nil {
				p.log.Error("feed: a request made its handler panic", "method", m.Method, "cause", cause, "stack", string(debug.Stack()))
			}
		}()
		result, err = p.serve(p.ctx, m.Method, m.Params)
	}()
	p.respond(m.ID, result, err)
}

func (p *peer) respond(id uint64, result any, err error) {
	m := message{Kind: kindResponse, ID: id}
	if err == nil {
		m.Result, err = json.Marshal(result)
	}
	if err == nil {
		if err = p.send(p.ctx, m); err == nil || p.ctx.Err() != nil {
			return
		}
	}
	// What can't be sent is told instead.
	m.Result, m.Error = nil, err.Error()
	if m.Error == "" {
		m.Error = "failed"
	}
	if err := p.send(p.ctx, m); err != nil && p.ctx.Err() == nil {
		p.log.Error("feed: an answer could not be sent", "error", err)
	}
}

// send queues a message; it waits for room no longer than ctx.
func (p *peer) send(ctx context.Context, m message) error {
	frame, err := encode(m, p.outMax)
	if err != nil {
		return err
	}
	select {
	case p.out <- frame:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ctx.Done():
		return ErrDisconnected
	}
}

// call sends a request and waits for its answer.
func (p *peer) call(ctx context.Context, method string, params, result any) error {
	raw, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("call %s: encode parameters: %w", method, err)
	}
	answer := make(chan message, 1)
	p.mu.Lock()
	p.last++
	id := p.last
	p.calls[id] = answer
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.calls, id)
		p.mu.Unlock()
	}()
	if err := p.send(ctx, message{Kind: kindRequest, ID: id, Method: method, Params: raw}); err != nil {
		return fmt.Errorf("call %s: %w", method, err)
	}
	select {
	case m := <-answer:
		if m.Error != "" {
			return &RemoteError{Method: method, Text: m.Error}
		}
		if result == nil {
			return nil
		}
		if err := json.Unmarshal(m.Result, result); err != nil {
			return fmt.Errorf("call %s: decode result: %w", method, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("call %s: %w", method, ctx.Err())
	case <-p.ctx.Done():
		return fmt.Errorf("call %s: %w", method, ErrDisconnected)
	}
}

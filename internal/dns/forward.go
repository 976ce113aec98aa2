package dns

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// forwarder asks another resolver, by UDP on one connected socket, which the
// kernel keeps free of what others send; and what does not fit there, once more
// by a stream.
type forwarder struct {
	conn   net.Conn
	stream func(context.Context) (net.Conn, error)
	slots  chan struct{}

	mu      sync.Mutex
	pending map[uint16]pending
}

type pending struct {
	question dns.Question
	answer   chan *dns.Msg // has room for one
}

const (
	// maxPending bounds the questions under way; those beyond are refused.
	maxPending = 1024
	// forwardSize is the longest answer that is taken.
	forwardSize = 4096
	// forwardAgain is when a question is sent once more.
	forwardAgain = 1500 * time.Millisecond
)

// newForwarder takes answers from the socket until it is closed.
func newForwarder(conn net.Conn, stream func(context.Context) (net.Conn, error)) *forwarder {
	f := &forwarder{conn: conn, stream: stream, slots: make(chan struct{}, maxPending), pending: map[uint16]pending{}}
	go f.receive()
	return f
}

func (f *forwarder) receive() {
	buffer := make([]byte, forwardSize)
	for {
		n, err := f.conn.Read(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Other errors tell that nobody was there for an earlier question.
		m := new(dns.Msg)
		if err != nil || m.Unpack(buffer[:n]) != nil || !m.Response || len(m.Question) != 1 {
			continue
		}
		f.mu.Lock()
		p, ok := f.pending[m.Id]
		f.mu.Unlock()
		if !ok || !answers(m.Question[0], p.question) {
			continue
		}
		select {
		case p.answer <- m:
		default: // the answer to the question's repetition
		}
	}
}

// ask sends a question and waits for the answer.
func (f *forwarder) ask(ctx context.Context, question dns.Question) (*dns.Msg, error) {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	default:
		return nil, errors.New("too many questions are under way")
	}
	answer := make(chan *dns.Msg, 1)
	id := f.register(pending{question, answer})
	defer f.forget(id)
	m := new(dns.Msg)
	m.Id, m.RecursionDesired, m.Question = id, true, []dns.Question{question}
	m.SetEdns0(forwardSize, false)
	b, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("encode question: %w", err)
	}
	for {
		if _, err := f.conn.Write(b); err != nil && ctx.Err() == nil {
			// What the kernel tells is the fate of an earlier question.
			if _, err = f.conn.Write(b); err != nil {
				return nil, err
			}
		}
		again := time.NewTimer(forwardAgain)
		select {
		case m := <-answer:
			again.Stop()
			if m.Truncated {
				return f.askWhole(ctx, question)
			}
			return m, nil
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil, fmt.Errorf("no answer of %s in time", f.conn.RemoteAddr())
		}
	}
}

// askWhole sends a question whose answer is too long for UDP over TCP.
func (f *forwarder) askWhole(ctx context.Context, question dns.Question) (*dns.Msg, error) {
	stream, err := f.stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask %s over TCP: %w", f.conn.RemoteAddr(), err)
	}
	defer stream.Close()
	defer context.AfterFunc(ctx, func() { stream.Close() })()
	c := &dns.Conn{Conn: stream}
	q := new(dns.Msg)
	q.SetQuestion(question.Name, question.Qtype)
	q.Question[0].Qclass = question.Qclass
	if err := c.WriteMsg(q); err != nil {
		return nil, fmt.Errorf("ask %s over TCP: %w", f.conn.RemoteAddr(), err)
	}
	m, err := c.ReadMsg()
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask %s over TCP: %w", f.conn.RemoteAddr(), err)
	case !m.Response || m.Truncated || m.Id != q.Id || len(m.Question) != 1 || !answers(m.Question[0], question):
		return nil, fmt.Errorf("ask %s over TCP: it answers something else", f.conn.RemoteAddr())
	}
	return m, nil
}

// answers says whether what an answer is about was asked.
func answers(got, asked dns.Question) bool {
	return got.Qtype == asked.Qtype && got.Qclass == asked.Qclass && strings.EqualFold(got.Name, asked.Name)
}

// register chooses an id that no question under way has.
func (f *forwarder) register(p pending) uint16 {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		id := uint16(rand.Uint32())
		if _, taken := f.pending[id]; !taken {
			f.pending[id] = p
			return id
		}
	}
}

func (f *forwarder) forget(id uint16) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.pending, id)
}

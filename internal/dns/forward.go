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
// kernel keeps free of what others send.
type forwarder struct {
	conn  net.Conn
	slots chan struct{}

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
func newForwarder(conn net.Conn) *forwarder {
	f := &forwarder{conn: conn, slots: make(chan struct{}, maxPending), pending: map[uint16]pending{}}
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
		q := m.Question[0]
		if !ok || q.Qtype != p.question.Qtype || q.Qclass != p.question.Qclass || !strings.EqualFold(q.Name, p.question.Name) {
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
			return m, nil
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil, fmt.Errorf("no answer of %s in time", f.conn.RemoteAddr())
		}
	}
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

package dns

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

// other is a resolver that does with questions what it is told to.
func other(t *testing.T, reply func(*dns.Msg) []*dns.Msg) net.Conn {
	t.Helper()
	l, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, dns.MaxMsgSize)
		for {
			n, from, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if q.Unpack(b[:n]) != nil {
				continue
			}
			for _, m := range reply(q) {
				if packed, err := m.Pack(); err == nil {
					l.WriteTo(packed, from)
				}
			}
		}
	}()
	c, err := net.Dial("udp4", l.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); l.Close(); <-done })
	return c
}

func answerTo(q *dns.Msg, text string) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{text}}}
	return m
}

// Many questions at once get each its own answer, whatever else arrives.
func TestForwarder(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	conn := other(t, func(q *dns.Msg) []*dns.Msg {
		otherID, otherName, noReply := answerTo(q, "wrong"), answerTo(q, "wrong"), answerTo(q, "wrong")
		otherID.Id++
		otherName.Question = []dns.Question{{Name: "else.example.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET}}
		noReply.Response = false
		right := answerTo(q, q.Question[0].Name)
		right.Question[0].Name = strings.ToUpper(right.Question[0].Name)
		return []*dns.Msg{otherName, noReply, right, answerTo(q, "late"), otherID}
	})
	f := newForwarder(conn, nil)
	var group sync.WaitGroup
	for i := range 40 { // as many as whose packets a socket has room for
		group.Go(func() {
			name := fmt.Sprintf("n%d.example.", i)
			m, err := f.ask(t.Context(), dns.Question{Name: name, Qtype: dns.TypeTXT, Qclass: dns.ClassINET})
			if err != nil || m.Answer[0].(*dns.TXT).Txt[0] != name {
				t.Errorf("%s: %v, %v", name, m, err)
			}
		})
	}
	group.Wait()
	if len(f.pending) != 0 || len(f.slots) != 0 {
		t.Errorf("%d questions are still under way, %d slots taken", len(f.pending), len(f.slots))
	}
}

// A question that was lost is sent again.
func TestForwarderAsksAgain(t *testing.T) {
	var asked atomic.Int64
	f := newForwarder(other(t, func(q *dns.Msg) []*dns.Msg {
		if asked.Add(1) == 1 {
			return nil
		}
		return []*dns.Msg{answerTo(q, "at last")}
	}), nil)
	if _, err := f.ask(t.Context(), dns.Question{Name: "example.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET}); err != nil || asked.Load() != 2 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
}

func TestForwarderGivesUp(t *testing.T) {
	silent := newForwarder(other(t, func(*dns.Msg) []*dns.Msg { return nil }), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	question := dns.Question{Name: "example.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET}
	if _, err := silent.ask(ctx, question); err == nil || !strings.Contains(err.Error(), "in time") {
		t.Error(err)
	}
	for range cap(silent.slots) {
		silent.slots <- struct{}{}
	}
	if _, err := silent.ask(t.Context(), question); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Error(err)
	}
}

// What does not fit into a datagram is asked for over TCP.
func TestForwarderAsksWhole(t *testing.T) {
	truncated := func(q *dns.Msg) []*dns.Msg {
		m := answerTo(q, "some")
		m.Truncated = true
		return []*dns.Msg{m}
	}
	question := dns.Question{Name: "large.example.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET}
	for name, c := range map[string]struct {
		reply func(q *dns.Msg) *dns.Msg
		want  string // of the error
	}{
		"whole": {func(q *dns.Msg) *dns.Msg {
			m := answerTo(q, "0")
			for i := range 1000 {
				m.Answer = append(m.Answer, answerTo(q, fmt.Sprint(i)).Answer...)
			}
			return m
		}, ""},
		"truncated again": {func(q *dns.Msg) *dns.Msg { return truncated(q)[0] }, "something else"},
		"another question": {func(q *dns.Msg) *dns.Msg {
			m := answerTo(q, "x")
			m.Question[0].Name = "other.example."
			return m
		}, "something else"},
		"closed": {func(*dns.Msg) *dns.Msg { return nil }, "over TCP"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForwarder(other(t, truncated), func(context.Context) (net.Conn, error) {
				near, far := net.Pipe()
				go func() {
					defer far.Close()
					conn := &dns.Conn{Conn: far}
					q, err := conn.ReadMsg()
					if err != nil {
						return
					}
					if m := c.reply(q); m != nil {
						conn.WriteMsg(m)
					}
				}()
				return near, nil
			})
			m, err := f.ask(t.Context(), question)
			if c.want == "" && (err != nil || len(m.Answer) != 1001) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, %v", m, err)
			}
		})
	}
	gone := newForwarder(other(t, truncated), func(context.Context) (net.Conn, error) { return nil, net.ErrClosed })
	if _, err := gone.ask(t.Context(), question); err == nil || !strings.Contains(err.Error(), "over TCP") {
		t.Error(err)
	}
}

package dns

import (
	"testing"

	"github.com/miekg/dns"
)

func TestForwarding(t *testing.T) {
	u := &told{}
	h := newTestHandler(t, u)
	for _, c := range []struct{ name, want string }{
		{"example.com.", "NOERROR | 192.0.2.1"},
		{"away.shop.", "NOERROR | 192.0.2.1 | www.example.com."},
		{"x.elb.us-east-1.amazonaws.com.", "NOERROR | 192.0.2.1"}, // may be AWS's
		{"no.shop.", "NXDOMAIN"},
		{"one.web.shop.", "NOERROR | 10.0.1.1"},
	} {
		w := udpFrom(nodeA)
		q := query(c.name, dns.TypeA)
		q.SetEdns0(4096, false)
		h.inside(w, q)
		if got := text(w.msg); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if len(w.msg.Extra) != 1 || w.msg.Id != q.Id {
			t.Errorf("%s: %v", c.name, w.msg)
		}
	}
	if len(u.asked) != 3 || u.asked[0] != "example.com." || u.asked[1] != "www.example.com." {
		t.Errorf("asked %q", u.asked)
	}
}

func TestSizes(t *testing.T) {
	h := newTestHandler(t, nil)
	for _, c := range []struct {
		w         *capture
		edns      uint16
		truncated bool
		limit     int
	}{
		{udpFrom(nodeA), 0, true, 512},
		{udpFrom(nodeA), 100, true, 512},
		{udpFrom(nodeA), 1000, true, 1000},
		{udpFrom(nodeA), 65535, true, maxUDP},
		{tcpFrom(nodeA), 0, false, dns.MaxMsgSize},
	} {
		q := query("large.shop.", dns.TypeA)
		if c.edns > 0 {
			q.SetEdns0(c.edns, false)
		}
		h.inside(c.w, q)
		b, err := c.w.msg.Pack()
		if err != nil || c.w.msg.Truncated != c.truncated || len(b) > c.limit || c.truncated == (len(c.w.msg.Answer) == 200) {
			t.Errorf("EDNS %d: %d bytes, %d answers, truncated %v, %v", c.edns, len(b), len(c.w.msg.Answer), c.w.msg.Truncated, err)
		}
		if (c.w.msg.IsEdns0() != nil) != (c.edns > 0) {
			t.Errorf("EDNS %d: %v", c.edns, c.w.msg.IsEdns0())
		}
	}
}

func TestOddQueries(t *testing.T) {
	h := newTestHandler(t, nil)
	for want, change := range map[int]func(*dns.Msg){
		dns.RcodeNotImplemented: func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify },
		dns.RcodeRefused:        func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
		dns.RcodeBadVers:        func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) },
		dns.RcodeSuccess:        func(m *dns.Msg) { m.RecursionDesired = false },
	} {
		q := query("one.web.shop.", dns.TypeA)
		change(q)
		w := udpFrom(nodeA)
		h.inside(w, q)
		if w.msg.Rcode != want {
			t.Errorf("got %s, want %s", dns.RcodeToString[w.msg.Rcode], dns.RcodeToString[want])
		}
	}
}

// A VPC that asks too often is not answered; others are.
func TestRate(t *testing.T) {
	h := newTestHandler(t, nil)
	vpc := h.names.Load().askers[nodeA]
	limit := (*h.limits.Load())[vpc]
	if limit.Limit() != maxRate || limit.Burst() != maxBurst {
		t.Errorf("%v queries a second, %d at once", limit.Limit(), limit.Burst())
	}
	const burst = 10
	limit.SetBurst(burst)
	limit.SetLimit(0)
	answered := 0
	for range 3 * burst {
		w := udpFrom(nodeA)
		h.inside(w, query("one.web.shop.", dns.TypeA))
		if w.msg != nil {
			answered++
		} else if !w.closed {
			t.Error("a query was neither answered nor dropped")
		}
	}
	w := udpFrom(nodeB)
	h.inside(w, query("abc-vpce-1."+apiDomain, dns.TypeA))
	if answered != burst || w.msg == nil {
		t.Errorf("%d queries answered, the other VPC's answer %v", answered, w.msg)
	}
	// A new configuration does not give a VPC its allowance back.
	h.apply(names1(t, world()))
	w = udpFrom(nodeA)
	h.inside(w, query("one.web.shop.", dns.TypeA))
	if w.msg != nil {
		t.Error("the allowance was given anew")
	}
}

// FuzzHandler: whatever is asked, there is one answer, which can be sent, fits,
// and is about the question.
func FuzzHandler(f *testing.F) {
	for _, q := range []*dns.Msg{
		query("x."+apiDomain, dns.TypeA), query("web.shop.", dns.TypeSRV), query("large.shop.", dns.TypeA), query("loop.shop.", dns.TypeA),
		query("*.shop.", dns.TypeANY), query(".", dns.TypeNS), query("away.shop.", dns.TypeAAAA), query("\\000.shop.", dns.TypeCNAME),
	} {
		b, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, false)
		q.SetEdns0(4096, true)
		if b, err = q.Pack(); err != nil {
			f.Fatal(err)
		}
		f.Add(b, true)
	}
	h := newTestHandler(f, nil)
	f.Fuzz(func(t *testing.T, b []byte, tcp bool) {
		q := new(dns.Msg)
		// The server itself lets no other messages through.
		if q.Unpack(b) != nil || q.Response || len(q.Question) != 1 {
			return
		}
		w, limit := udpFrom(nodeB), maxUDP
		if tcp {
			w, limit = tcpFrom(nodeB), dns.MaxMsgSize
		}
		h.reply(w, q, h.names.Load().vpcs["vpc-a"], "vpc-a")
		if w.msg == nil {
			t.Fatal("no answer")
		}
		packed, err := w.msg.Pack()
		if err != nil {
			t.Fatalf("%v: %v", w.msg, err)
		}
		again := new(dns.Msg)
		if err := again.Unpack(packed); err != nil {
			t.Fatalf("%v: %v", w.msg, err)
		}
		if len(packed) > limit || !again.Response || again.Id != q.Id || len(again.Question) != 1 || again.Question[0] != q.Question[0] {
			t.Fatalf("%v is answered %v", q, again)
		}
	})
}

package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/isthmus-net/isthmus/internal/dns/config"
)

func TestAnswers(t *testing.T) {
	h := newTestHandler(t, nil)
	for _, c := range []struct {
		from netip.Addr
		name string
		typ  uint16
		want string
		soa  string // of the zone that denies
	}{
		{nodeA, "x." + apiDomain, dns.TypeA, "NOERROR | 10.0.0.5", ""},
		{nodeA, "x.y." + apiDomain, dns.TypeA, "NOERROR | 10.0.0.5", ""},
		{nodeA, apiDomain, dns.TypeA, "NOERROR | 10.0.0.5", ""},
		{nodeA, "X.Execute-API.us-east-1.amazonaws.com.", dns.TypeA, "NOERROR | 10.0.0.5", ""},
		{nodeA, "x." + apiDomain, dns.TypeAAAA, "NOERROR", apiDomain},
		{nodeA, "xexecute-api.us-east-1.amazonaws.com.", dns.TypeA, "REFUSED", ""},
		{nodeB, "x." + apiDomain, dns.TypeA, "NXDOMAIN", apiDomain},
		{nodeB, "abc-vpce-1." + apiDomain, dns.TypeA, "NOERROR | 10.0.0.5", ""},
		{nodeA, "web.shop.", dns.TypeSRV, "NOERROR | 1 1 8080 one.web.shop. | 1 1 81 two.web.shop.", ""},
		{nodeA, "WEB.shop.", dns.TypeA, "NOERROR", "shop."},
		{nodeA, "one.web.shop.", dns.TypeA, "NOERROR | 10.0.1.1", ""},
		{nodeA, "no.web.shop.", dns.TypeA, "NXDOMAIN", "shop."},
		{nodeA, "down.shop.", dns.TypeA, "NOERROR", "shop."}, // exists only for what is under it
		{nodeA, "deep.down.shop.", dns.TypeA, "NOERROR | 10.0.1.3", ""},
		{nodeA, "shop.", dns.TypeA, "NOERROR", "shop."},
		{nodeA, "shop.", dns.TypeSOA, "NOERROR | ns-1536.awsdns-00.co.uk. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400", ""},
		{nodeA, "shop.", dns.TypeNS, "NOERROR | ns-0.awsdns-00.com. | ns-1024.awsdns-00.org. | ns-1536.awsdns-00.co.uk. | ns-512.awsdns-00.net.", ""},
		{nodeA, "alias.shop.", dns.TypeA, "NOERROR | 10.0.2.1 | 10.0.2.2 | web.elb.us-east-1.amazonaws.com.", ""},
		{nodeA, "alias.shop.", dns.TypeCNAME, "NOERROR | web.elb.us-east-1.amazonaws.com.", ""},
		{nodeA, "alias.shop.", dns.TypeAAAA, "NOERROR | web.elb.us-east-1.amazonaws.com.", "elb.us-east-1.amazonaws.com."},
		{nodeA, "away.shop.", dns.TypeA, "REFUSED | www.example.com.", ""},
		{nodeA, "loop.shop.", dns.TypeA, "SERVFAIL", ""},
		{nodeA, "77.1.0.10.in-addr.arpa.", dns.TypePTR, "NOERROR | ip-10-0-1-77.ec2.internal.", ""},
		{nodeA, "78.1.0.10.in-addr.arpa.", dns.TypePTR, "NXDOMAIN", "0.10.in-addr.arpa."},
		{nodeA, "1.0.11.in-addr.arpa.", dns.TypePTR, "REFUSED", ""},
		{nodeA, "web.elb.us-east-1.amazonaws.com.", dns.TypeA, "NOERROR | 10.0.2.1 | 10.0.2.2", ""},
		{nodeA, "example.com.", dns.TypeA, "REFUSED", ""},
		{nodeA, ".", dns.TypeNS, "REFUSED", ""},
		{nodeA, "web.shop.", dns.TypeANY, "REFUSED", ""},
		{nodeA, "shop.", dns.TypeAXFR, "REFUSED", ""},
		{nodeB, "web.shop.", dns.TypeSRV, "REFUSED", ""},
	} {
		w := udpFrom(c.from)
		h.inside(w, query(c.name, c.typ))
		if w.msg == nil {
			t.Errorf("%s %s: no answer", c.name, dns.TypeToString[c.typ])
			continue
		}
		if got := text(w.msg); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.name, dns.TypeToString[c.typ], got, c.want)
		}
		soa := ""
		for _, r := range w.msg.Ns {
			soa += r.Header().Name
		}
		if soa != c.soa {
			t.Errorf("%s %s: denied by %q, want %q", c.name, dns.TypeToString[c.typ], soa, c.soa)
		}
		if q := w.msg.Question[0].Name; q != c.name || len(w.msg.Answer) > 0 && w.msg.Answer[0].Header().Name != c.name {
			t.Errorf("%s: the answer is about %s", c.name, w.msg)
		}
		if !w.msg.Response || !w.msg.RecursionAvailable || w.msg.Authoritative {
			t.Errorf("%s: header %s", c.name, &w.msg.MsgHdr)
		}
	}
}

// The machine sees what everybody sees, and no VPC.
func TestHostSeesPublicNames(t *testing.T) {
	h := newTestHandler(t, nil)
	for name, want := range map[string]string{
		"web.elb.us-east-1.amazonaws.com.": "NOERROR | 10.0.2.1 | 10.0.2.2",
		"abc-vpce-1." + apiDomain:          "NOERROR | 10.0.0.5",
		"x." + apiDomain:                   "NXDOMAIN",
		"one.web.shop.":                    "REFUSED",
	} {
		w := udpFrom(netip.MustParseAddr("127.0.0.1"))
		h.host(w, query(name, dns.TypeA))
		if got := text(w.msg); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// Who is not known gets nothing, and so asks again.
func TestNobody(t *testing.T) {
	h := newTestHandler(t, nil)
	for _, from := range []string{"127.0.0.1", "100.64.0.12", "::1"} {
		w := udpFrom(netip.MustParseAddr(from))
		h.inside(w, query("web.shop.", dns.TypeSRV))
		if w.msg != nil || !w.closed {
			t.Errorf("%s is answered %v", from, w.msg)
		}
	}
}

// The causes are told to clients that understand (RFC 8914).
func TestCauses(t *testing.T) {
	for _, c := range []struct {
		forward upstream
		from    netip.Addr
		name    string
		want    string
	}{
		{nil, nodeB, "web.shop.", "zone shop. is not in force: enableDnsHostnames of vpc-b is false"},
		{nil, nodeA, "example.com.", "example.com. is of the outside, and isthmus serve was started without --dns-forward"},
		{nil, nodeB, "x." + apiDomain, "no endpoint"},
		{&told{err: errors.New("nobody there")}, nodeA, "example.com.", "forward: nobody there"},
		{nil, nodeA, "loop.shop.", "the chain of CNAME records is too long"},
	} {
		w := udpFrom(c.from)
		q := query(c.name, dns.TypeA)
		q.SetEdns0(4096, false)
		newTestHandler(t, c.forward).inside(w, q)
		opt := w.msg.IsEdns0()
		if opt == nil || len(opt.Option) != 1 || opt.Option[0].(*dns.EDNS0_EDE).ExtraText != c.want {
			t.Errorf("%s: %v, want %s", c.name, opt, c.want)
		}
	}
}

// Chance takes part: of twenty instances eight are given, of weighted ones one
// with all its addresses, and each has its turn.
func TestRoutingPolicies(t *testing.T) {
	h := newTestHandler(t, nil)
	seen := map[string]int{}
	first := map[string]bool{}
	for range 400 {
		w := udpFrom(nodeA)
		h.inside(w, query("many.shop.", dns.TypeA))
		if len(w.msg.Answer) != 8 {
			t.Fatalf("%d answers, want 8", len(w.msg.Answer))
		}
		in := map[string]bool{}
		for i, r := range w.msg.Answer {
			a := r.(*dns.A).A.String()
			in[a] = true
			if seen[a]++; i == 0 {
				first[a] = true
			}
		}
		if len(in) != 8 {
			t.Fatalf("an instance is given twice: %v", w.msg.Answer)
		}
		w = udpFrom(nodeA)
		h.inside(w, query("weighted.shop.", dns.TypeA))
		seen[text(w.msg)]++
	}
	for i := range 20 {
		a := fmt.Sprintf("10.0.9.%d", i)
		if seen[a] < 80 || seen[a] > 240 || !first[a] { // 160 are to be expected
			t.Errorf("%s was given %d times of 400", a, seen[a])
		}
	}
	one, two := seen["NOERROR | 10.0.7.1 | 10.0.7.2"], seen["NOERROR | 10.0.7.3 | 10.0.7.4"]
	if one+two != 400 || one < 120 || two < 120 {
		t.Errorf("weighted: %d and %d of 400", one, two)
	}
}

// What can't be sent is left out, and the rest is answered.
func TestUnfitNames(t *testing.T) {
	c := world()
	delete(c.VPCs, "vpc-b") // has the same names
	shop := c.VPCs["vpc-a"][2]
	shop.Names[strings.Repeat("a", 64)+".shop."] = []config.RRSet{{Type: "A", TTL: 1, Data: []string{"10.0.0.1"}}}
	shop.Names["other."] = []config.RRSet{{Type: "A", TTL: 1, Data: []string{"10.0.0.1"}}}
	shop.Names["bad.shop."] = []config.RRSet{
		{Type: "A", TTL: 1, Data: []string{"::1", "10.0.0.1 x", "10.0.0.9"}},
		{Type: "SRV", TTL: 1, Data: []string{"1 1 65536 a.", "1 1 80", "1 1 80 b"}},
		{Type: "CNAME", TTL: 1, Data: []string{strings.Repeat("a", 64) + "."}},
		{Type: "TXT", TTL: 1, Data: []string{"x"}},
	}
	skipped := 0
	n := newNames(c, func(string, error) { skipped++ })
	if skipped != 9 {
		t.Errorf("%d were left out, want 9", skipped)
	}
	h := newTestHandler(t, nil)
	h.apply(n)
	for name, want := range map[string]string{"bad.shop.": "NOERROR | 10.0.0.9", "one.web.shop.": "NOERROR | 10.0.1.1"} {
		w := udpFrom(nodeA)
		h.inside(w, query(name, dns.TypeA))
		if got := text(w.msg); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

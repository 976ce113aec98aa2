package dns

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/isthmus-net/isthmus/internal/dns/config"
)

const apiDomain = "execute-api.us-east-1.amazonaws.com."

// nodes stand for two VPCs.
var (
	nodeA = netip.MustParseAddr("100.64.0.10")
	nodeB = netip.MustParseAddr("100.64.0.11")
)

// world is two VPCs: one with an endpoint and a namespace, one with a namespace
// of the same name that is not in force.
func world() config.Config {
	a := func(ttl uint32, list ...string) []config.RRSet {
		return []config.RRSet{{Type: "A", TTL: ttl, Data: list}}
	}
	many := config.RRSet{Type: "A", TTL: 5, Limit: 8}
	for i := range 20 {
		many.Data = append(many.Data, netip.AddrFrom4([4]byte{10, 0, 9, byte(i)}).String())
	}
	large := config.RRSet{Type: "A", TTL: 5}
	for i := range 200 {
		large.Data = append(large.Data, netip.AddrFrom4([4]byte{10, 0, 8, byte(i)}).String())
	}
	shop := config.Zone{Name: "shop.", Negative: 15, Names: map[string][]config.RRSet{
		"web.shop.":       {{Type: "SRV", TTL: 10, Limit: 8, Data: []string{"1 1 8080 one.web.shop.", "1 1 81 two.web.shop."}}},
		"one.web.shop.":   a(10, "10.0.1.1"),
		"two.web.shop.":   a(10, "10.0.1.2"),
		"many.shop.":      {many},
		"large.shop.":     {large},
		"weighted.shop.":  {{Type: "A", TTL: 5, Limit: 1, Data: []string{"10.0.7.1 10.0.7.2", "10.0.7.3 10.0.7.4"}}},
		"deep.down.shop.": a(5, "10.0.1.3"),
		"alias.shop.":     {{Type: "CNAME", TTL: 5, Limit: 1, Data: []string{"web.elb.us-east-1.amazonaws.com."}}},
		"away.shop.":      {{Type: "CNAME", TTL: 5, Limit: 1, Data: []string{"www.example.com."}}},
		"loop.shop.":      {{Type: "CNAME", TTL: 5, Data: []string{"pool.shop."}}},
		"pool.shop.":      {{Type: "CNAME", TTL: 5, Data: []string{"loop.shop."}}},
	}}
	off := shop
	off.Off = "enableDnsHostnames of vpc-b is false"
	return config.Config{
		Askers: map[netip.Addr]string{nodeA: "vpc-a", nodeB: "vpc-b"},
		Public: []config.Zone{
			{Name: apiDomain, Negative: 60, Outside: true, Hint: "no endpoint", Names: map[string][]config.RRSet{"abc-vpce-1." + apiDomain: a(60, "10.0.0.5")}},
			{Name: "elb.us-east-1.amazonaws.com.", Negative: 60, Outside: true, Names: map[string][]config.RRSet{"web.elb.us-east-1.amazonaws.com.": a(60, "10.0.2.1", "10.0.2.2")}},
		},
		VPCs: map[string][]config.Zone{
			"vpc-a": {
				{Name: apiDomain, Negative: 60, Names: map[string][]config.RRSet{apiDomain: a(60, "10.0.0.5"), "*." + apiDomain: a(60, "10.0.0.5")}},
				{Name: "0.10.in-addr.arpa.", Negative: 60, Names: map[string][]config.RRSet{"77.1.0.10.in-addr.arpa.": {{Type: "PTR", TTL: 60, Data: []string{"ip-10-0-1-77.ec2.internal."}}}}},
				shop,
			},
			"vpc-b": {off},
		},
	}
}

func names1(t testing.TB, c config.Config) *names {
	return newNames(c, func(name string, err error) { t.Errorf("%s left out: %v", name, err) })
}

func newTestHandler(t testing.TB, forward upstream) *handler {
	h := newHandler(forward, slog.New(slog.DiscardHandler))
	h.apply(names1(t, world()))
	return h
}

// capture is a ResponseWriter that keeps what is written.
type capture struct {
	dns.ResponseWriter
	from   net.Addr
	msg    *dns.Msg
	closed bool
}

func (c *capture) RemoteAddr() net.Addr      { return c.from }
func (c *capture) WriteMsg(m *dns.Msg) error { c.msg = m; return nil }
func (c *capture) Close() error              { c.closed = true; return nil }

func udpFrom(a netip.Addr) *capture {
	return &capture{from: net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 40000))}
}

func tcpFrom(a netip.Addr) *capture {
	return &capture{from: net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 40000))}
}

func query(name string, typ uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	return m
}

// text is an answer: the status, then its records' data in order of the text.
func text(m *dns.Msg) string {
	list := []string{}
	for _, r := range m.Answer {
		list = append(list, strings.Join(strings.Fields(strings.TrimPrefix(r.String(), r.Header().String())), " "))
	}
	slices.Sort(list)
	return strings.Join(append([]string{dns.RcodeToString[m.Rcode]}, list...), " | ")
}

// told is an upstream that answers with an address.
type told struct {
	asked []string
	err   error
}

func (u *told) ask(_ context.Context, q dns.Question) (*dns.Msg, error) {
	u.asked = append(u.asked, q.Name)
	if u.err != nil {
		return nil, u.err
	}
	m := new(dns.Msg)
	m.Question = []dns.Question{q}
	m.Response = true
	m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 9}, A: net.IPv4(192, 0, 2, 1)}}
	m.SetEdns0(1232, false)
	return m, nil
}

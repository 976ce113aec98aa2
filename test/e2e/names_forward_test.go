package e2e

import (
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/test/machine"
)

// TestNamesOfTheOutside: what nobody here knows is asked of the resolver that
// --dns-forward names, and nothing else is.
func TestNamesOfTheOutside(t *testing.T) {
	m := start(t, "--dns-listen", hostResolver, "--dns-forward", "127.0.0.1:5300")
	asked := outside(t, m, "127.0.0.1:5300")
	a := newCallerVPC(t, m, accountA)
	h := addHost(t, m, accountA, a.subnets[0], "", nil)
	digs(t, h, []string{"192.0.2.53"}, "www.example.com")
	digs(t, h, []string{"192.0.2.53"}, "+tcp", "api.execute-api.eu-west-1.amazonaws.com")
	answerIs(t, h, "NXDOMAIN", "no.example.com")
	for _, by := range []string{"+notcp", "+tcp"} { // and after +notcp, dig itself asks by TCP
		if out := output(t, h.exec(t.Context(), "dig", "+short", by, "large.example.com")); strings.Count(out, "192.0.2.") != largeAnswer {
			t.Errorf("%s: %d addresses of large.example.com", by, strings.Count(out, "192.0.2."))
		}
	}
	digs(t, h, a.addresses[:], "x.execute-api.us-east-1.amazonaws.com")
	digs(t, h, a.addresses[:], a.name)
	answerIs(t, h, "NXDOMAIN", "ip-10-0-1-99.ec2.internal")
	if got := output(t, m.Command(t.Context(), "dig", "+short", "@127.0.0.1", "-p", "5353", "x.execute-api.us-east-1.amazonaws.com")); got != "192.0.2.53" {
		t.Errorf("the machine, which has no endpoint, finds %q", got)
	}
	for _, name := range []string{a.name + ".", "ip-10-0-1-99.ec2.internal."} {
		if asked(name) {
			t.Errorf("%s was asked of the outside", name)
		}
	}
	if !asked("www.example.com.") {
		t.Error("www.example.com was not asked of the outside")
	}
}

// largeAnswer is how many addresses large.example.com has: too many for UDP.
const largeAnswer = 150

// outside is a resolver of the machine's own network, which knows all names but
// those that begin with "no.". It tells what it was asked.
func outside(t *testing.T, m *machine.Machine, at string) (asked func(string) bool) {
	t.Helper()
	ns, err := netns.Open(filepath.Join(m.Dir, "net"))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var socket net.PacketConn
	var listener net.Listener
	if err := ns.Do(func() (err error) {
		if socket, err = net.ListenPacket("udp4", at); err == nil {
			listener, err = net.Listen("tcp4", at)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var names sync.Map
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		name := q.Question[0].Name
		names.Store(name, true)
		r := new(dns.Msg)
		r.SetReply(q)
		if len(name) > 3 && name[:3] == "no." {
			r.Rcode = dns.RcodeNameError
		} else if q.Question[0].Qtype == dns.TypeA {
			r.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5}, A: net.IPv4(192, 0, 2, 53)}}
		}
		if name == "large.example.com." {
			for i := range largeAnswer - 1 {
				r.Answer = append(r.Answer, &dns.A{Hdr: r.Answer[0].(*dns.A).Hdr, A: net.IPv4(192, 0, 2, byte(54+i))})
			}
		}
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
			r.Truncate(1232)
		}
		w.WriteMsg(r)
	})
	var servers sync.WaitGroup
	for _, s := range []*dns.Server{{PacketConn: socket, Handler: handler}, {Listener: listener, Handler: handler}} {
		servers.Go(func() { s.ActivateAndServe() })
	}
	t.Cleanup(func() { socket.Close(); listener.Close(); servers.Wait() })
	return func(name string) bool { _, ok := names.Load(name); return ok }
}

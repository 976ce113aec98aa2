package idp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/miekg/dns"

	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// lookUp resolves the host of an address. Only the resolver is asked, not what
// the machine knows of names: the node stands in a VPC.
func lookUp(ctx context.Context, resolver netip.AddrPort, address string) ([]netip.AddrPort, error) {
	host, number, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip, uint16(port))}, nil
	}
	fail := func(format string, args ...any) ([]netip.AddrPort, error) {
		return nil, &upstream.Error{Kind: upstream.Network, Layer: "dns", Cause: fmt.Sprintf(format, args...)}
	}
	question := new(dns.Msg).SetQuestion(dns.Fqdn(host), dns.TypeA)
	answer, err := exchange(ctx, question, resolver.String())
	switch {
	case err != nil:
		return fail("ask the VPC's resolver for %s: %v", host, err)
	case answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError:
		return fail("the VPC's resolver answers %s to %s", dns.RcodeToString[answer.Rcode], host)
	}
	var addresses []netip.AddrPort
	for _, r := range answer.Answer {
		if a, ok := r.(*dns.A); ok {
			if ip, ok := netip.AddrFromSlice(a.A.To4()); ok {
				addresses = append(addresses, netip.AddrPortFrom(ip, uint16(port)))
			}
		}
	}
	if len(addresses) == 0 {
		return fail("the VPC's resolver knows no address of %s", host)
	}
	return addresses[:min(len(addresses), maxAddresses)], nil
}

// maxAddresses bounds those of a name that are tried.
const maxAddresses = 8

// exchange asks over UDP, and over TCP for what is too long for that.
func exchange(ctx context.Context, question *dns.Msg, resolver string) (*dns.Msg, error) {
	answer, _, err := new(dns.Client).ExchangeContext(ctx, question, resolver)
	if err == nil && answer.Truncated {
		answer, _, err = (&dns.Client{Net: "tcp"}).ExchangeContext(ctx, question, resolver)
	}
	return answer, err
}

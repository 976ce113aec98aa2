package cli

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
)

// otlpPort is that of OTLP over HTTP.
const otlpPort = 4318

// collectorOf is the address of a collector of OpenTelemetry.
func collectorOf(ctx context.Context, endpoint string) (netip.AddrPort, error) {
	bad := func(why any) (netip.AddrPort, error) {
		return netip.AddrPort{}, fmt.Errorf("--otlp-endpoint %s: %v; it is a URL such as http://127.0.0.1:%d", endpoint, why, otlpPort)
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return bad(err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return bad("no URL of http or https")
	case u.User != nil:
		return bad("credentials in it would be seen by all users")
	}
	port := uint64(map[string]uint16{"http": 80, "https": 443}[u.Scheme])
	if u.Port() != "" {
		if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
			return bad("no port")
		}
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return bad(err)
	}
	return netip.AddrPortFrom(found[0].Unmap(), uint16(port)), nil
}

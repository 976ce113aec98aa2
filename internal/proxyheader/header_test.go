package proxyheader

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// TestHeaders: bytes that Network Load Balancers have sent.
func TestHeaders(t *testing.T) {
	const start = "0d0a0d0a000d0a515549540a"
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		// pires/go-proxyproto, tlvparse/aws_test.go
		"through an endpoint": {
			Proxy(netip.MustParseAddrPort("172.31.7.113:51442"), netip.MustParseAddrPort("172.31.10.31:80"), "vpce-08d2bf15fac5001c9"),
			start + "21110054" + "ac1f0771" + "ac1f0a1f" + "c8f20050" + "030004e8d6892d" +
				"ea001701" + hex.EncodeToString([]byte("vpce-08d2bf15fac5001c9")) + "040024" + strings.Repeat("00", 36),
		},
		// kubernetes/kubernetes, issue 57250
		"a health check": {Local(), start + "20110054" + "030004bce5951f" + "04004a" + strings.Repeat("00", 74)},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", name, got, c.want)
		}
	}
	if n := len(Proxy(netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2"), "")); n != Length {
		t.Errorf("a header without an endpoint has %d bytes", n)
	}
}

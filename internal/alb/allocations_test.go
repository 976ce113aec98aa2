//go:build !race

package alb

import (
	"net"
	"testing"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/loopback"
)

// A request that a rule forwards allocates nothing. The race detector would make
// pools forgetful.
func TestAllocations(t *testing.T) {
	target := loopback.Serve(t, func(c net.Conn) {
		buf, ok := make([]byte, 8<<10), []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			c.Write(ok)
		}
	})
	n := startNode(t, configuration(healthy(target), config.Rule{
		ARN: "rule", Priority: 1, Conditions: []config.Condition{{Field: config.PathPattern, Values: []string{"/x*"}}}, Action: to("tg"),
	}))
	n.b.options.Access = nil
	c, err := net.Dial("tcp", n.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request, buf := []byte("GET /x?a=b HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nUser-Agent: test\r\n\r\n"), make([]byte, 8<<10)
	if n := testing.AllocsPerRun(1000, func() {
		c.Write(request)
		if n, err := c.Read(buf); err != nil || string(buf[:12]) != "HTTP/1.1 200" {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for a request", n)
	}
}

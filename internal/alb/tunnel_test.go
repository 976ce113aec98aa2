package alb

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
)

// TestTunnelEndsWithTarget: a WebSocket goes on while its target is drained,
// and ends when it is gone.
func TestTunnelEndsWithTarget(t *testing.T) {
	at := startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		c, b, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		io.Copy(c, b)
	})
	c := configuration(healthy(at))
	n := startNode(t, c)
	conn, err := net.Dial("tcp", n.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	b := bufio.NewReader(conn)
	if response, err := http.ReadResponse(b, nil); err != nil || response.StatusCode != 101 {
		t.Fatal(response, err)
	}
	with := func(targets []config.Target) {
		next, g := *c, c.TargetGroups["tg"]
		g.Targets = targets
		next.TargetGroups = map[string]config.TargetGroup{"tg": g}
		n.apply(&next)
	}
	draining := healthy(at)
	draining[0].Health = config.Draining
	with(draining)
	io.WriteString(conn, "x")
	if got, err := b.ReadByte(); err != nil || got != 'x' {
		t.Fatalf("while the target is drained: %q, %v", got, err)
	}
	with(nil)
	if got, err := b.ReadByte(); err != io.EOF {
		t.Errorf("after it: %q, %v", got, err)
	}
}

package datapath

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"

	"github.com/isthmus-net/isthmus/bpf"
)

const patience = 20 * time.Second

// serve runs an echo server for TCP and UDP in a host. Before it echoes a
// connection it sends the client's address as it sees it, and a newline.
func (n *network) serve(eni uint32, port int) {
	n.Helper()
	var tcp net.Listener
	var udp net.PacketConn
	err := n.hosts[eni].do(func() (err error) {
		address := fmt.Sprintf("0.0.0.0:%d", port)
		if tcp, err = net.Listen("tcp4", address); err != nil {
			return err
		}
		udp, err = net.ListenPacket("udp4", address)
		return err
	})
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { tcp.Close(); udp.Close() })
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprintf(c, "%s\n", c.RemoteAddr())
				io.Copy(c, c)
			}()
		}
	}()
	go func() {
		buf := make([]byte, 1<<16)
		for {
			size, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			udp.WriteTo(buf[:size], from)
		}
	}()
}

func (n *network) dial(eni uint32, proto, local, remote string) (net.Conn, error) {
	d := net.Dialer{Timeout: patience}
	switch {
	case local != "" && proto == "tcp4":
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
	case local != "":
		d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(local)}
	}
	var c net.Conn
	err := n.hosts[eni].do(func() (err error) {
		c, err = d.Dial(proto, remote)
		return err
	})
	if err == nil {
		c.SetDeadline(time.Now().Add(patience))
		n.Cleanup(func() { c.Close() })
	}
	return c, err
}

// greeting reads the first line that the server sends.
func greeting(c net.Conn) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := c.Read(b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			host, _, err := net.SplitHostPort(string(line))
			return host, err
		}
		line = append(line, b[0])
	}
}

// TestRealPackets sends some megabytes, with segmentation and checksums left
// to the devices, along every kind of way.
func TestRealPackets(t *testing.T) {
	n := newNetwork(t)
	n.serve(server, 80)
	n.serve(target, 8080)
	payload := make([]byte, 4<<20)
	rand.Read(payload)
	for _, c := range []struct {
		name          string
		from          uint32
		local, remote string
		seen          string
	}{
		{"plain", client, "", "10.0.0.20:80", "10.0.0.10"},
		{"endpoint", client, "", "10.0.0.50:80", "10.0.0.100"},
		{"balancer", caller, "", "10.0.0.100:80", "10.0.0.100"},
		{"balancer that preserves", caller, "", "10.0.0.100:81", "10.0.0.30"},
		{"NAT", carrier, "100.64.0.9", "10.0.0.20:80", "10.0.0.90"},
		{"NAT and endpoint", carrier, "100.64.0.9", "10.0.0.50:80", "10.0.0.100"},
	} {
		conn, err := n.dial(c.from, "tcp4", c.local, c.remote)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if seen, err := greeting(conn); err != nil || seen != c.seen {
			t.Errorf("%s: seen as %s (%v), want %s", c.name, seen, err, c.seen)
		}
		go conn.Write(payload)
		got := make([]byte, len(payload))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, payload) {
			t.Errorf("%s: what came back is not what was sent (%v)", c.name, err)
		}
		if c.remote == "10.0.0.100:81" {
			continue // has no UDP
		}
		conn, err = n.dial(c.from, "udp4", c.local, c.remote)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		conn.Write(payload[:1000])
		if size, err := conn.Read(got); err != nil || !bytes.Equal(got[:size], payload[:1000]) {
			t.Errorf("%s: datagram that came back is not what was sent (%v)", c.name, err)
		}
	}
	for _, d := range n.dropsOf() {
		t.Errorf("unexpected drops: %s", d)
	}
}

// dropsOf lists what IPv4 was dropped: hosts try IPv6 by themselves.
func (n *network) dropsOf() []string {
	n.Helper()
	var list []string
	for what, packets := range n.dropTable() {
		if what != "unsupported-protocol of 0" {
			list = append(list, fmt.Sprintf("%d %s", packets, what))
		}
	}
	return list
}

// TestRealReset: a client of an idle connection that was forgotten learns so
// from a RST that its kernel accepts.
func TestRealReset(t *testing.T) {
	n := newNetwork(t)
	n.serve(target, 8080)
	conn, err := n.dial(client, "tcp4", "", "10.0.0.50:80")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := greeting(conn); err != nil {
		t.Fatal(err)
	}
	if ended, err := n.Expire(Now() + 301*time.Second); ended != 1 || err != nil {
		t.Fatalf("Expire = %d, %v, want one flow ended", ended, err)
	}
	_, err = conn.Write(make([]byte, 100_000)) // more than one segment
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("using a forgotten connection: %v, want a reset", err)
	}
}

// TestRealRefusal: a closed UDP port is reported across a plain flow.
func TestRealRefusal(t *testing.T) {
	n := newNetwork(t)
	conn, err := n.dial(client, "udp4", "", "10.0.0.20:9")
	if err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte("anybody?"))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("read from a closed port: %v, want a refusal", err)
	}
}

// TestAttach: links survive their process, and a new program takes the place
// of the old one under them without a packet lost.
func TestAttach(t *testing.T) {
	n := newNetwork(t)
	n.serve(server, 80)
	conn, err := n.dial(client, "tcp4", "", "10.0.0.20:80")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := greeting(conn); err != nil {
		t.Fatal(err)
	}
	echo := func(what string) {
		t.Helper()
		conn.Write([]byte("x"))
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatalf("echo %s: %v", what, err)
		}
	}
	program := func() uint32 {
		l, err := link.LoadPinnedLink(n.linkPin(n.devices[client]), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		info, err := l.Info()
		if err != nil {
			t.Fatal(err)
		}
		return uint32(info.Program)
	}
	before := program()
	n.Close()
	echo("without a process")
	n.open()
	if program() == before {
		t.Error("the link has the old program still")
	}
	echo("after the program was replaced")
	if err := n.Attach(n.devices[client]); err != nil {
		t.Errorf("attach once more: %v", err)
	}
	echo("after attaching once more")

	if err := n.Detach(n.devices[client]); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(n.linkPin(n.devices[client])); err != nil || len(left) != 0 {
		t.Errorf("after Detach %v is left (%v)", left, err)
	}
	if err := n.Detach(n.devices[client]); err != nil {
		t.Errorf("detach once more: %v", err)
	}
	if err := n.Attach(n.devices[client]); err != nil {
		t.Errorf("attach again: %v", err)
	}
	echo("after attaching again")
	if err := n.Attach(1 << 30); err == nil {
		t.Error("Attach to no device succeeded, want an error")
	}
}

// TestFilter has packets flow by clsact, as on kernels without tcx.
func TestFilter(t *testing.T) {
	n := newNetwork(t)
	n.serve(server, 80)
	for _, eni := range []uint32{client, server} {
		if err := n.Detach(n.devices[eni]); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := n.attachFilter(n.devices[eni]); err != nil {
				t.Fatal(err)
			}
		}
	}
	conn, err := n.dial(client, "tcp4", "", "10.0.0.20:80")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := greeting(conn); err != nil {
		t.Fatal(err)
	}
	before := n.flowTable()
	for range 2 {
		if err := n.Detach(n.devices[client]); err != nil {
			t.Fatal(err)
		}
	}
	conn.Write([]byte("x"))
	conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("packets flow after Detach")
	}
	for k, f := range n.flowTable() {
		if f.Flags&bpf.FlowReverse == 0 && f.Packets != before[k].Packets {
			t.Errorf("the program saw %d packets after Detach", f.Packets-before[k].Packets)
		}
	}
}

// TestRealChecksums has addresses that, rewritten, leave a checksum as it is,
// in which the two kinds of checksum look the same.
func TestRealChecksums(t *testing.T) {
	n := newNetwork(t)
	n.eni(node).Addresses[0] = addr("10.0.0.50") // 10 and 50 become 50 and 10
	n.apply()
	n.serve(target, 8080)
	conn, err := n.dial(client, "tcp4", "", "10.0.0.50:80")
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := greeting(conn); err != nil || seen != "10.0.0.50" {
		t.Errorf("seen as %s (%v), want 10.0.0.50", seen, err)
	}
	found := false
	for k, f := range n.flowTable() {
		if found = k.Src == f.Dst && k.Dst == f.Src && f.AddrDelta == 0 && f.PortDelta != 0; found {
			break
		}
	}
	if !found {
		t.Errorf("no flow's addresses leave the checksum as it is: %+v", n.flowTable())
	}
}

// TestOrigin: what a receiver sees of a connection through an endpoint leads to
// who opened it, and to nobody when it ended or never was.
func TestOrigin(t *testing.T) {
	n := newNetwork(t)
	n.serve(target, 8080)
	conn, err := n.dial(client, "tcp4", "", "10.0.0.50:80")
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	seen, own := netip.MustParseAddrPort(strings.TrimSpace(line)), netip.MustParseAddrPort("10.0.0.10:8080")
	f, err := n.Origin(n.devices[target], own, seen)
	if err != nil {
		t.Fatal(err)
	}
	if f.ENI != client || f.Src.String() != conn.LocalAddr().String() || f.Dst.String() != "10.0.0.50:80" || f.SeenSrc != seen {
		t.Errorf("%+v of %s", f, conn.LocalAddr())
	}
	for _, wrong := range []struct {
		device     int
		own, other netip.AddrPort
	}{
		{n.devices[client], own, seen},
		{n.devices[target], own, netip.AddrPortFrom(seen.Addr(), seen.Port()^1)},
		{n.devices[client], netip.MustParseAddrPort(conn.LocalAddr().String()), netip.MustParseAddrPort("10.0.0.50:80")}, // the client's own direction
	} {
		if f, err := n.Origin(wrong.device, wrong.own, wrong.other); !errors.Is(err, ErrNoFlow) {
			t.Errorf("%+v: %+v, %v", wrong, f, err)
		}
	}
}

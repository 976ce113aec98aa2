package supervise

import (
	"net"
	"os"
	"testing"
	"time"
)

// echo is a supervised process with a socket of UDP, and one that is connected:
// what the first is sent it passes on by the second.
func echo() {
	if err := AwaitRelease(os.Stdin); err != nil {
		os.Exit(3)
	}
	in, err := PacketConn(0)
	if err != nil {
		panic(err)
	}
	out, err := Conn(1)
	if err != nil {
		panic(err)
	}
	b := make([]byte, 64)
	for {
		n, _, err := in.ReadFrom(b)
		if err != nil {
			panic(err)
		}
		if string(b[:n]) == "die" {
			os.Exit(7)
		}
		out.Write(b[:n])
	}
}

// TestDatagramSockets: they are handed over, taken over by the next supervisor,
// and keep what arrives while the process is away.
func TestDatagramSockets(t *testing.T) {
	needRoot(t)
	other, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	spec := Spec{
		Name: "echo", Args: []string{"echo"}, UID: 61901, GID: 61900,
		Listen: []string{"udp:127.0.0.1:0", "connect:" + other.LocalAddr().String()},
	}
	dir := t.TempDir()
	s := newSupervisor(t, dir)
	at, err := s.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	if at[1].String() != other.LocalAddr().String() {
		t.Errorf("connected to %s", at[1])
	}
	c, err := net.Dial("udp4", at[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	arrives := func(words ...string) {
		t.Helper()
		b := make([]byte, 64)
		other.SetReadDeadline(time.Now().Add(20 * time.Second))
		for _, want := range words {
			n, _, err := other.ReadFrom(b)
			if err != nil || string(b[:n]) != want {
				t.Fatalf("%q arrived, %v; want %q", b[:n], err, want)
			}
		}
	}
	send := func(words ...string) {
		t.Helper()
		for _, w := range words {
			if _, err := c.Write([]byte(w)); err != nil {
				t.Fatal(err)
			}
		}
	}
	send("one")
	arrives("one")
	send("die", "two", "three")
	arrives("two", "three")

	// Another supervisor takes over, unless the sockets are others than it
	// wants.
	spec.Listen[0] = "udp:" + at[0].String()
	next := newSupervisor(t, dir)
	if _, err := next.Start(spec); err != nil {
		t.Fatal(err)
	}
	if got := next.Status()[0]; !got.Adopted {
		t.Errorf("not adopted: %+v", got)
	}
	send("four")
	arrives("four")
	p, err := find(dir, "echo")
	if err != nil || p == nil {
		t.Fatal(err)
	}
	defer p.close()
	for _, listen := range [][]string{
		{at[0].String(), spec.Listen[1]}, {spec.Listen[0], "udp:" + other.LocalAddr().String()},
		{spec.Listen[0], "connect:127.0.0.2:53"}, {"udp:127.0.0.1:1", spec.Listen[1]},
	} {
		if _, err := p.sockets(Spec{Listen: listen}); err == nil {
			t.Errorf("the sockets pass for %q", listen)
		}
	}
}

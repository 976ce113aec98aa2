package datapath

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
)

const (
	flowThere = "tcp eni1 10.0.0.10:40000 > 10.0.0.50:80 = eni4 10.0.0.100:40000 > 10.0.0.10:8080 idle 300 nat src dst of 1 1p 54b stale"
	flowBack  = "tcp eni4 10.0.0.10:8080 > 10.0.0.100:40000 = eni1 10.0.0.50:80 > 10.0.0.10:40000 idle 300 reverse nat src dst of 4 0p 0b stale"
)

// rst is a RST that an ENI receives.
func rst(to uint32, src, dst string, seq uint32) []byte {
	return resetFrame(packet{proto: layers.IPProtocolTCP, src: ap(src), dst: ap(dst), flags: "R", seq: seq}, to)
}

// TestEnd: a flow through balancers that may not go on ends for both ends,
// whichever sends first, and once.
func TestEnd(t *testing.T) {
	for _, c := range []struct {
		name   string
		tables func(*world)
		drop   string
	}{
		{"rejected", func(w *world) { w.eni(endpoint).Available = false }, "not-accepted"},
		{"endpoint deleted", func(w *world) { w.eni(endpoint).Addresses[0] = addr("10.0.0.51") }, "no-address"},
		{"listener gone", func(w *world) { w.tables.Listeners = w.tables.Listeners[1:] }, "no-listener"},
		{"target gone", func(w *world) { w.tables.Members = nil }, "no-healthy-target"},
	} {
		begin := func(t *testing.T) *world {
			w := newWorld(t)
			w.run(client, tcp("10.0.0.10:40000", "10.0.0.50:80", "S").from(client))
			w.changed()
			c.tables(w)
			w.apply()
			return w
		}
		t.Run(c.name, func(t *testing.T) {
			w := begin(t)
			data := tcp("10.0.0.10:40000", "10.0.0.50:80", "PA").with("hello").from(client)
			answer := rst(client, "10.0.0.50:80", "10.0.0.10:40000", 2000)
			w.expectEnd(client, data, answer,
				target, [][]byte{rst(target, "10.0.0.100:40000", "10.0.0.10:8080", 1000)},
				"gone "+flowThere, "gone "+flowBack, "1 "+c.drop+" of 1")
			if c.drop == "no-address" || c.drop == "no-healthy-target" {
				return // the next meets other tables
			}
			w.expect(client, data, answer, "1 "+c.drop+" of 1")
		})
		t.Run(c.name+", the target sends", func(t *testing.T) {
			w := begin(t)
			data := tcp("10.0.0.10:8080", "10.0.0.100:40000", "PA").with("hello").from(target)
			w.expectEnd(target, data, rst(target, "10.0.0.100:40000", "10.0.0.10:8080", 2000),
				client, [][]byte{rst(client, "10.0.0.50:80", "10.0.0.10:40000", 1000)},
				"gone "+flowThere, "gone "+flowBack, "1 "+c.drop+" of 4")
		})
	}
}

// TestEndNumbers: the RST has the number that the other end expects.
func TestEndNumbers(t *testing.T) {
	for _, c := range []struct {
		name, flags, payload string
		numbers              []uint32
		acks, answered       bool
	}{
		{"data", "PA", "hello", []uint32{1000}, false, true},
		{"the answer to a SYN", "SA", "", []uint32{1001}, true, true},
		{"an acknowledgment, or a probe", "A", "", []uint32{1000, 1001}, false, true},
		{"the last", "FA", "", []uint32{1000}, false, true},
		{"a RST, which is not answered", "RA", "", []uint32{1000}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.run(client, tcp("10.0.0.10:40000", "10.0.0.50:80", "S").from(client))
			w.changed()
			w.eni(endpoint).Available = false
			w.apply()
			var answer []byte
			if c.answered {
				answer = rst(target, "10.0.0.100:40000", "10.0.0.10:8080", 2000)
			}
			var told [][]byte
			for _, number := range c.numbers {
				p := packet{proto: layers.IPProtocolTCP, src: ap("10.0.0.50:80"), dst: ap("10.0.0.10:40000"), flags: "R", seq: number}
				if c.acks {
					p.flags, p.ack = "RA", 2000
				}
				told = append(told, resetFrame(p, client))
			}
			sent := tcp("10.0.0.10:8080", "10.0.0.100:40000", c.flags).with(c.payload)
			w.expectEnd(target, sent.from(target), answer, client, told, "gone "+flowThere, "gone "+flowBack, "1 not-accepted of 4")
			// Nothing is known of it any more, and nobody else is told.
			w.run(target, sent.from(target))
			if sent, err := w.tap.Sent(); err != nil || len(sent) > 0 {
				t.Errorf("sent once more: %v%s", err, dump(sent))
			}
		})
	}
}

// TestEndProxied: in a flow with a preamble, the client's numbers are moved in
// the RST as they are in data; before the preamble was sent they are not.
func TestEndProxied(t *testing.T) {
	for _, established := range []bool{false, true} {
		t.Run(fmt.Sprint("established ", established), func(t *testing.T) {
			w := newWorld(t)
			w.tables.Listeners[0].Proxy = true
			w.apply()
			at := func(flags string, seq, ack uint32) packet {
				p := tcp("10.0.0.10:40000", "10.0.0.50:80", flags)
				p.seq, p.ack = seq, ack
				return p
			}
			w.run(client, at("S", 1000, 0).from(client))
			number := uint32(1001)
			if established {
				w.run(client, at("A", 1001, 2001).from(client)) // becomes the preamble
				number += 100
			}
			w.changed()
			w.eni(endpoint).Available = false
			w.apply()
			verdict, _ := w.run(client, at("PA", 1001, 2001).with("hello").from(client))
			sent, err := w.tap.Sent()
			want := rst(target, "10.0.0.100:40000", "10.0.0.10:8080", number)
			if verdict != redirect || err != nil || len(sent) != 1 || string(sent[0].Data) != string(want) {
				t.Errorf("verdict %d, %v, sent\n%s\nwant number %d", verdict, err, dump(sent), number)
			}
		})
	}
}

// TestEndPlain: nobody is told of the end of a flow that crossed no balancer,
// as on AWS.
func TestEndPlain(t *testing.T) {
	w := newWorld(t)
	w.run(client, tcp("10.0.0.10:40000", "10.0.0.20:80", "S").from(client))
	w.changed()
	w.eni(server).Addresses[0] = addr("10.0.0.21")
	w.apply()
	w.expect(client, tcp("10.0.0.10:40000", "10.0.0.20:80", "PA").from(client), nil,
		"gone "+plainThere+" of 1 1p 54b stale", "gone "+plainBack+" of 2 0p 0b stale", "1 no-address of 1")
}

// TestRealEnd: kernels obey these RSTs: at an end that only receives, and
// at one that has sent nothing for long, whether data flow, the window is
// closed, or the other end only asks whether somebody is there.
func TestRealEnd(t *testing.T) {
	for _, way := range []struct {
		name          string
		from          uint32
		local, remote string
		tables        func(*network)
	}{
		{"endpoint", client, "", "10.0.0.50:80", nil},
		{"NAT and endpoint", carrier, "100.64.0.9", "10.0.0.50:80", nil},
		{"PROXY header", client, "", "10.0.0.50:80", func(n *network) { n.tables.Listeners[0].Proxy = true }},
	} {
		for _, c := range []struct {
			name string
			// send has one end send, by itself, for as long as the test lasts.
			send   func(near, far *net.TCPConn)
			upward bool // the server is the one that only receives
		}{
			{"data", func(_, far *net.TCPConn) { go trickle(far) }, false},
			{"data upward", func(near, _ *net.TCPConn) { go trickle(near) }, true},
			{"closed window", func(_, far *net.TCPConn) { go far.ReadFrom(zeros{}) }, false},
			{"keep-alive", func(_, far *net.TCPConn) { keepAlive(far) }, false},
			{"keep-alive upward", func(near, _ *net.TCPConn) { keepAlive(near) }, true},
		} {
			t.Run(way.name+", "+c.name, func(t *testing.T) {
				n := newNetwork(t)
				if way.tables != nil {
					way.tables(n)
					n.apply()
				}
				near, far := n.pair(way.from, way.local, way.remote, target, 8080)
				if way.tables != nil {
					if _, err := io.ReadFull(far, make([]byte, 100)); err != nil {
						t.Fatal(err)
					}
				}
				receiver := near
				if c.upward {
					receiver = far
				}
				receiver.SetKeepAlive(false)
				c.send(near, far)
				if c.name == "closed window" {
					n.becomes(far, func(i *unix.TCPInfo) bool { return i.Unacked == 0 && i.Notsent_bytes > 0 && i.Probes > 0 })
				}
				n.eni(endpoint).Available = false
				n.apply()
				// Without a word of the receiver, which does not even read.
				n.becomes(receiver, func(i *unix.TCPInfo) bool { return i.State == stateClosed })
				_, err := io.Copy(io.Discard, receiver)
				if !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the receiver ended with %v, want a reset", err)
				}
			})
		}
	}
}

// pair is a connection: the client's end, and that of a server in a host.
func (n *network) pair(from uint32, local, remote string, to uint32, port int) (near, far *net.TCPConn) {
	n.Helper()
	var l net.Listener
	if err := n.hosts[to].do(func() (err error) {
		l, err = net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port))
		return err
	}); err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { l.Close() })
	c, err := n.dial(from, "tcp4", local, remote)
	if err != nil {
		n.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		n.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(patience))
	n.Cleanup(func() { s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// trickle writes a little now and then, until that fails.
func trickle(c *net.TCPConn) {
	for {
		if _, err := c.Write([]byte("some bytes")); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func keepAlive(c *net.TCPConn) {
	c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 5})
}

const stateClosed = 7 // TCP_CLOSE of linux/tcp_states.h

// becomes waits until the kernel says so of a connection.
func (n *network) becomes(c *net.TCPConn, so func(*unix.TCPInfo) bool) {
	n.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		n.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		var info *unix.TCPInfo
		var failed error
		err := raw.Control(func(fd uintptr) { info, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
		if err := errors.Join(err, failed); err != nil {
			n.Fatal(err)
		}
		if so(info) {
			return
		}
		if time.Now().After(end) {
			n.Fatalf("the connection is still %+v", info)
		}
	}
}

package datapath

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmus-net/isthmus/bpf"
)

// TestRandomFrames gives the program frames that are broken in all kinds of
// ways: each is either dropped for one reason, which is counted, or goes on as
// long as it was and with the IP header's checksum as right as it was.
func TestRandomFrames(t *testing.T) {
	w := newWorld(t)
	whole := [][]byte{
		tcp("10.0.0.10:40000", "10.0.0.20:80", "S").from(client),
		tcp("10.0.0.10:40000", "10.0.0.50:80", "S").with("hello").from(client),
		tcp("10.0.0.10:40000", "10.0.0.50:80", "A").with("hello").from(client),
		udp("10.0.0.10:5000", "10.0.0.50:80").from(client),
		icmp("10.0.0.10:7", "10.0.0.20:7", 8).from(client),
		icmp("10.0.0.10:0", "10.0.0.20:0", 3).with(string(udp("10.0.0.20:53", "10.0.0.10:5000").to(client)[14:])).from(client),
		arpFrame(1, mac(0), mac(client), mac(client), "10.0.0.10", mac(0), "10.0.0.1"),
	}
	rapid.Check(t, func(t *rapid.T) {
		frame := append([]byte(nil), rapid.SampledFrom(whole).Draw(t, "frame")...)
		for range rapid.IntRange(0, 3).Draw(t, "edits") {
			frame[rapid.IntRange(0, len(frame)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		// A test run takes no less than a whole IP header.
		frame = frame[:rapid.IntRange(14+20, len(frame)).Draw(t, "length")]
		before := w.dropTable()
		verdict, out := w.run(client, frame)
		var drops uint64
		for what, n := range w.dropTable() {
			drops += n - before[what]
		}
		arp := binary.BigEndian.Uint16(frame[12:]) == 0x0806
		switch {
		case verdict == shot && drops != 1 && !arp:
			t.Fatalf("dropped, and counted %d times", drops)
		case verdict == redirect && drops == 0 && len(out) != len(frame):
			t.Fatalf("%d bytes became %d", len(frame), len(out))
		case verdict == redirect && drops == 0 && !arp && headerSum(out) != headerSum(frame):
			t.Fatalf("sum of the IP header was %x and became %x", headerSum(frame), headerSum(out))
		case verdict == redirect && drops != 0 && (drops != 1 || len(out) != 54 || headerSum(out) != 0xffff):
			t.Fatalf("answered with %x, and counted %d times", out, drops)
		case verdict != shot && verdict != redirect:
			t.Fatalf("verdict %d", verdict)
		}
		// The next frame finds a table that is not full.
		for k := range w.flowTable() {
			if err := w.Map(bpf.MapFlows).Delete(k); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// headerSum is the sum over an IPv4 header without options, 0xffff if it is right.
func headerSum(frame []byte) uint16 {
	var sum uint32
	for i := 14; i < 14+20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(frame[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

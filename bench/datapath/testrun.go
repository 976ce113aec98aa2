package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/datapath"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// Times of the program alone, by BPF_PROG_TEST_RUN: of a packet of a known
// flow through the link, and of one that begins a flow. Both include what a
// test run itself takes, which an empty program shows.

const (
	repeat   = 1_000_000
	newFlows = 20_000
)

// testRun is what BPF_PROG_TEST_RUN takes and gives (linux/bpf.h, union
// bpf_attr, test).
type testRun struct {
	program, verdict              uint32
	dataSizeIn, dataSizeOut       uint32
	dataIn, dataOut               uint64
	repeat, duration              uint32
	contextSizeIn, contextSizeOut uint32
	contextIn, contextOut         uint64
	flags, cpu, batchSize, pad    uint32
}

// timeOf runs a program on a frame that a device received, repeatedly on what
// it made of it, and returns the kernel's mean time of one run.
func timeOf(p *ebpf.Program, frame []byte, ifindex int, times uint32) (time.Duration, error) {
	context := make([]uint32, 11) // struct __sk_buff as far as ifindex
	context[10] = uint32(ifindex)
	run := testRun{
		program:    uint32(p.FD()),
		dataSizeIn: uint32(len(frame)), dataIn: uint64(uintptr(unsafe.Pointer(&frame[0]))),
		contextSizeIn: uint32(4 * len(context)), contextIn: uint64(uintptr(unsafe.Pointer(&context[0]))),
		repeat: times,
	}
	for {
		_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_TEST_RUN, uintptr(unsafe.Pointer(&run)), unsafe.Sizeof(run))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, fmt.Errorf("run program: %w", errno)
		}
		return time.Duration(run.duration), nil
	}
}

// emptyRun is the time of a program that does nothing.
func emptyRun() (time.Duration, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return 0, fmt.Errorf("load empty program: %w", err)
	}
	defer p.Close()
	return timeOf(p, segment(at(eniClient, 1), at(eniEndpoint, 1), "", bpf.RouterMAC), 1, repeat)
}

// knownRun is the time of a packet of a known flow. Since a run is repeated on
// what it made of the packet, two translated flows lead into each other.
func (l *link) knownRun() (time.Duration, error) {
	ifindex := uint32(l.devices[clientENI])
	sent := bpf.FlowKey{
		Src: address(eniClient), Dst: address(eniEndpoint), Sport: bpf.Port(4000), Dport: bpf.Port(frontPort),
		Ifindex: ifindex, Proto: tables.TCP,
	}
	seen := bpf.FlowKey{
		Src: address(eniNode), Dst: address(eniTarget), Sport: bpf.Port(4000), Dport: bpf.Port(serverPort),
		Ifindex: ifindex, Proto: tables.TCP,
	}
	var epoch uint32
	if err := l.Map(bpf.MapEpoch).Lookup(bpf.EpochCurrent, &epoch); err != nil {
		return 0, fmt.Errorf("read epoch: %w", err)
	}
	flows := l.Map(bpf.MapFlows)
	for _, way := range [][2]bpf.FlowKey{{sent, seen}, {seen, sent}} {
		from, to := way[0], way[1]
		if err := flows.Put(from, bpf.Flow{
			Src: to.Src, Dst: to.Dst, Sport: to.Sport, Dport: to.Dport, Ifindex: ifindex, Epoch: epoch,
			Eni: clientENI, Idle: 350, Flags: bpf.FlowTranslated, Smac: [6]uint8(bpf.RouterMAC), Dmac: eniMAC(clientENI),
			AddrDelta: difference(words(from.Src, from.Dst), words(to.Src, to.Dst)),
			PortDelta: difference([]uint32{uint32(from.Sport), uint32(from.Dport)}, []uint32{uint32(to.Sport), uint32(to.Dport)}),
		}); err != nil {
			return 0, fmt.Errorf("write flow: %w", err)
		}
		defer flows.Delete(from)
	}
	frame := segment(at(eniClient, 4000), at(eniEndpoint, frontPort), "A", bpf.RouterMAC)
	return timeOf(l.Program(), frame, int(ifindex), repeat)
}

// newRun is the mean time of the first packets of flows.
func (l *link) newRun() (time.Duration, error) {
	var total time.Duration
	for i := range uint16(newFlows) {
		mac := eniMAC(clientENI)
		frame := segment(at(eniClient, 20_000+i), at(eniEndpoint, frontPort), "S", mac[:])
		d, err := timeOf(l.Program(), frame, l.devices[clientENI], 1)
		if err != nil {
			return 0, err
		}
		total += d
	}
	// They must not be known in the next run.
	ended, err := l.Expire(datapath.Now() + time.Hour)
	if err == nil && ended < newFlows {
		err = fmt.Errorf("%d of %d flows began", ended, newFlows)
	}
	return total / newFlows, err
}

func address(a string) bpf.Addr { return bpf.AddrFrom(netip.MustParseAddr(a)) }

func words(a, b bpf.Addr) []uint32 { return append(a.W[:], b.W[:]...) }

// difference is what an Internet checksum's sum grows by (RFC 1624).
func difference(from, to []uint32) uint32 {
	var sum uint64
	for i := range from {
		sum += uint64(to[i]) + uint64(^from[i])
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint32(sum)
}

// segment is a TCP segment without data; flags are letters of SA.
func segment(src, dst netip.AddrPort, flags string, mac net.HardwareAddr) []byte {
	eth := &layers.Ethernet{SrcMAC: mac, DstMAC: bpf.RouterMAC, EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice(),
	}
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), SYN: flags == "S", ACK: flags == "A",
		Seq: binary.BigEndian.Uint32([]byte("isth")), Window: 65535,
	}
	tcp.SetNetworkLayerForChecksum(ip)
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, options, eth, ip, tcp); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

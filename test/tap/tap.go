// Package tap sees what is sent on the devices of a network namespace.
package tap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Frame is one that was sent on a device.
type Frame struct {
	Device int // its index
	Data   []byte
}

// Tap is a packet socket of the namespace that the calling thread is in.
type Tap struct{ fd int }

// Open opens a tap on all devices.
func Open() (*Tap, error) {
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL)) // htons
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(all))
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	return &Tap{fd}, nil
}

// Close closes the tap.
func (t *Tap) Close() error { return unix.Close(t.fd) }

// Sent returns the IPv4 packets that have been sent since it was last asked. A
// packet is here before the call that sent it returns.
func (t *Tap) Sent() ([]Frame, error) {
	var frames []Frame
	buffer := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(t.fd, buffer, 0)
		if errors.Is(err, unix.EAGAIN) {
			return frames, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read packet socket: %w", err)
		}
		at, ok := from.(*unix.SockaddrLinklayer)
		if ok && at.Pkttype == unix.PACKET_OUTGOING && n >= 14 && binary.BigEndian.Uint16(buffer[12:]) == unix.ETH_P_IP {
			frames = append(frames, Frame{at.Ifindex, slices.Clone(buffer[:n])})
		}
	}
}

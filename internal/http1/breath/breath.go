// Package breath lets a goroutine that has much to do stop for a moment for all
// others of its process.
package breath

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Breath lets others run, with those whose sockets have become ready meanwhile:
// runtime.Gosched has the network polled only when nobody else could run, which
// the one who called it can. It is one goroutine's.
type Breath struct {
	raw  syscall.RawConn // of an eventfd(2); nil if there is none
	made bool            // it has been made readable
}

// New prepares to take breaths, until end is called.
func New() (b *Breath, end func()) {
	b = &Breath{}
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return b, func() {}
	}
	f := os.NewFile(uintptr(fd), "eventfd")
	if raw, err := f.SyscallConn(); err == nil {
		b.raw = raw
	}
	return b, func() { f.Close() }
}

// Take comes back when everybody has run who could, with at most a few who have
// become able to since.
func (b *Breath) Take() {
	if b.raw != nil {
		b.made = false
		if b.raw.Read(b.ready) == nil {
			return
		}
	}
	runtime.Gosched()
}

// ready makes the eventfd readable, and is called again when the poller has seen
// that.
func (b *Breath) ready(fd uintptr) (done bool) {
	count, call := uint64(1), uintptr(unix.SYS_WRITE)
	if b.made {
		call = unix.SYS_READ
	}
	_, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(&count)), unsafe.Sizeof(count))
	done, b.made = b.made || errno != 0, true
	return done
}

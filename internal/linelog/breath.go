package linelog

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// breath lets others run, with those whose sockets have become ready meanwhile:
// runtime.Gosched has the network polled only when nobody else could run, which
// the one who called it can.
type breath struct {
	raw  syscall.RawConn // of an eventfd(2); nil if there is none
	made bool            // it has been made readable
}

func newBreath() (b *breath, end func()) {
	b = &breath{}
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

func (b *breath) take() {
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
func (b *breath) ready(fd uintptr) (done bool) {
	count, call := uint64(1), uintptr(unix.SYS_WRITE)
	if b.made {
		call = unix.SYS_READ
	}
	_, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(&count)), unsafe.Sizeof(count))
	done, b.made = b.made || errno != 0, true
	return done
}

package accept_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/isthmus-net/isthmus/internal/accept"
)

// faulty is a listener that fails before it accepts.
type faulty struct {
	net.Listener
	faults []error
}

func (f *faulty) Accept() (net.Conn, error) {
	if len(f.faults) > 0 {
		err := f.faults[0]
		f.faults = f.faults[1:]
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
	}
	return f.Listener.Accept()
}

// TestNext: faults are logged and passed over, the listener's end is not.
func TestNext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	f := &faulty{l, []error{syscall.EMFILE, syscall.ECONNABORTED}}
	near, err := accept.Next(f, log)
	if err != nil {
		t.Fatal(err)
	}
	near.Close()
	if n := strings.Count(text.String(), l.Addr().String()); n != 2 {
		t.Errorf("%d faults are in the log:\n%s", n, text.String())
	}
	l.Close()
	if _, err := accept.Next(f, log); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the end of the listener: %v", err)
	}
}

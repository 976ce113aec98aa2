// Command flood is a proxy's clients: some send requests at a fixed rate and are
// timed, and the others keep connections busy with as little as they can. It
// prints what the first have seen.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// Result is what is printed, as JSON.
type Result struct {
	Open      int64 // connections of the flood at the end
	Closed    int64 // that the proxy has closed
	Kept, New Timing
}

// flags are the command line's.
type flags struct {
	address, host, path, large, kind string
	connections                      int
	duration                         time.Duration
}

func main() {
	var f flags
	flag.StringVar(&f.address, "address", "", "`host:port` of the proxy")
	flag.StringVar(&f.host, "host", "", "the Host field")
	flag.StringVar(&f.path, "path", "/", "what is asked for")
	flag.StringVar(&f.large, "large", "/", "what slow readers ask for")
	flag.StringVar(&f.kind, "kind", "none", "what the flood does: none, silent, heads, idle, bodies or readers")
	flag.IntVar(&f.connections, "connections", 1000, "of the flood")
	flag.DurationVar(&f.duration, "duration", 5*time.Second, "how long requests are sent and timed")
	flag.Parse()
	r, err := run(f)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}

func run(f flags) (Result, error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	fl := &flooder{flags: f, reopen: rate.NewLimiter(reopened, 1)}
	if f.kind != "none" {
		do, ok := kinds[f.kind]
		if !ok {
			return Result{}, fmt.Errorf("no kind of flood is %q", f.kind)
		}
		if err := fl.start(ctx, do); err != nil {
			return Result{}, err
		}
	}
	var r Result
	var both sync.WaitGroup
	both.Go(func() { r.Kept = f.send(keptRate, keptConnections, true) })
	both.Go(func() { r.New = f.send(newRate, newClients, false) })
	both.Wait()
	r.Open, r.Closed = fl.open.Load(), fl.closed.Load()
	return r, nil
}

func (f *flags) request(method, path, more string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\n%s", method, path, f.host, more)
}

// dial connects with a receive buffer of so many bytes, or the system's if 0.
func (f *flags) dial(ctx context.Context, buffer int) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if buffer > 0 {
		d.Control = func(_, _ string, raw syscall.RawConn) (err error) {
			inner := raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
			})
			return errors.Join(inner, err)
		}
	}
	return d.DialContext(ctx, "tcp", f.address)
}

// ask sends a request and reads its answer, which must have status 200.
func (f *flags) ask(c net.Conn, r *bufio.Reader) error {
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, f.request("GET", f.path, "\r\n")); err != nil {
		return err
	}
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

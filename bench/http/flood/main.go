// Command flood is a proxy's clients: some send requests at a fixed rate and are
// timed, and the others keep connections busy with as little as they can. It
// prints what the first have seen. The others are a process of their own, over
// which these have precedence: what those do must not take their time.
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
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"github.com/isthmus-net/isthmus/bench/http/internal/contest"
	"github.com/isthmus-net/isthmus/bench/internal/namespace"
)

// flags are the command line's.
type flags struct {
	address, host, path, large, kind string
	tlsAddress, tlsName              string
	connections                      int
	duration                         time.Duration
	keep                             bool
}

func main() {
	var f flags
	flag.StringVar(&f.address, "address", "", "`host:port` of the proxy")
	flag.StringVar(&f.host, "host", "", "the Host field")
	flag.StringVar(&f.tlsAddress, "tls-address", "", "`host:port` of the proxy, by TLS")
	flag.StringVar(&f.tlsName, "tls-name", "", "the server's `name` in TLS's hello")
	flag.StringVar(&f.path, "path", "/", "what is asked for")
	flag.StringVar(&f.large, "large", "/", "what slow readers ask for")
	flag.StringVar(&f.kind, "kind", "none", "what the flood does: none, silent, heads, idle, bodies, readers or hellos")
	flag.IntVar(&f.connections, "connections", 1000, "of the flood")
	flag.DurationVar(&f.duration, "duration", 5*time.Second, "how long requests are sent and timed")
	flag.BoolVar(&f.keep, "keep", false, "keep the flood up until the input ends, and time nothing")
	flag.Parse()
	run := timed
	if f.keep {
		run = keep
	}
	if err := run(f); err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}

// timed times requests during a flood, and prints a contest.Flood.
func timed(f flags) error {
	var r contest.Flood
	var kept struct {
		cmd *exec.Cmd
		in  io.WriteCloser
		out *json.Decoder
	}
	if f.kind != "none" {
		kept.cmd = exec.Command("/proc/self/exe", append(os.Args[1:], "-keep")...)
		kept.cmd.Stderr = os.Stderr
		out, err := kept.cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if kept.in, err = kept.cmd.StdinPipe(); err != nil {
			return err
		}
		if err := kept.cmd.Start(); err != nil {
			return err
		}
		defer kept.cmd.Process.Kill()
		kept.out = json.NewDecoder(out)
		if err := kept.out.Decode(&r.Connections); err != nil {
			return fmt.Errorf("wait for the flood: %w", errors.Join(err, kept.cmd.Wait()))
		}
	}
	if err := namespace.Urge(os.Getpid()); err != nil {
		return err
	}
	var both sync.WaitGroup
	both.Go(func() { r.Kept = f.send(keptRate, keptConnections, true) })
	both.Go(func() { r.New = f.send(newRate, newClients, false) })
	both.Wait()
	if kept.cmd != nil {
		kept.in.Close()
		if err := errors.Join(kept.out.Decode(&r.Connections), kept.cmd.Wait()); err != nil {
			return fmt.Errorf("end the flood: %w", err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// keep keeps a flood up. It prints how many connections there are when there are
// as many as there should be, and again when its input has ended.
func keep(f flags) error {
	// The niceness of the process that times is less.
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 0); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	fl := &flooder{flags: f, to: f.address, reopen: rate.NewLimiter(reopened, 1)}
	do, ok := kinds[f.kind]
	if !ok {
		return fmt.Errorf("no kind of flood is %q", f.kind)
	}
	if do.wave > 0 {
		var err error
		if fl.hello, err = clientHello(f.tlsName); err != nil {
			return err
		}
		do.step, fl.to = fl.greet, f.tlsAddress
	}
	if err := fl.start(ctx, do); err != nil {
		return err
	}
	tell := json.NewEncoder(os.Stdout)
	if err := tell.Encode(fl.count()); err != nil {
		return err
	}
	io.Copy(io.Discard, os.Stdin)
	return tell.Encode(fl.count())
}

func (f *flags) request(method, path, more string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\n%s", method, path, f.host, more)
}

// dial connects to an address with a receive buffer of so many bytes, or the
// system's if 0.
func dial(ctx context.Context, address string, buffer int) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if buffer > 0 {
		d.Control = func(_, _ string, raw syscall.RawConn) (err error) {
			inner := raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
			})
			return errors.Join(inner, err)
		}
	}
	return d.DialContext(ctx, "tcp", address)
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

// Package contest is what the contestants of bench/http have in common that
// are programs of this repository: their flags, and the work that all do.
package contest

import (
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	_ "net/http/pprof" // at Debug
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
)

// Flags are what the benchmark starts a contestant with.
type Flags struct {
	Backend     string // where requests go
	Log         string // the file of the access log
	Certificate string // PEM files
	Key         string
	Debug       string // address of profiles and counts of allocations
	TLS         Doors
	Plain       Doors
}

// Doors are where to listen, each with the number of routes that are served
// there.
type Doors []Door

// Door is written ROUTES=HOST:PORT.
type Door struct {
	Routes  int
	Address string
}

func (d *Doors) String() string { return fmt.Sprint(*d) }

// Set adds a door.
func (d *Doors) Set(s string) error {
	routes, address, ok := strings.Cut(s, "=")
	n, err := strconv.Atoi(routes)
	if !ok || err != nil {
		return fmt.Errorf("%q is not ROUTES=HOST:PORT", s)
	}
	*d = append(*d, Door{n, address})
	return nil
}

// parse reads the command line.
func parse() *Flags {
	f := &Flags{}
	flag.StringVar(&f.Backend, "backend", "", "`address` of the backend")
	flag.StringVar(&f.Log, "log", "/dev/null", "access log's `file`")
	flag.StringVar(&f.Certificate, "cert", "", "PEM `file`")
	flag.StringVar(&f.Key, "key", "", "PEM `file`")
	flag.StringVar(&f.Debug, "debug", "", "`address` of net/http/pprof")
	flag.Var(&f.Plain, "plain", "listen at `ROUTES=HOST:PORT`")
	flag.Var(&f.TLS, "tls", "listen with TLS at `ROUTES=HOST:PORT`")
	flag.Parse()
	return f
}

// Run runs a contestant's program, with the file of its access log.
func Run(name string, run func(f *Flags, log *os.File) error) {
	f := parse()
	err := f.serveDebug()
	if err == nil {
		var log *os.File
		if log, err = f.openLog(); err == nil {
			err = run(f, log)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

// openLog opens the access log's file, which the benchmark empties now and
// then.
func (f *Flags) openLog() (*os.File, error) {
	return os.OpenFile(f.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
}

// serveDebug serves net/http/pprof, and at /allocations how many objects and
// bytes were allocated since the start.
func (f *Flags) serveDebug() error {
	if f.Debug == "" {
		return nil
	}
	l, err := net.Listen("tcp", f.Debug)
	if err != nil {
		return err
	}
	http.HandleFunc("/allocations", func(w http.ResponseWriter, _ *http.Request) {
		s := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
		metrics.Read(s)
		fmt.Fprintln(w, s[0].Value.Uint64(), s[1].Value.Uint64(), s[2].Value.Uint64())
	})
	go http.Serve(l, nil)
	return nil
}

// Route is the path of a route by its number, as a pattern of net/http and of
// API Gateway.
func Route(n int) string { return fmt.Sprintf("/service-%04d/items/{id}", n) }

// Prefix is what requests of a route begin with.
func Prefix(n int) string { return fmt.Sprintf("/service-%04d/items/", n) }

// AppendTraceID appends a new value of X-Amzn-Trace-Id.
func AppendTraceID(text []byte, second int64) []byte {
	var b [16]byte
	binary.BigEndian.PutUint32(b[:4], uint32(second))
	binary.BigEndian.PutUint64(b[4:12], rand.Uint64())
	binary.BigEndian.PutUint32(b[12:], rand.Uint32())
	text = hex.AppendEncode(append(text, "Root=1-"...), b[:4])
	return hex.AppendEncode(append(text, '-'), b[4:])
}

// AppendRequestID appends a new value of X-Request-Id.
func AppendRequestID(text []byte) []byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], rand.Uint64())
	binary.BigEndian.PutUint64(b[8:], rand.Uint64())
	return hex.AppendEncode(text, b[:])
}

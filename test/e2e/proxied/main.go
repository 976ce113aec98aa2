// Proxied is the other side of the tests of PROXY headers: servers that demand
// one and say what it tells, and a client that holds them to it.
//
//	proxied serve              HTTP on port 80; a server that speaks first on 81
//	proxied dial ADDRESS N     N connections to such an HTTP server
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "serve":
		err = serve()
	case len(os.Args) == 4 && os.Args[1] == "dial":
		err = dial(os.Args[2], os.Args[3])
	default:
		err = errors.New("usage: proxied serve | dial ADDRESS N")
	}
	if err != nil {
		log.Fatal(err)
	}
}

// conn is a connection after its headers.
type conn struct {
	net.Conn
	rest    *bufio.Reader
	headers []string
}

func (c *conn) Read(p []byte) (int, error) { return c.rest.Read(p) }

// read reads a connection's headers: those of all load balancers that it came
// through, each as "source destination endpoint".
func read(c net.Conn) (*conn, error) {
	out := &conn{Conn: c, rest: bufio.NewReader(c)}
	for {
		if n, err := common(out.rest, proxyproto.SIGV2); n < len(proxyproto.SIGV2) {
			if len(out.headers) == 0 || n == 0 && err != nil {
				return nil, fmt.Errorf("no header behind %q, %v", out.headers, err)
			}
			return out, nil
		}
		start, err := out.rest.Peek(16)
		if err != nil {
			return nil, err
		}
		raw, err := out.rest.Peek(16 + int(binary.BigEndian.Uint16(start[14:])))
		if err != nil {
			return nil, err
		}
		raw = bytes.Clone(raw)
		h, err := proxyproto.Read(out.rest)
		if err != nil {
			return nil, err
		}
		if h.Command.IsLocal() {
			out.headers = append(out.headers, "local")
			return out, nil
		}
		if err := checksum(raw); err != nil {
			return nil, err
		}
		tlvs, err := h.TLVs()
		if err != nil {
			return nil, err
		}
		out.headers = append(out.headers, fmt.Sprintf("%s %s %s", h.SourceAddr, h.DestinationAddr, tlvparse.FindAWSVPCEndpointID(tlvs)))
	}
}

// common waits until a stream begins with a prefix, or can't, and returns how
// much of it is there.
func common(r *bufio.Reader, prefix []byte) (n int, err error) {
	for ; n < len(prefix); n++ {
		b, err := r.Peek(n + 1)
		if err != nil || b[n] != prefix[n] {
			return n, err
		}
	}
	return n, nil
}

// checksum checks a header of TCP over IPv4 whose first entry is a CRC32C.
func checksum(raw []byte) error {
	if raw[28] != byte(proxyproto.PP2_TYPE_CRC32C) {
		return fmt.Errorf("no checksum in %x", raw)
	}
	want := binary.BigEndian.Uint32(raw[31:])
	clear(raw[31:35])
	if got := crc32.Checksum(raw, crc32.MakeTable(crc32.Castagnoli)); got != want {
		return fmt.Errorf("checksum %08x of a header is %08x", want, got)
	}
	return nil
}

// listener accepts connections whose headers are read.
type listener struct {
	net.Listener
	ready chan *conn
}

func (l *listener) Accept() (net.Conn, error) { return <-l.ready, nil }

func (l *listener) run() {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			ready, err := read(c)
			if err != nil {
				log.Printf("%s: %v", c.RemoteAddr(), err)
				c.Close()
				return
			}
			l.ready <- ready
		}()
	}
}

func serve() error {
	web, err := net.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	first, err := net.Listen("tcp", ":81")
	if err != nil {
		return err
	}
	go speakFirst(first)
	l := &listener{web, make(chan *conn)}
	go l.run()
	type key struct{}
	server := http.Server{
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, key{}, c) },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := r.Context().Value(key{}).(*conn)
			switch {
			case r.Method == http.MethodPut:
				sum := sha256.New()
				io.Copy(sum, r.Body)
				fmt.Fprintf(w, "%x\n", sum.Sum(nil))
			case r.URL.Query().Has("bytes"):
				n, _ := strconv.Atoi(r.URL.Query().Get("bytes"))
				io.CopyN(w, rand.NewChaCha8([32]byte{7}), int64(n))
			default:
				fmt.Fprintln(w, strings.Join(c.headers, "\n"))
			}
		}),
	}
	return server.Serve(l)
}

// speakFirst greets before it reads anything, and then echoes a line.
func speakFirst(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer c.Close()
			fmt.Fprintln(c, "220 ready")
			ready, err := read(c)
			if err != nil || ready.headers[0] == "local" {
				return
			}
			line, err := ready.rest.ReadString('\n')
			if err == nil {
				fmt.Fprintf(c, "250 %s %s", strings.Fields(ready.headers[0])[2], line)
			}
		}()
	}
}

// dial makes n connections, 32 at once, and compares what the headers told with
// what is true here. It prints the endpoint that all of them named.
func dial(address, number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	var (
		mu        sync.Mutex
		endpoints = map[string]int{}
		wg        sync.WaitGroup
		failed    error
		slots     = make(chan struct{}, 32)
	)
	for range n {
		slots <- struct{}{}
		wg.Go(func() {
			endpoint, err := once(address)
			mu.Lock()
			defer mu.Unlock()
			endpoints[endpoint]++
			failed = errors.Join(failed, err)
			<-slots
		})
	}
	wg.Wait()
	if failed != nil || len(endpoints) != 1 {
		return fmt.Errorf("endpoints %v: %w", endpoints, failed)
	}
	for endpoint := range endpoints {
		fmt.Println(endpoint)
	}
	return nil
}

func once(address string) (endpoint string, err error) {
	c, err := net.DialTimeout("tcp", address, 20*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	told := strings.Fields(string(body))
	if len(told) < 2 || told[0] != c.LocalAddr().String() || told[1] != address {
		return "", fmt.Errorf("%s to %s is told as %q", c.LocalAddr(), address, body)
	}
	return strings.Join(told[2:], " "), nil
}

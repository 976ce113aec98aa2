package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The node's socket takes one request a connection, as a line of JSON, and
// answers with a line of JSON and perhaps open files: namespaces, so that the
// client needs to see neither the node's mounts nor its processes.

type request struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params,omitempty"`
}

type response struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// Limits of a request: its bytes, and the time that it may take to arrive.
const (
	maxRequest     = 1 << 20
	requestTimeout = 10 * time.Second
)

// maxFiles is how many files an answer may bring.
const maxFiles = 4

// Answer is what a handler returns.
type Answer struct {
	Result any        // becomes JSON
	Files  []*os.File // given to the client and closed
	// Released is called when the client has closed the connection, or was
	// never reached, with the files closed.
	Released func()
}

// Handler answers the requests of one method.
type Handler func(ctx context.Context, params json.RawMessage) (Answer, error)

// Listen opens the socket; one that is left from before is replaced.
func Listen(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	return l, nil
}

// Serve answers requests until ctx ends, and returns when all are answered.
func Serve(ctx context.Context, l *net.UnixListener, handlers map[string]Handler, log *slog.Logger) error {
	var group sync.WaitGroup
	defer group.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept command: %w", err)
		}
		group.Go(func() {
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			defer conn.Close()
			if err := serveConn(ctx, conn, handlers); err != nil && ctx.Err() == nil {
				log.Warn("serve command", "error", err)
			}
		})
	}
}

func serveConn(ctx context.Context, conn *net.UnixConn, handlers map[string]Handler) error {
	if err := onlyRoot(conn); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(requestTimeout)); err != nil {
		return err
	}
	var r request
	line, err := bufio.NewReader(io.LimitReader(conn, maxRequest)).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	handle := handlers[r.Method]
	if handle == nil {
		return writeResponse(conn, response{Error: fmt.Sprintf("unknown method %q", r.Method)}, nil)
	}
	// A client that goes away ends its request.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer cancel()
		io.Copy(io.Discard, conn)
	}()
	defer func() { conn.CloseRead(); <-gone }()
	answer, err := handle(ctx, r.Params)
	if err != nil {
		return writeResponse(conn, response{Error: err.Error()}, nil)
	}
	if answer.Released != nil {
		defer answer.Released()
	}
	raw, err := json.Marshal(answer.Result)
	if err == nil {
		err = writeResponse(conn, response{Result: raw}, answer.Files)
	}
	for _, f := range answer.Files {
		f.Close()
	}
	if err == nil && answer.Released != nil {
		<-gone
	}
	return err
}

// onlyRoot refuses clients of other users, whoever may open the socket.
func onlyRoot(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("identify client: %w", err)
	}
	if peer.Uid != 0 {
		return fmt.Errorf("client of user %d refused", peer.Uid)
	}
	return nil
}

// writeResponse sends the files with the first bytes.
func writeResponse(conn *net.UnixConn, r response, files []*os.File) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	line = append(line, '\n')
	if len(files) > 0 {
		var fds []int
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
		n, _, err := conn.WriteMsgUnix(line, unix.UnixRights(fds...), nil)
		if err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		line = line[n:]
	}
	if _, err := conn.Write(line); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

// ErrNotRunning is returned by Call if no node listens.
var ErrNotRunning = errors.New("isthmus is not running")

// Connection is an answered request. What the node keeps for the client it
// keeps until Close.
type Connection struct {
	Files []*os.File
	conn  *net.UnixConn
}

// Close ends the request and closes the files.
func (c *Connection) Close() {
	for _, f := range c.Files {
		f.Close()
	}
	c.conn.Close()
}

// Call sends a request to the node and decodes the answer into result, unless
// that is nil.
func Call(ctx context.Context, path, method string, params, result any) (_ *Connection, err error) {
	raw, err := json.Marshal(params)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	line, err := json.Marshal(request{method, raw})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("connect to node: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c := &Connection{conn: conn}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("ask node: %w", err)
	}
	answer, err := c.read()
	if err != nil {
		return nil, fmt.Errorf("read node's answer: %w", errors.Join(ctx.Err(), err))
	}
	var r response
	if err := json.Unmarshal(answer, &r); err != nil {
		return nil, fmt.Errorf("read node's answer: %w", err)
	}
	if r.Error != "" {
		return nil, errors.New(r.Error)
	}
	if result == nil {
		return c, nil
	}
	if err := json.Unmarshal(r.Result, result); err != nil {
		return nil, fmt.Errorf("read node's answer: %w", err)
	}
	return c, nil
}

// Release is Close, but returns only when the node has let go of what it kept
// for the client, or after a while.
func (c *Connection) Release() {
	for _, f := range c.Files {
		f.Close()
	}
	c.conn.SetReadDeadline(time.Now().Add(requestTimeout))
	if c.conn.CloseWrite() == nil {
		io.Copy(io.Discard, c.conn) // until the node closes its end
	}
	c.conn.Close()
}

// read reads a line and the files that come with its first bytes.
func (c *Connection) read() ([]byte, error) {
	first, oob := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, _, _, err := c.conn.ReadMsgUnix(first, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return nil, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			c.Files = append(c.Files, os.NewFile(uintptr(fd), "from node"))
		}
	}
	line := first[:n]
	if n > 0 && line[n-1] == '\n' {
		return line, nil
	}
	if n == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	rest, err := bufio.NewReader(c.conn).ReadBytes('\n')
	return append(line, rest...), err
}

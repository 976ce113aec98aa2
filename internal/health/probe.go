package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/isthmus-net/isthmus/internal/proxyheader"
	"github.com/isthmus-net/isthmus/internal/source"
)

const (
	maxHead = 8 << 10 // bytes of a response that are read for its head
	// A response's body says nothing, but a connection that is closed with
	// data unread is reset, which servers log as an error. So a little of it
	// is read, for a little while.
	maxBody   = 64 << 10
	drainTime = 100 * time.Millisecond
)

// Probe sends one probe and waits for its outcome, for at most c.Timeout.
func Probe(ctx context.Context, c Check) Outcome {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()

	conn, err := source.Dialer(c.Source).DialContext(ctx, "tcp", c.Destination.String())
	if err != nil {
		return failure(err)
	}
	defer conn.Close()
	if c.Proxy {
		// It goes out at once, into an empty buffer.
		if _, err := conn.Write(proxyheader.Local()); err != nil {
			return failure(err)
		}
	}
	if c.Protocol == "TCP" {
		return Outcome{}
	}
	// Closing ends reads and writes when the time is up or the check is
	// withdrawn.
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	stream := conn
	if c.Protocol == "HTTPS" {
		// Load balancers don't verify the certificates of targets.
		secure := &tls.Config{InsecureSkipVerify: true}
		if c.Version != "" {
			secure.NextProtos = []string{"h2"}
		}
		stream = tls.Client(conn, secure)
	}
	var code int
	if c.Version == "" {
		code, err = get(stream, &c)
	} else {
		code, err = get2(ctx, stream, &c)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return failure(context.DeadlineExceeded)
	case err != nil:
		return failure(err)
	}
	parse := ParseMatcher
	if c.Version == grpcVersion {
		parse = ParseGRPCMatcher
	}
	matcher, err := parse(c.Matcher)
	if err != nil {
		return Outcome{ReasonInternal, err.Error()}
	}
	if !matcher.Match(code) {
		return Outcome{ReasonCodeMismatch, fmt.Sprintf("Health checks failed with these codes: [%d]", code)}
	}
	return Outcome{}
}

// request is that of an HTTP check.
func request(c *Check) (*http.Request, error) {
	target, err := url.ParseRequestURI(c.Path)
	if err != nil {
		return nil, fmt.Errorf("parse path: %w", err)
	}
	host := c.HostHeader
	if host == "" {
		host = c.Destination.String()
	}
	return &http.Request{
		Method: "GET",
		URL:    target,
		Host:   host,
		Header: http.Header{"User-Agent": {"ELB-HealthChecker/2.0"}, "Accept-Encoding": {"gzip, compressed"}},
	}, nil
}

// get sends the request of an HTTP check and returns the status code of the
// response. Redirects are answers like any other.
func get(conn net.Conn, c *Check) (int, error) {
	request, err := request(c)
	if err != nil {
		return 0, err
	}
	request.Close = true
	if err := request.Write(conn); err != nil {
		return 0, err
	}
	response, err := readHead(conn, request)
	if err != nil {
		return 0, err
	}
	if conn.SetReadDeadline(time.Now().Add(drainTime)) == nil {
		io.Copy(io.Discard, io.LimitReader(conn, maxBody))
	}
	return response.StatusCode, nil
}

// errMalformed stands for every way in which a response can be wrong: what
// exactly was sent is not repeated, since it is a stranger's text.
var errMalformed = errors.New("malformed HTTP response")

// readHead reads the head of the final response, passing over interim ones.
func readHead(r io.Reader, request *http.Request) (*http.Response, error) {
	head := &io.LimitedReader{R: r, N: maxHead}
	buffered := bufio.NewReaderSize(head, 4<<10)
	for {
		response, err := http.ReadResponse(buffered, request)
		var network net.Error
		switch {
		case err == nil && response.StatusCode >= 100 && response.StatusCode < 200:
			continue
		case err == nil:
			return response, nil
		case head.N == 0:
			return nil, fmt.Errorf("response head exceeds %d bytes", maxHead)
		case errors.As(err, &network):
			return nil, err
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, errors.New("connection closed before the end of the response head")
		default:
			return nil, errMalformed
		}
	}
}

// failure tells why a probe failed, in words that are the same for the same
// cause: a report is sent, and stored, whenever they change.
func failure(err error) Outcome {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return Outcome{ReasonTimeout, "Request timed out"}
	}
	var call *os.SyscallError
	var errno syscall.Errno
	var op *net.OpError
	switch {
	case errors.As(err, &call) && (call.Syscall == "bind" || call.Syscall == "socket"):
		return Outcome{ReasonInternal, "Health checks failed due to an internal error: " + call.Error()}
	case errors.As(err, &errno):
		return Outcome{ReasonFailed, "Health checks failed: " + errno.Error()}
	case errors.As(err, &op):
		return Outcome{ReasonFailed, "Health checks failed: " + op.Err.Error()}
	default:
		return Outcome{ReasonFailed, "Health checks failed: " + err.Error()}
	}
}

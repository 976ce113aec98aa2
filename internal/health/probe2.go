package health

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
)

// grpcVersion is the protocol version whose checks are calls of gRPC.
const grpcVersion = "GRPC"

// get2 is get over HTTP/2. A check of gRPC is a call with an empty message,
// whose status is the code; if the answer is none of gRPC's, its HTTP status
// is, which no matcher of such a group has.
func get2(ctx context.Context, conn net.Conn, c *Check) (int, error) {
	r, err := request(c)
	if err != nil {
		return 0, err
	}
	r.URL.Scheme, r.URL.Host = "http", r.Host
	if secure, ok := conn.(*tls.Conn); ok {
		r.URL.Scheme = "https"
		if err := secure.HandshakeContext(ctx); err != nil {
			return 0, err
		}
		if secure.ConnectionState().NegotiatedProtocol != "h2" {
			return 0, errNotHTTP2
		}
	}
	if c.Version == grpcVersion {
		message := make([]byte, 5) // not compressed, of length 0
		r.Method = "POST"
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(message)), int64(len(message))
		r.Header = http.Header{"User-Agent": r.Header["User-Agent"], "Content-Type": {"application/grpc"}, "Te": {"trailers"}}
	}
	transport := &http.Transport{
		Protocols:              new(http.Protocols),
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		MaxResponseHeaderBytes: maxHead,
		DisableCompression:     true,
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerConnection: maxBody, MaxReceiveBufferPerStream: maxBody},
	}
	transport.Protocols.SetUnencryptedHTTP2(true) // TLS is the connection's
	client, err := transport.NewClientConn(ctx, "http", "target:80")
	if err != nil {
		return 0, err
	}
	defer client.Close()
	response, err := client.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return 0, broken2(err)
	}
	defer response.Body.Close()
	if c.Version != grpcVersion || response.StatusCode != http.StatusOK {
		return response.StatusCode, nil
	}
	// The status follows the message; an answer without a message has it in the
	// header.
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, maxBody))
	status := response.Trailer.Get("Grpc-Status")
	if status == "" {
		status = response.Header.Get("Grpc-Status")
	}
	code, bad := strconv.ParseUint(status, 10, 16)
	switch {
	case bad == nil:
		return int(code), nil
	case err != nil:
		return 0, broken2(err)
	}
	return 0, errors.New("the response has no gRPC status")
}

// errNotHTTP2 stands for every way in which what came is not HTTP/2, as
// errMalformed does.
var errNotHTTP2 = errors.New("malformed HTTP/2 response")

func broken2(err error) error {
	var network net.Error
	if errors.As(err, &network) {
		return err
	}
	return errNotHTTP2
}

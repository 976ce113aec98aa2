// Package http2 is the server's side of HTTP/2 (RFC 9113) for connections that
// internal/http1 has accepted, with that package's requests, responses and
// limits. Compression of fields is HPACK's (RFC 7541), decoded by
// golang.org/x/net's.
//
// A connection has one goroutine that reads and one for each request. What these
// write is gathered in one buffer, so that responses that are ready together
// cost one record of TLS and one system call. Neither a request without a body
// nor its response allocates memory.
//
// Clients are held to limits: of streams, of fields, of what is buffered, of
// time for each piece of a body and for a whole one (http1.Pace), and of frames
// that cost the server something and bring nobody anything.
package http2

// Package http1 is an HTTP/1.1 engine: the server and the client side of a
// proxy, with bodies streamed both ways.
//
// It is strict where leniency has been the way into systems behind a proxy
// (RFC 9112, sections 2.2, 5.1, 6 and 11.2): a message whose framing could be
// read in two ways is refused, and never repaired. Names and values of fields
// keep their order and spelling. The engine alone writes what frames a message:
// Content-Length, Transfer-Encoding and Connection.
//
// A connection has one goroutine, which reads a request, calls the handler and
// writes the response; and one more while a request's body is sent beside its
// response. On the common path a proxied request costs four system calls, each
// of which does something: the goroutine waits for a socket within the callback
// of its syscall.RawConn, so that no read is tried before there is something to
// read. Deadlines and timers are set anew only when they have become too short.
// A message's head is one string, of which its fields are parts, in memory that is
// used again when the message has been dealt with; see Texts. Large bodies of a known
// length are moved within the kernel from one socket to the other, unless one is with
// TLS; a body that wraps another has to be Piped for that. A connection
// without TLS that waits for a request holds no buffer, and after a while has a
// new goroutine, whose stack is small.
package http1

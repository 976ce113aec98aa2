package alb

import (
	"crypto/tls"
	"strconv"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/sslpolicy"
)

// The access log's lines are those that AWS writes to S3 ("Access log entries"
// in the user guide), whose readers there are many. A field that is not known
// is "-", a time that is not -1.

// maxLogged bounds a text of the client's in a line.
const maxLogged = 8 << 10

// entry is what a line tells.
type entry struct {
	status    int
	sent      int64 // of the body
	responded time.Time
	ended     time.Time
}

// accessLine is the line of an exchange, with its line end.
func (x *exchange) accessLine(r *message.Response, e entry) []byte {
	b := make([]byte, 0, 768)
	word := func(s string) { b = append(append(b, orDash(s)...), ' ') }
	number := func(n int64) { b = append(strconv.AppendInt(b, n, 10), ' ') }
	text := func(s string) { b = append(appendQuoted(b, orDash(s)), ' ') }
	seconds := func(d time.Duration) {
		if d < 0 {
			b = append(b, "-1 "...)
			return
		}
		b = append(strconv.AppendFloat(b, d.Seconds(), 'f', 3, 64), ' ')
	}
	request := x.request
	word(connectionType(request, r))
	word(timestamp(e.ended))
	name, arn := "", ""
	if c := x.snapshot.config; c != nil {
		_, name, _ = strings.Cut(c.LoadBalancer, ":loadbalancer/")
	}
	if x.group != nil {
		arn = x.group.ARN
	}
	word(name)
	word(request.Client.String())
	target, targetStatus := "-", "-"
	if x.target != nil {
		target = x.target.text
	}
	word(target)
	if x.targetStatus != 0 {
		targetStatus = strconv.Itoa(x.targetStatus)
		seconds(x.sentTo)
		seconds(x.targetTime)
		seconds(max(0, e.responded.Sub(x.start)-x.sentTo-x.targetTime))
	} else {
		seconds(-1)
		seconds(-1)
		seconds(-1)
	}
	number(int64(e.status))
	word(targetStatus)
	number(int64(request.LineSize()+len("\r\nHost: \r\n\r\n")+len(request.Host)+request.Header.Size()) + x.received())
	number(int64(len("HTTP/1.1 200 \r\n\r\n")+r.Header.Size()) + e.sent)
	text(requestLine(request))
	text(cut(request.Header.Get("User-Agent")))
	cipher, version := tlsWords(request.TLS)
	word(cipher)
	word(version)
	word(arn)
	text(x.traceID)
	serverName := ""
	if request.TLS != nil {
		serverName = request.TLS.ServerName
	}
	text(serverName)
	text("") // the certificate's ARN
	number(int64(x.priority))
	word(timestamp(x.start))
	text(x.action)
	text(cut(x.location))
	text(x.identity.why())
	text(target)
	text(targetStatus)
	text("") // the engine refuses what AWS would classify
	text("")
	word("") // connections have no log
	host, url, status := "", "", ""
	if x.routed != nil && x.routed != x.request {
		status = "TransformSuccess"
		if host = x.routed.Host; !x.rehosted {
			host = ""
		}
		if x.routed.Path != request.Path || x.routed.Query != request.Query {
			url = cut(withQuery(x.routed))
		}
	} else if x.transformFailed {
		status = "TransformFailed"
	}
	text(host)
	text(url)
	b = appendQuoted(b, orDash(status))
	return append(b, '\n')
}

// refusedLine is the line of what was no request.
func (s *snapshot) refusedLine(status int, now time.Time) []byte {
	name := "-"
	if s.config != nil {
		_, name, _ = strings.Cut(s.config.LoadBalancer, ":loadbalancer/")
	}
	return []byte("http " + timestamp(now) + " " + name + " - - -1 -1 -1 " + strconv.Itoa(status) +
		` - 0 0 "- - -" "-" - - - "-" "-" "-" - ` + timestamp(now) + ` "-" "-" "-" "-" "-" "-" "-" - "-" "-" "-"` + "\n")
}

func connectionType(q *message.Request, r *message.Response) string {
	switch secure := q.TLS != nil; {
	case r.Tunnel != nil && secure:
		return "wss"
	case r.Tunnel != nil:
		return "ws"
	case q.IsGRPC():
		return "grpcs"
	case strings.HasPrefix(q.Proto, "HTTP/2"):
		return "h2"
	case secure:
		return "https"
	}
	return "http"
}

// requestLine has the whole URL, as AWS's lines do.
func requestLine(q *message.Request) string {
	host := q.Host
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return cut(q.Method + " " + protocol(q) + "://" + host + ":" + strconv.Itoa(int(q.Server.Port())) + withQuery(q) + " " + q.Proto)
}

func withQuery(q *message.Request) string {
	if q.Query == "" {
		return q.Path
	}
	return q.Path + "?" + q.Query
}

// tlsWords name a connection's cipher suite and version.
func tlsWords(c *tls.ConnectionState) (cipher, version string) {
	if c == nil {
		return "", ""
	}
	return sslpolicy.Cipher(c.CipherSuite), sslpolicy.Version(c.Version)
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func cut(s string) string { return s[:min(len(s), maxLogged)] }

// appendQuoted puts a text in quotes. Quotes, backslashes and what is not
// visible ASCII are escaped, so that a client can't write fields or lines.
func appendQuoted(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c >= 0x7f:
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

package alb

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// noRule is the priority in the log of a request that was refused before any
// rule was looked at.
const noRule = -1

// exchange is one request on its way through the chain, and what is known of
// it.
type exchange struct {
	progress
	out      upstream.Request            // to the target
	answered func(sent int64, err error) // is done
	texts    http1.Texts
}

// progress is what an exchange's memory does not keep for the next one.
type progress struct {
	balancer *Balancer
	snapshot *snapshot
	request  *message.Request
	// routed is the request as the rule's transforms leave it, by which rehosted
	// is set if they gave it another host.
	routed   *message.Request
	rehosted bool
	// transformFailed says that they made no request that can be sent.
	transformFailed bool
	start           time.Time
	traceID         string

	listener *listener
	priority int    // of the rule; 0 for the default one
	action   string // "forward", "redirect", "fixed-response", with what was before it and a comma
	group    *group
	target   *target
	location string    // of a redirect
	identity *identity // nil if nobody asked for one

	sentTo       time.Duration // from the start until the target was called
	body         *requestBody  // nil if no target was called
	targetStatus int
	targetTime   time.Duration // to the header of the target's response
	gone         bool          // the client closed the connection before the response
	cause        string        // "layer: cause" of a failure; it is for the log, not the client

	incoming  requestBody  // to the target
	sending   responseBody // from it
	answer    *message.Response
	responded time.Time                   // when the answer was there; for the access log
	given     func(sent int64, err error) // whom the target's response wants told
}

// begin begins an exchange, in the memory of one that has ended.
func (b *Balancer) begin(r *message.Request) *exchange {
	x, _ := b.exchanges.Get().(*exchange)
	if x == nil {
		x = new(exchange)
		x.answered, x.out.Texts = x.done, &x.texts
	}
	x.balancer, x.snapshot, x.request, x.start, x.priority = b, b.current.Load(), r, time.Now(), noRule
	return x
}

// recycle gives the memory of an exchange away, whose answer was sent. Nobody
// holds it any more but those who carry on a tunnel or a body that is passed on
// as it comes, and net/http's goroutines over HTTP/2.
func (x *exchange) recycle() {
	if x.answer.Tunnel != nil || x.out.Body != nil || x.group != nil && x.group.Version != config.HTTP1 {
		return
	}
	b := x.balancer
	x.out.Reset()
	x.texts.Reset()
	x.progress = progress{}
	b.exchanges.Put(x)
}

// finish adds what every answer carries, and logs the exchange when the answer
// was sent.
func (x *exchange) finish(r *message.Response) *message.Response {
	if x.listener != nil {
		if x.listener.config.OmitServer {
			r.Header.Del("Server")
		}
		for _, h := range x.listener.config.Headers {
			r.Header.Set(h.Name, h.Value)
		}
	}
	if r.Header.Get("Content-Length") == "" && r.Length > 0 {
		r.Header.Set("Content-Length", strconv.FormatInt(r.Length, 10))
	}
	if c, ok := x.request.Connection.(*connection); ok && r.Tunnel == nil {
		if limit := x.snapshot.clientKeepAlive(); limit > 0 && x.start.Sub(c.arrived) >= limit {
			r.Header.Set("Connection", "close")
		}
	}
	if x.identity != nil {
		for _, c := range x.identity.cookies {
			r.Header.Add("Set-Cookie", c)
		}
	}
	if x.balancer.file != nil {
		x.responded = time.Now()
	}
	x.answer, x.given = r, r.Done
	r.Done = x.answered
	return r
}

// done keeps account of the exchange, and is the last that happens to it.
func (x *exchange) done(sent int64, err error) {
	if x.given != nil {
		x.given(sent, err)
	}
	ended := x.start.Add(time.Since(x.start)) // half as dear as time.Now, which reads two clocks
	status := x.log(x.answer, sent, err, ended)
	x.count(status)
	if f := x.balancer.file; f != nil {
		f.Write(x.accessLine(x.answer, entry{status: status, sent: sent, responded: x.responded, ended: ended}))
	}
	x.recycle()
}

func (s *snapshot) clientKeepAlive() time.Duration {
	if s.config == nil {
		return 0
	}
	return time.Duration(s.config.Attributes.ClientKeepAliveSeconds) * time.Second
}

// statusGone is what AWS logs for a client that did not wait for its answer.
const statusGone = 460

// log writes the line of the process's own log, which has the cause of a
// failure, and returns the status as logs have it. The names are those of the
// fields of AWS's access logs.
func (x *exchange) log(r *message.Response, sent int64, err error, ended time.Time) (status int) {
	status = r.Status
	if x.gone || errors.Is(err, message.ErrClientGone) && sent == 0 {
		status = statusGone
	}
	if err != nil && x.cause == "" {
		x.cause = "response: " + err.Error()
		if errors.Is(err, message.ErrClientGone) {
			x.cause = "client: closed the connection before the response was whole"
		}
	}
	level := slog.LevelInfo
	if status >= 500 || err != nil {
		level = slog.LevelWarn
	}
	if !x.balancer.options.Access.Enabled(level) {
		return status
	}
	line := x.balancer.options.Access.Line(ended, level, "request")
	line.Text("client", x.request.ClientPort())
	line.Text("request", x.texts.Join(x.request.Method, " ", x.request.Path))
	line.Text("domain_name", x.request.Host)
	line.Text("user_agent", x.request.Header.Get("User-Agent"))
	line.Int("elb_status_code", int64(status))
	line.Int("sent_bytes", sent)
	line.Int("request_time", ended.Sub(x.start).Milliseconds())
	line.Text("trace_id", x.traceID)
	line.Int("matched_rule_priority", int64(x.priority))
	line.Pairs(x.snapshot.logged)
	if x.action != "" {
		line.Text("actions_executed", x.action)
	}
	if x.group != nil {
		line.Pairs(x.group.logged)
	}
	if x.target != nil {
		line.Pairs(x.target.logged)
		line.Int("target_processing_time", x.targetTime.Milliseconds())
	}
	if x.targetStatus != 0 {
		line.Int("target_status_code", int64(x.targetStatus))
	}
	if reason := x.identity.why(); reason != "" {
		line.Text("error_reason", reason)
	}
	if x.location != "" {
		line.Text("redirect_url", x.location)
	}
	if x.cause != "" {
		line.Text("error", x.cause)
	}
	line.End()
	return status
}

// received is how many bytes of the request's body came.
func (x *exchange) received() int64 {
	switch {
	case x.request.Length > 0:
		return x.request.Length
	case x.body != nil:
		return x.body.read.Load()
	}
	return 0
}

// statusText is the reason phrase, in which AWS differs from the RFC.
func statusText(status int) string {
	switch status {
	case 401:
		return "401 Authorization Required"
	case 405:
		return "405 Not Allowed"
	case 408:
		return "408 Request Time-out"
	case 414:
		return "414 Request-URI Too Large"
	case 503:
		return "503 Service Temporarily Unavailable"
	case 504:
		return "504 Gateway Time-out"
	case 561:
		return "561 Authentication Error"
	}
	if text := http.StatusText(status); text != "" {
		return strconv.Itoa(status) + " " + text
	}
	return strconv.Itoa(status)
}

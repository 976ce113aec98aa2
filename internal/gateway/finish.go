package gateway

import (
	"errors"
	"log/slog"
	"time"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// finish adds what every answer carries, and logs the exchange when the answer
// was sent.
func (x *exchange) finish(r *message.Response) *message.Response {
	if x.api != nil && x.api.Kind == config.HTTP {
		if x.stage != nil {
			x.stage.cors.decorate(x.request, r)
		}
		r.Header.Set("Apigw-Requestid", x.extendedID)
	} else {
		r.Header.Set("x-amzn-RequestId", x.id())
		r.Header.Set("x-amz-apigw-id", x.extendedID)
		if x.integrated {
			r.Header.Set("X-Amzn-Trace-Id", x.traceID)
		}
	}
	if x.gateway.options.ExposeCause && x.cause != "" {
		r.Header.Set("x-isthmus-cause", x.cause)
	}
	if r.Header.Get("Content-Length") == "" && r.Length > 0 {
		setLength(r)
	}
	x.answer, r.Done = r, x.answered
	return r
}

// done keeps account of the exchange, and is the last that happens to it.
func (x *exchange) done(sent int64, err error) {
	x.status, x.sent, x.latency = x.answer.Status, sent, time.Since(x.start)
	x.log(err, x.start.Add(x.latency))
	x.endSpans()
	if x.stage == nil {
		x.gateway.unrouted.Add(1)
	} else {
		x.stage.metrics.count(x)
		if x.stage.log != nil {
			x.stage.log.write(x)
		}
	}
	x.recycle()
}

// log writes the line of the gateway's own log. The names are those of the
// $context variables.
func (x *exchange) log(err error, ended time.Time) {
	level := slog.LevelInfo
	if x.status >= 500 || err != nil {
		level = slog.LevelWarn
	}
	if err != nil && x.cause == "" {
		x.cause = "response: " + err.Error()
		if errors.Is(err, message.ErrClientGone) {
			x.cause = "client: closed the connection before the response was whole"
		}
	}
	if !x.gateway.options.Access.Enabled(level) {
		return
	}
	line := x.gateway.options.Access.Line(ended, level, "request")
	if line.Text("requestId", x.id()); x.id() != x.extendedID {
		line.Text("extendedRequestId", x.extendedID)
	}
	line.Word("sourceIp", x.client())
	line.Text("host", x.request.Host)
	line.Word("httpMethod", x.request.Method)
	line.Text("path", x.request.Path)
	line.Word("protocol", x.request.Proto)
	line.Text("userAgent", x.request.Header.Get("User-Agent"))
	line.Int("status", int64(x.status))
	line.Int("responseLength", x.sent)
	line.Int("responseLatency", x.latency.Milliseconds())
	if x.endpoint != nil {
		line.Text("vpceId", x.endpoint.ID)
		line.Text("vpcId", x.endpoint.VPC)
	}
	if x.api != nil {
		line.Pairs(x.api.logged)
	}
	if x.stage != nil {
		line.Pairs(x.stage.logged)
	}
	if x.route != nil {
		line.Pairs(x.route.logged)
	}
	if x.integrated {
		line.Int("integrationLatency", x.integrationLatency.Milliseconds())
		if x.integrationStatus != 0 {
			line.Int("integrationStatus", int64(x.integrationStatus))
		}
		if x.cause != "" {
			line.Text("integrationError", x.cause)
		}
	} else if x.cause != "" {
		line.Text("error", x.cause)
	}
	line.End()
}

package gateway

import (
	"context"
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
		r.Header.Set("x-amzn-RequestId", x.requestID)
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
	r.Done = func(sent int64, err error) { x.log(r, sent, err) }
	return r
}

// log writes the access log's line. The names are those of the $context
// variables.
func (x *exchange) log(r *message.Response, sent int64, err error) {
	level := slog.LevelInfo
	if r.Status >= 500 || err != nil {
		level = slog.LevelWarn
	}
	if err != nil && x.cause == "" {
		x.cause = "response: " + err.Error()
		if errors.Is(err, message.ErrClientGone) {
			x.cause = "client: closed the connection before the response was whole"
		}
	}
	if !x.gateway.options.Access.Enabled(context.Background(), level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 24),
		slog.String("requestId", x.requestID),
		slog.String("extendedRequestId", x.extendedID),
		slog.String("sourceIp", x.client()),
		slog.String("host", x.request.Host),
		slog.String("httpMethod", x.request.Method),
		slog.String("path", x.request.Path),
		slog.String("protocol", x.request.Proto),
		slog.String("userAgent", x.request.Header.Get("User-Agent")),
		slog.Int("status", r.Status),
		slog.Int64("responseLength", sent),
		slog.Int64("responseLatency", time.Since(x.start).Milliseconds()),
	)
	if x.endpoint != nil {
		attrs = append(attrs, slog.String("vpceId", x.endpoint.ID), slog.String("vpcId", x.endpoint.VPC))
	}
	if x.api != nil {
		attrs = append(attrs, slog.String("accountId", x.api.Account), slog.String("apiId", x.api.ID))
	}
	if x.stage != nil {
		attrs = append(attrs, slog.String("stage", x.stage.Name))
	}
	if x.route != nil {
		attrs = append(attrs, slog.String("routeKey", x.route.Key), slog.String("resourcePath", x.route.Path))
	}
	if x.integrated {
		attrs = append(attrs, slog.Int64("integrationLatency", x.integrationLatency.Milliseconds()))
		if x.integrationStatus != 0 {
			attrs = append(attrs, slog.Int("integrationStatus", x.integrationStatus))
		}
		if x.cause != "" {
			attrs = append(attrs, slog.String("integrationError", x.cause))
		}
	} else if x.cause != "" {
		attrs = append(attrs, slog.String("error", x.cause))
	}
	x.gateway.options.Access.LogAttrs(context.Background(), level, "request", attrs...)
}

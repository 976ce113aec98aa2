package gateway

import (
	"errors"
	"net/url"
	"strings"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/gateway/mapping"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// restProxyRequest passes a request of a REST API through (type HTTP_PROXY).
func (x *exchange) restProxyRequest(in *integration) (*upstream.Request, *message.Response) {
	out, refused := x.restRequest(in)
	if refused != nil {
		return nil, refused
	}
	out.Header = x.restProxyHeader(out.Header)
	x.completeRESTHeader(in, out)
	out.Query = joinQuery(out.Query, x.request.Query, x.mappedQuery(in))
	out.Body, out.Length = x.request.Body, x.request.Length
	return out, nil
}

// restPlainRequest maps a request of a REST API (type HTTP): nothing passes
// but what is mapped, and the body.
func (x *exchange) restPlainRequest(in *integration) (*upstream.Request, *message.Response) {
	template, refused := x.requestTemplate(in)
	if refused != nil {
		return nil, refused
	}
	out, refused := x.restRequest(in)
	if refused != nil {
		return nil, refused
	}
	x.completeRESTHeader(in, out)
	out.Query = joinQuery(out.Query, x.mappedQuery(in))
	if out.Method != "GET" && out.Method != "HEAD" && out.Method != "OPTIONS" {
		out.Header.SetDefault("Content-Type", contentType(x.request.Header))
		out.Body, out.Length = x.request.Body, x.request.Length
		if !template.Passthrough {
			out.Body, out.Length = strings.NewReader(template.Text), int64(len(template.Text))
		}
	}
	return out, nil
}

// restRequest makes what both types have in common: method and URI.
func (x *exchange) restRequest(in *integration) (*upstream.Request, *message.Response) {
	var bad error
	value := func(name string) (string, bool) {
		for _, a := range in.pathValues {
			if a.name == name {
				v, err := pathValue(a.source, x)
				bad = errors.Join(bad, err)
				return v, true
			}
		}
		return "", false
	}
	plain := func(name string) (string, bool) {
		for _, a := range in.pathValues {
			if a.name == name {
				return a.source.Value(x)
			}
		}
		return "", false
	}
	out, err := x.target(in, value, plain)
	if bad != nil {
		return nil, x.fail(badRequest, "request: "+bad.Error())
	}
	if err != nil {
		return nil, x.fail(configurationError, "configuration: "+err.Error())
	}
	if in.version == 2 { // the newer kind of link puts the stage before the path
		out.Path = "/" + x.stage.Name + out.Path
	}
	return out, nil
}

// target fills an integration's URI. escaped gives values for the path, plain
// those for host and query.
func (x *exchange) target(in *integration, escaped, plain func(string) (string, bool)) (*upstream.Request, error) {
	host, err := in.host.fillHost(&x.texts, plain)
	if err != nil {
		return nil, err
	}
	path, err := in.path.fill(&x.texts, escaped)
	if err != nil {
		return nil, err
	}
	query, err := in.uriQuery.fill(&x.texts, func(name string) (string, bool) {
		v, ok := plain(name)
		return url.QueryEscape(v), ok
	})
	if err != nil {
		return nil, err
	}
	if path == "" {
		path = "/"
	}
	filled := *in.URI
	filled.Host = host
	out := &x.out
	out.Method, out.Secure, out.ServerName = in.Method, in.URI.Scheme == "https", host
	out.Path, out.Query, out.Host = path, query, filled.Authority()
	if out.Method == "" || out.Method == config.AnyMethod {
		out.Method = x.method
	}
	if in.TLS != nil && in.TLS.ServerName != "" {
		out.Secure, out.ServerName = true, in.TLS.ServerName
	}
	if in.Upstream == "" {
		out.Address = joinHostPort(host, in.URI.Port)
	}
	return out, nil
}

// completeRESTHeader adds what is mapped and what API Gateway adds by itself.
func (x *exchange) completeRESTHeader(in *integration, out *upstream.Request) {
	for _, a := range in.headers {
		if value, ok := a.source.Value(x); ok && validValue(value) {
			if strings.EqualFold(a.name, "Host") {
				out.Host = value
			} else {
				out.Header.Set(a.name, value)
			}
		}
	}
	out.Header.SetDefault("Accept", "application/json")
	out.Header.SetDefault("User-Agent", x.api.userAgent)
	out.Header.Set("X-Amzn-Apigateway-Api-Id", x.api.ID)
	out.Header.Set("X-Amzn-Trace-Id", x.traceID)
	x.setForwardedFor(&out.Header)
}

// mappedQuery is the query string of the mapped parameters.
func (x *exchange) mappedQuery(in *integration) string {
	var b strings.Builder
	for _, a := range in.query {
		if value, ok := a.source.Value(x); ok {
			if b.Len() > 0 {
				b.WriteByte('&')
			}
			b.WriteString(url.QueryEscape(a.name) + "=" + url.QueryEscape(value))
		}
	}
	return b.String()
}

// requestTemplate chooses the template for the request's media type, or says
// that the body passes through.
func (x *exchange) requestTemplate(in *integration) (mapping.Template, *message.Response) {
	if t, ok := in.templates[mediaType(contentType(x.request.Header))]; ok {
		return t, nil
	}
	if t, ok := in.templates["$default"]; ok {
		return t, nil
	}
	if in.PassthroughBehavior == "NEVER" || in.PassthroughBehavior == "WHEN_NO_TEMPLATES" && len(in.templates) > 0 {
		return mapping.Template{}, x.fail(unsupportedMediaType, "request: no template for its media type")
	}
	return mapping.Template{Passthrough: true}, nil
}

// joinQuery joins query strings that are not empty.
func joinQuery(queries ...string) string {
	joined := ""
	for _, q := range queries {
		if q != "" && joined != "" {
			joined += "&"
		}
		joined += q
	}
	return joined
}

package gateway

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/gateway/mapping"
	"github.com/isthmus-net/isthmus/internal/gateway/router"
	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// httpRequest makes an HTTP API's request to its integration.
func (x *exchange) httpRequest(in *integration) (*upstream.Request, *message.Response) {
	out, err := x.httpTarget(in)
	if err != nil {
		return nil, x.fail(configurationError, "configuration: "+err.Error())
	}
	out.Query = joinQuery(out.Query, x.request.Query)
	out.Header = x.request.Header.AppendPassed(out.Header, httpDropped)
	if err := x.changeRequest(in, out); err != nil {
		return nil, x.fail(badRequest, "request: "+err.Error())
	}
	out.Header.Set("Forwarded", x.forwarded())
	out.Header.Set("Via", x.appended("Via", "HTTP/1.1 AmazonAPIGateway"))
	out.Header.Set("X-Amzn-Trace-Id", x.traceID)
	out.Body, out.Length = x.request.Body, x.request.Length
	return out, nil
}

// httpResponse makes an HTTP API's answer of its integration's.
func (x *exchange) httpResponse(in *integration, response *message.Response) *message.Response {
	x.response = response
	var changes []mapping.Change
	if len(in.responseChanges) > 0 {
		changes = in.responseChanges[strconv.Itoa(response.Status)]
	}
	if len(changes) == 0 {
		response.Header.RemoveHop()
		return response
	}
	// Changes read what came.
	answer := &message.Response{Status: response.Status, Header: response.Header.AppendPassed(nil, nil), Body: response.Body, Length: response.Length}
	x.changeResponse(changes, answer)
	return answer
}

// httpDropped are not passed to the backend: they are about the message that
// the client sent, or become Forwarded.
var httpDropped = http1.NamesOf(map[string]bool{
	"content-length": true, "expect": true, "forwarded": true, "via": true,
	"x-forwarded-for": true, "x-forwarded-host": true, "x-forwarded-port": true,
	"x-forwarded-proto": true,
})

// httpTarget finds out where the request goes. Without a URI, to a load
// balancer's listener, it goes as it came, with the stage in the path.
func (x *exchange) httpTarget(in *integration) (*upstream.Request, error) {
	if in.URI == nil {
		out := &x.out
		out.Method, out.Path, out.Host = in.Method, x.stagePath(), x.request.Host
		if out.Path == "" {
			out.Path = "/"
		}
		if out.Method == "" || out.Method == config.AnyMethod {
			out.Method = x.method
		}
		if in.TLS != nil {
			out.Secure, out.ServerName = true, in.TLS.ServerName
			if out.ServerName == "" {
				out.ServerName = hostname(x.request.Host)
			}
		}
		return out, nil
	}
	out, err := x.target(in, x.RawPathParameter, x.PathParameter)
	if err != nil {
		return nil, err
	}
	if x.route.Path == config.DefaultRoute {
		out.Path = strings.TrimSuffix(out.Path, "/") + x.RequestPath()
	}
	return out, nil
}

// changeRequest applies the requestParameters. Removals see what appending
// and overwriting have left.
func (x *exchange) changeRequest(in *integration, out *upstream.Request) error {
	var query *queryEditor
	for _, c := range in.changes {
		value, found := c.Source.Value(x)
		if c.Action != mapping.Remove && !found {
			continue
		}
		switch c.Place {
		case mapping.Header:
			if strings.EqualFold(c.Name, "Host") {
				if c.Action == mapping.Overwrite && validValue(value) {
					out.Host = value
				}
				continue
			}
			changeHeader(&out.Header, c, value)
		case mapping.Query:
			if query == nil {
				query = &queryEditor{query: out.Query}
			}
			query.change(c, value)
		case mapping.Path:
			path, err := overwrittenPath(value)
			if err != nil {
				return err
			}
			out.Path = path
		}
	}
	if query != nil {
		out.Query = query.query
	}
	return nil
}

// overwrittenPath checks a path that a mapping made. It is escaped already as
// far as it comes from the request's path; what may not stand in a path is
// escaped here.
func overwrittenPath(value string) (string, error) {
	if !strings.HasPrefix(value, "/") {
		value = "/" + value
	}
	var b strings.Builder
	for i := range len(value) {
		if value[i] == '%' {
			b.WriteByte('%')
		} else {
			b.WriteString(escapePath(value[i:i+1], true))
		}
	}
	if router.Climbs(b.String(), true) {
		return "", errClimbs
	}
	return b.String(), nil
}

func changeHeader(h *message.Header, c mapping.Change, value string) {
	if !validValue(value) {
		return
	}
	switch c.Action {
	case mapping.Append:
		h.Add(c.Name, value)
	case mapping.Overwrite:
		h.Set(c.Name, value)
	case mapping.Remove:
		h.Del(c.Name)
	}
}

// queryEditor changes single parameters of a query and leaves the others as
// they were written.
type queryEditor struct{ query string }

func (e *queryEditor) change(c mapping.Change, value string) {
	if c.Action != mapping.Append {
		kept := slices.DeleteFunc(strings.Split(e.query, "&"), func(pair string) bool {
			name, _, _ := strings.Cut(pair, "=")
			decoded, err := url.QueryUnescape(name)
			return err == nil && decoded == c.Name
		})
		e.query = strings.Join(kept, "&")
	}
	if c.Action != mapping.Remove {
		e.query = joinQuery(e.query, url.QueryEscape(c.Name)+"="+url.QueryEscape(value))
	}
}

// changeResponse applies the responseParameters.
func (x *exchange) changeResponse(changes []mapping.Change, answer *message.Response) {
	for _, c := range changes {
		if c.Place == mapping.StatusCode {
			defer func() { answer.Status = c.Status }()
			continue
		}
		value, found := c.Source.Value(x)
		if c.Action == mapping.Remove || found {
			changeHeader(&answer.Header, c, value)
		}
	}
}

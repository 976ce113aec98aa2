package gateway

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/gateway/mapping"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// mock answers without a backend (type MOCK).
func (x *exchange) mock(in *integration) *message.Response {
	template, refused := x.requestTemplate(in)
	if refused != nil {
		return refused
	}
	status, err := mapping.MockStatus(template.Text)
	if err != nil {
		return x.fail(configurationError, "configuration: "+err.Error())
	}
	return x.integrationResponse(in, status)
}

// integrationResponse maps a backend's answer, x.response, to the method's. A
// mock has none.
func (x *exchange) integrationResponse(in *integration, status int) (answer *message.Response) {
	defer func() {
		if x.response != nil && answer.Body != x.response.Body {
			discard(x.response)
		}
	}()
	chosen := in.choose(strconv.Itoa(status))
	if chosen == nil {
		return x.fail(configurationError, fmt.Sprintf("configuration: no integration response for status %d and no default one", status))
	}
	if !x.route.declares(chosen.StatusCode) {
		return x.fail(configurationError, fmt.Sprintf("configuration: the method has no response with status %d", chosen.StatusCode))
	}
	answer = &message.Response{Status: chosen.StatusCode}
	for _, a := range chosen.headers {
		if value, ok := a.source.Value(x); ok && validValue(value) {
			answer.Header.Set(a.name, value)
		}
	}
	mediaType, template := chosen.template(x.request.Header.Get("Accept"))
	answer.Header.SetDefault("Content-Type", mediaType)
	switch {
	case !template.Passthrough:
		setBody(answer, template.Text)
	case x.response != nil:
		answer.Body, answer.Length = x.response.Body, x.response.Length
	}
	return answer
}

// discard ends an exchange whose body is not wanted. A short one is read, so
// that the connection can be kept.
func discard(r *message.Response) {
	if 0 <= r.Length && r.Length <= 64<<10 {
		io.Copy(io.Discard, r.Body)
	}
	r.Body.Close()
}

// template chooses by the first media type that the client accepts, else
// application/json, else any. Without templates the body passes through.
func (r *integrationResponse) template(accept string) (string, mapping.Template) {
	first, _, _ := strings.Cut(accept, ",")
	for _, m := range []string{mediaType(first), defaultMediaType} {
		if t, ok := r.templates[m]; ok {
			return m, t
		}
	}
	for _, m := range slices.Sorted(maps.Keys(r.templates)) {
		return m, r.templates[m]
	}
	return defaultMediaType, mapping.Template{Passthrough: true}
}

const defaultMediaType = "application/json"

// contentType is the Content-Type of a header, which is JSON if it says
// nothing.
func contentType(h message.Header) string {
	if t := h.Get("Content-Type"); t != "" {
		return t
	}
	return defaultMediaType
}

// mediaType is a media type without its parameters.
func mediaType(s string) string {
	s, _, _ = strings.Cut(s, ";")
	return strings.ToLower(strings.TrimSpace(s))
}

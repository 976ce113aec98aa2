package elbv2

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// readRedirect reads the configuration of a redirect; what is not given is
// taken from the request.
func readRedirect(c *api.RedirectActionConfig) (*resource.Redirect, error) {
	if c == nil {
		return nil, badAction("A redirect configuration must be specified for an action of type 'redirect'")
	}
	r := &resource.Redirect{
		StatusCode: wire.Val(c.StatusCode), Protocol: "#{protocol}", Host: "#{host}", Port: "#{port}", Path: "/#{path}", Query: "#{query}",
	}
	set(&r.Protocol, c.Protocol)
	set(&r.Host, c.Host)
	set(&r.Port, c.Port)
	set(&r.Path, c.Path)
	set(&r.Query, c.Query)
	return r, checkRedirect(r)
}

var placeholder = regexp.MustCompile(`#\{([^}]*)\}`)

// placeholders says whether a text has each placeholder at most once, and only
// of those that are allowed.
func placeholders(text string, allowed ...string) bool {
	seen := map[string]bool{}
	for _, p := range placeholder.FindAllStringSubmatch(text, -1) {
		if seen[p[1]] || !slices.Contains(allowed, p[1]) {
			return false
		}
		seen[p[1]] = true
	}
	return !strings.Contains(placeholder.ReplaceAllString(text, ""), "#{")
}

// hostOfRedirect is a host but for its placeholders.
var hostOfRedirect = regexp.MustCompile(`^[A-Za-z0-9.\-]*$`)

// urlText is what a path or query may be made of, apart from placeholders.
var urlText = regexp.MustCompile(`^[!-"$-~]*$`)

func checkRedirect(r *resource.Redirect) error {
	bare := func(s string) string { return placeholder.ReplaceAllString(s, "") }
	port, err := strconv.Atoi(r.Port)
	switch {
	case r.Protocol != "HTTP" && r.Protocol != "HTTPS" && r.Protocol != "#{protocol}":
		return badAction("The Protocol parameter must be 'HTTP', 'HTTPS', or '#{protocol}'")
	case r.Port != "#{port}" && (err != nil || port < 1 || port > 65535):
		return badAction("The Port parameter must be a valid port (1-65535) or '#{port}'")
	case r.Host == "" || !placeholders(r.Host, "host") || !hostOfRedirect.MatchString(bare(r.Host)):
		return badAction("The Host parameter must be a valid hostname, and may contain up to one of the placeholder '#{host}'")
	case !strings.HasPrefix(r.Path, "/") || !placeholders(r.Path, "path", "host", "port") || !urlText.MatchString(bare(r.Path)):
		return badAction("The Path parameter must be a valid path, should start with a '/', and may contain up to one of each of these placeholders: '#{path}', '#{host}', '#{port}'.")
	case !placeholders(r.Query, "path", "host", "port", "query", "protocol") || !urlText.MatchString(bare(r.Query)) || strings.HasPrefix(r.Query, "?"):
		return badAction("The Query parameter must be a valid query without the leading '?', and may contain up to one of each of these placeholders: '#{query}', '#{path}', '#{host}', '#{port}', '#{protocol}'.")
	case r.Protocol == "#{protocol}" && r.Host == "#{host}" && r.Port == "#{port}" && r.Path == "/#{path}":
		return badAction("The redirect configuration is not valid because it creates a loop.")
	}
	return nil
}

func showRedirect(r *resource.Redirect) *api.RedirectActionConfig {
	return &api.RedirectActionConfig{
		StatusCode: wire.Ptr(r.StatusCode), Protocol: wire.Ptr(r.Protocol), Host: wire.Ptr(r.Host),
		Port: wire.Ptr(r.Port), Path: wire.Ptr(r.Path), Query: wire.Ptr(r.Query),
	}
}

// contentTypes are those of fixed responses.
var contentTypes = []string{"text/plain", "text/css", "text/html", "application/javascript", "application/json"}

func readFixedResponse(c *api.FixedResponseActionConfig) (*resource.FixedResponse, error) {
	if c == nil {
		return nil, badAction("A fixed response configuration must be specified for an action of type 'fixed-response'")
	}
	f := &resource.FixedResponse{StatusCode: wire.Val(c.StatusCode), ContentType: wire.Val(c.ContentType), MessageBody: wire.Val(c.MessageBody)}
	if f.ContentType != "" && !slices.Contains(contentTypes, f.ContentType) {
		return nil, badAction("The ContentType must be one of:'%s'", strings.Join(contentTypes, "', '"))
	}
	return f, nil
}

func showFixedResponse(f *resource.FixedResponse) *api.FixedResponseActionConfig {
	out := &api.FixedResponseActionConfig{StatusCode: wire.Ptr(f.StatusCode)}
	if f.ContentType != "" {
		out.ContentType = wire.Ptr(f.ContentType)
	}
	if f.MessageBody != "" {
		out.MessageBody = wire.Ptr(f.MessageBody)
	}
	return out
}

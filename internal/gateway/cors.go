package gateway

import (
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// cors answers cross-origin requests of an HTTP API by its configuration. A
// nil *cors does nothing.
type cors struct {
	origins                   []string
	credentials               bool
	methods, headers, exposed string
	maxAge                    string
}

func compileCORS(c *config.CORS) *cors {
	if c == nil {
		return nil
	}
	k := &cors{
		origins: c.AllowOrigins, credentials: c.AllowCredentials,
		methods: strings.Join(c.AllowMethods, ","),
		headers: strings.Join(c.AllowHeaders, ","),
		exposed: strings.Join(c.ExposeHeaders, ","),
	}
	if c.MaxAgeSeconds != nil {
		k.maxAge = strconv.Itoa(*c.MaxAgeSeconds)
	}
	return k
}

func (k *cors) isPreflight(r *message.Request) bool {
	return k != nil && r.Method == "OPTIONS" && r.Header.Has("Origin") && r.Header.Has("Access-Control-Request-Method")
}

// decorate replaces the backend's own CORS headers by the configured ones.
func (k *cors) decorate(r *message.Request, answer *message.Response) {
	if k == nil {
		return
	}
	answer.Header.DeleteFunc(func(name string) bool {
		return strings.HasPrefix(strings.ToLower(name), "access-control-")
	})
	allowed := k.allow(r.Header.Get("Origin"))
	if allowed == "" {
		return
	}
	answer.Header.Add("Access-Control-Allow-Origin", allowed)
	if k.credentials {
		answer.Header.Add("Access-Control-Allow-Credentials", "true")
	}
	if !k.isPreflight(r) {
		addUnlessEmpty(&answer.Header, "Access-Control-Expose-Headers", k.exposed)
		return
	}
	addUnlessEmpty(&answer.Header, "Access-Control-Allow-Methods", k.methods)
	addUnlessEmpty(&answer.Header, "Access-Control-Allow-Headers", k.headers)
	addUnlessEmpty(&answer.Header, "Access-Control-Max-Age", k.maxAge)
}

// allow is the Access-Control-Allow-Origin for an origin, or "".
func (k *cors) allow(origin string) string {
	if origin == "" {
		return ""
	}
	if slices.Contains(k.origins, "*") {
		return "*"
	}
	for _, o := range k.origins {
		if o == origin || (o == "https://*" || o == "http://*") && strings.HasPrefix(origin, strings.TrimSuffix(o, "*")) {
			return origin
		}
	}
	return ""
}

func addUnlessEmpty(h *message.Header, name, value string) {
	if value != "" {
		h.Add(name, value)
	}
}

package gateway

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/gateway/mapping"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
	"github.com/isthmus-net/isthmus/internal/proxy/way"
)

// integration is a compiled backend of a route.
type integration struct {
	*config.Integration
	version int // of the VPC link; 0 without one
	pool    *upstream.Pool
	timeout time.Duration
	broken  error // why no request can be integrated

	host, path, uriQuery place // of the URI

	// REST: mappings of the request, and what may be answered.
	headers, query, pathValues []assignment
	templates                  map[string]mapping.Template
	responses                  []*integrationResponse

	// HTTP APIs.
	changes         []mapping.Change
	responseChanges map[string][]mapping.Change // by status code
}

// assignment gives a parameter a value.
type assignment struct {
	name   string
	source mapping.Source
}

type integrationResponse struct {
	*config.IntegrationResponse
	pattern   *regexp.Regexp // nil for the default response
	headers   []assignment
	templates map[string]mapping.Template
}

// defaultTimeout is AWS's for both kinds of API, less one second for HTTP APIs.
const defaultTimeout = 29 * time.Second

func compileIntegration(kind config.Kind, c *config.Integration, upstreams map[string]way.Upstream) *integration {
	in := &integration{Integration: c, timeout: time.Duration(c.TimeoutMillis) * time.Millisecond}
	if in.timeout <= 0 {
		in.timeout = defaultTimeout
	}
	in.broken = in.compile(kind, upstreams)
	return in
}

func (in *integration) compile(kind config.Kind, upstreams map[string]way.Upstream) error {
	if in.Error != "" {
		return errors.New(in.Error)
	}
	if in.Upstream != "" {
		u, ok := upstreams[in.Upstream]
		if !ok {
			return fmt.Errorf("the way %q through a VPC link is not known", in.Upstream)
		}
		in.version = u.Version
	}
	if in.URI != nil {
		var err error
		if in.host, err = parsePlace(in.URI.Host); err != nil {
			return err
		}
		if in.path, err = parsePlace(in.URI.Path); err != nil {
			return err
		}
		if in.uriQuery, err = parsePlace(in.URI.Query); err != nil {
			return err
		}
	} else if in.Type != config.Mock && (kind == config.REST || in.Upstream == "") {
		return errors.New("the integration has no uri")
	}
	if kind == config.HTTP {
		if in.Type != config.HTTPProxy {
			return fmt.Errorf("integration type %s is not supported", in.Type)
		}
		return in.compileChanges()
	}
	return in.compileREST()
}

func (in *integration) compileChanges() (err error) {
	if in.changes, err = mapping.ParseRequestChanges(in.RequestParameters); err != nil {
		return err
	}
	in.responseChanges = map[string][]mapping.Change{}
	for status, parameters := range in.ResponseParameters {
		if in.responseChanges[status], err = mapping.ParseResponseChanges(parameters); err != nil {
			return err
		}
	}
	return nil
}

func (in *integration) compileREST() error {
	switch in.Type {
	case config.HTTPProxy, config.HTTPPlain, config.Mock:
	default:
		return fmt.Errorf("integration type %s is not supported", in.Type)
	}
	if in.ContentHandling != "" {
		return fmt.Errorf("contentHandling %s is not supported", in.ContentHandling)
	}
	for _, key := range slices.Sorted(maps.Keys(in.RequestParameters)) {
		source, err := mapping.ParseREST(in.RequestParameters[key])
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(key, "integration.request.")
		place, name, dotted := strings.Cut(name, ".")
		if !ok || !dotted || name == "" {
			return fmt.Errorf("compile mapping %q: not a parameter of an integration's request", key)
		}
		to := assignment{name, source}
		switch place {
		case "header", "multivalueheader":
			if err := mapping.CheckRESTHeader(name); err != nil {
				return fmt.Errorf("compile mapping %q: %w", key, err)
			}
			in.headers = append(in.headers, to)
		case "querystring", "multivaluequerystring":
			in.query = append(in.query, to)
		case "path":
			in.pathValues = append(in.pathValues, to)
		default:
			return fmt.Errorf("compile mapping %q: not a parameter of an integration's request", key)
		}
	}
	if in.Type == config.HTTPProxy {
		return nil
	}
	var err error
	if in.templates, err = compileTemplates(in.RequestTemplates); err != nil {
		return err
	}
	for i := range in.Responses {
		r := &integrationResponse{IntegrationResponse: &in.Responses[i]}
		if err := r.compile(); err != nil {
			return err
		}
		in.responses = append(in.responses, r)
	}
	return nil
}

func (r *integrationResponse) compile() (err error) {
	if r.ContentHandling != "" {
		return fmt.Errorf("contentHandling %s of a response is not supported", r.ContentHandling)
	}
	if r.SelectionPattern != "" {
		if r.pattern, err = regexp.Compile(`^(?:` + r.SelectionPattern + `)$`); err != nil {
			return fmt.Errorf("compile selection pattern: %w", err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.ResponseParameters)) {
		name, ok := strings.CutPrefix(key, "method.response.header.")
		if !ok {
			return fmt.Errorf("compile mapping %q: not a header of a method's response", key)
		}
		if err := mapping.CheckRESTResponseHeader(name); err != nil {
			return fmt.Errorf("compile mapping %q: %w", key, err)
		}
		source, err := mapping.ParseREST(r.ResponseParameters[key])
		if err != nil {
			return err
		}
		r.headers = append(r.headers, assignment{name, source})
	}
	r.templates, err = compileTemplates(r.ResponseTemplates)
	return err
}

func compileTemplates(texts map[string]string) (map[string]mapping.Template, error) {
	templates := make(map[string]mapping.Template, len(texts))
	for mediaType, text := range texts {
		t, err := mapping.ParseTemplate(text)
		if err != nil {
			return nil, fmt.Errorf("template for %s: %w", mediaType, err)
		}
		templates[mediaType] = t
	}
	return templates, nil
}

func (in *integration) skipVerify() bool {
	return in.TLS != nil && in.TLS.InsecureSkipVerification
}

// choose finds the response for a backend's status code: the first one whose
// pattern matches, else the one without a pattern.
func (in *integration) choose(status string) *integrationResponse {
	var fallback *integrationResponse
	for _, r := range in.responses {
		if r.pattern == nil {
			if fallback == nil {
				fallback = r
			}
		} else if r.pattern.MatchString(status) {
			return r
		}
	}
	return fallback
}

// declares tells whether a method may answer with a status code.
func (r *route) declares(status int) bool {
	return slices.ContainsFunc(r.MethodResponses, func(m config.MethodResponse) bool { return m.StatusCode == status })
}

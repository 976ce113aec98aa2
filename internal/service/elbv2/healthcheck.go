package elbv2

import (
	"net/url"
	"regexp"
	"strconv"

	"github.com/isthmus-net/isthmus/internal/health"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// The defaults of health checks. The timeout of Network Load Balancers is 6
// seconds over HTTP, else 10.
const (
	defaultInterval           = 30
	defaultTimeout            = 10
	defaultTimeoutHTTP        = 6
	defaultHealthyThreshold   = 5
	defaultUnhealthyThreshold = 2
	defaultPath               = "/"
	defaultMatcher            = "200-399"
	trafficPort               = "traffic-port"

	// For Application Load Balancers.
	defaultTimeoutApplication = 5
	defaultMatcherApplication = "200"

	// Of the protocol version GRPC: a method that no target has, and the status
	// that says so.
	defaultPathGRPC    = "/AWS.ALB/healthcheck"
	defaultMatcherGRPC = "12"
)

// changeHealthCheck is the health check of a group with the settings of a
// request, which are those of ModifyTargetGroup; creating a group changes the
// zero check.
func changeHealthCheck(g *resource.TargetGroup, h resource.HealthCheck, in *api.ModifyTargetGroupInput) (resource.HealthCheck, error) {
	protocol := g.Protocol
	if in.HealthCheckEnabled != nil && !*in.HealthCheckEnabled {
		return h, unsupported("Health checks cannot be disabled for target groups with target type 'instance' or 'ip'")
	}
	h.Enabled = true
	set(&h.Protocol, in.HealthCheckProtocol)
	set(&h.Port, in.HealthCheckPort)
	set(&h.Path, in.HealthCheckPath)
	if m := in.Matcher; m != nil {
		code, other, name := m.HttpCode, m.GrpcCode, "HTTP"
		if g.ProtocolVersion == resource.VersionGRPC {
			code, other, name = m.GrpcCode, m.HttpCode, "GRPC"
		}
		switch {
		case wire.Val(other) != "" && wire.Val(code) == "":
			return h, invalid("Health check matcher %s code cannot be empty", name)
		case wire.Val(other) != "":
			return h, invalid("A health check matcher cannot have both an HTTP code and a GRPC code")
		}
		set(&h.Matcher, code)
	}
	setNumber(&h.IntervalSeconds, in.HealthCheckIntervalSeconds)
	setNumber(&h.TimeoutSeconds, in.HealthCheckTimeoutSeconds)
	setNumber(&h.HealthyThreshold, in.HealthyThresholdCount)
	setNumber(&h.UnhealthyThreshold, in.UnhealthyThresholdCount)

	if isHTTP(protocol) && h.Protocol != "" && h.Protocol != "HTTP" && h.Protocol != "HTTPS" {
		return h, invalid("Health check protocol '%s' must be one of 'HTTP, HTTPS' for target groups with protocol '%s'", h.Protocol, protocol)
	}
	if g.TargetType == resource.TargetALB && h.Protocol != "HTTP" && h.Protocol != "HTTPS" {
		return h, invalid("Health check protocol '%s' must be one of 'HTTP, HTTPS' for target groups with target type 'alb'", h.Protocol)
	}
	if !isHTTP(protocol) && (h.Protocol == "TCP" || h.Protocol == "") {
		if wire.Val(in.HealthCheckPath) != "" || in.Matcher != nil && wire.Val(in.Matcher.HttpCode) != "" {
			return h, unsupported("A health check path or matcher cannot be specified for health checks with the protocol 'TCP'")
		}
		h.Path, h.Matcher = "", ""
	}
	h = withDefaults(g, h)
	return h, checkHealthCheck(g, h)
}

func set(to *string, value *string) {
	if value != nil {
		*to = *value
	}
}

func setNumber(to *int, value *int64) {
	if value != nil {
		*to = int(*value)
	}
}

// withDefaults fills in what is not set.
func withDefaults(g *resource.TargetGroup, h resource.HealthCheck) resource.HealthCheck {
	application := isHTTP(g.Protocol)
	if application {
		fill(&h.Protocol, "HTTP")
	}
	fill(&h.Protocol, "TCP")
	fill(&h.Port, trafficPort)
	fill(&h.IntervalSeconds, defaultInterval)
	fill(&h.HealthyThreshold, defaultHealthyThreshold)
	fill(&h.UnhealthyThreshold, defaultUnhealthyThreshold)
	timeout := defaultTimeout
	switch {
	case application:
		timeout = defaultTimeoutApplication
	case h.Protocol == "HTTP":
		timeout = defaultTimeoutHTTP
	}
	// A short interval alone must not make a request invalid.
	fill(&h.TimeoutSeconds, min(timeout, h.IntervalSeconds))
	if g.ProtocolVersion == resource.VersionGRPC {
		fill(&h.Path, defaultPathGRPC)
		fill(&h.Matcher, defaultMatcherGRPC)
	}
	if h.Protocol != "TCP" {
		fill(&h.Path, defaultPath)
		if application {
			fill(&h.Matcher, defaultMatcherApplication)
		}
		fill(&h.Matcher, defaultMatcher)
	}
	return h
}

func fill[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

// pathForm is what a path with its query may be made of.
var pathForm = regexp.MustCompile(`^/[!"$-~]*$`)

func checkHealthCheck(g *resource.TargetGroup, h resource.HealthCheck) error {
	switch h.Protocol {
	case "TCP", "HTTP", "HTTPS":
	default:
		return invalid("Health check protocol '%s' must be one of 'HTTP, HTTPS, TCP'", h.Protocol)
	}
	if port, err := strconv.Atoi(h.Port); h.Port != trafficPort && (err != nil || port < 1 || port > 65535) {
		return invalid("Health check port '%s' must be '%s' or a number from 1 to 65535", h.Port, trafficPort)
	}
	if h.TimeoutSeconds > h.IntervalSeconds {
		return invalid("Health check interval must be greater than or equal to the timeout.")
	}
	if h.Protocol == "TCP" {
		return nil
	}
	if _, err := url.ParseRequestURI(h.Path); err != nil || !pathForm.MatchString(h.Path) {
		return invalid("Health check path '%s' must begin with '/' and can only contain printable ASCII characters, without spaces", h.Path)
	}
	if g.ProtocolVersion == resource.VersionGRPC {
		if _, err := health.ParseGRPCMatcher(h.Matcher); err != nil {
			return invalid("Health check matcher GRPC code '%s' must be within '0-99' inclusive", h.Matcher)
		}
		return nil
	}
	m, err := health.ParseMatcher(h.Matcher)
	most := 599
	if isHTTP(g.Protocol) {
		most = 499
	}
	if err != nil || m.Highest() > most {
		return invalid("Health check matcher HTTP code '%s' must be a list of codes and ranges of codes within the range '200-%d'", h.Matcher, most)
	}
	return nil
}

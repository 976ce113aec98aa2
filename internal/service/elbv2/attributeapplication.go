package elbv2

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// applicationAttributes are those of Application Load Balancers.
var applicationAttributes = []attribute{
	{key: "access_logs.s3.enabled", initial: "false", instead: logFiles},
	{key: "access_logs.s3.bucket"},
	{key: "access_logs.s3.prefix"},
	{key: "client_keep_alive.seconds", initial: "3600", least: 60, most: 604800},
	{key: "connection_logs.s3.enabled", initial: "false"},
	{key: "connection_logs.s3.bucket"},
	{key: "connection_logs.s3.prefix"},
	{key: "deletion_protection.enabled", initial: "false", others: yesNo},
	{key: "health_check_logs.s3.enabled", initial: "false"},
	{key: "health_check_logs.s3.bucket"},
	{key: "health_check_logs.s3.prefix"},
	{key: "idle_timeout.timeout_seconds", initial: "60", least: 1, most: 4000},
	// As for Network Load Balancers, both values come to the same.
	{key: "ipv6.deny_all_igw_traffic", initial: "true", others: yesNo},
	// Only target groups can turn this off.
	{key: crossZoneKey, initial: "true"},
	// The engine refuses every request that is ambiguous, or is not of RFC 9112,
	// in all modes: it is as strict as "strictest".
	{key: "routing.http.desync_mitigation_mode", initial: "defensive", others: []string{"monitor", "strictest"}},
	{key: "routing.http.drop_invalid_header_fields.enabled", initial: "false", others: yesNo},
	{key: "routing.http.preserve_host_header.enabled", initial: "false", others: yesNo},
	{key: "routing.http.x_amzn_tls_version_and_cipher_suite.enabled", initial: "false", others: yesNo},
	{key: "routing.http.xff_client_port.enabled", initial: "false", others: yesNo},
	{key: "routing.http.xff_header_processing.mode", initial: "append", others: []string{"preserve", "remove"}},
	{key: "routing.http2.enabled", initial: "true", others: yesNo},
	// There is no firewall that could fail, and nobody who could shift a zone
	// away.
	{key: "waf.fail_open.enabled", initial: "false", others: yesNo},
	{key: "zonal_shift.config.enabled", initial: "false", others: yesNo},
}

// applicationGroupAttributes are those of target groups over HTTP.
var applicationGroupAttributes = []attribute{
	{key: "deregistration_delay.timeout_seconds", initial: "300", least: 0, most: 3600},
	{key: "load_balancing.algorithm.anomaly_mitigation", initial: "off", others: []string{"on"}},
	{key: "load_balancing.algorithm.type", initial: "round_robin", others: []string{"least_outstanding_requests", "weighted_random"}},
	{key: crossZoneKey, initial: "use_load_balancer_configuration", others: yesNo},
	{key: "slow_start.duration_seconds", initial: "0", least: 30, most: 900},
	{key: "stickiness.enabled", initial: "false", others: yesNo},
	{key: "stickiness.type", initial: "lb_cookie", others: []string{"app_cookie"}},
	{key: "stickiness.app_cookie.cookie_name", free: checkCookieName},
	{key: "stickiness.app_cookie.duration_seconds", initial: "86400", least: 1, most: 604800},
	{key: "stickiness.lb_cookie.duration_seconds", initial: "86400", least: 1, most: 604800},
	{key: healthPrefix + "dns_failover.minimum_healthy_targets.count", initial: "1", others: []string{"off"}, least: 1, most: maxTargets},
	{key: healthPrefix + "dns_failover.minimum_healthy_targets.percentage", initial: "off", least: 1, most: 100},
	{key: healthPrefix + "unhealthy_state_routing.minimum_healthy_targets.count", initial: "1", least: 1, most: maxTargets},
	{key: healthPrefix + "unhealthy_state_routing.minimum_healthy_targets.percentage", initial: "off", least: 1, most: 100},
}

const healthPrefix = "target_group_health."

// applicationListenerAttributes are those of HTTP and HTTPS listeners.
var applicationListenerAttributes = append([]attribute{
	{key: "routing.http.response.server.enabled", initial: "true", others: yesNo},
}, responseAttributes()...)

// secureListenerAttributes are those of HTTPS listeners: also the names of the
// fields that tell targets of TLS.
var secureListenerAttributes = slices.Concat(applicationListenerAttributes, requestAttributes())

func requestAttributes() (out []attribute) {
	for _, f := range config.RequestFields {
		out = append(out, attribute{key: f.Attribute, initial: f.Name, free: func(value string) error { return checkFieldName(f.Attribute, value) }})
	}
	return out
}

// fieldName is what the name of a field may be that the load balancer adds.
var fieldName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

// takenNames are those of fields that the load balancer itself or HTTP gives
// another meaning.
var takenNames = []string{
	"authorization", "connection", "content-encoding", "content-length", "content-type", "cookie", "expect", "host", "keep-alive",
	"proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade",
	"x-amzn-trace-id", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto",
}

func checkFieldName(key, value string) error {
	switch lower := strings.ToLower(value); {
	case !fieldName.MatchString(value):
		return invalid("'%s' must have 1 to 40 letters, digits, hyphens and underscores", key)
	case slices.Contains(takenNames, lower) || strings.HasPrefix(lower, "x-amzn-oidc-"):
		return invalid("'%s' cannot be set to '%s', which is the name of another header", key, value)
	}
	return nil
}

// checkFieldNames checks that a listener gives no two fields the same name.
func checkFieldNames(l *resource.Listener) error {
	seen := map[string]bool{}
	for _, f := range config.RequestFields {
		name := strings.ToLower(attributeOf(secureListenerAttributes, l.Attributes, f.Attribute))
		if seen[name] {
			return invalid("The header name '%s' cannot be given to several headers", name)
		}
		seen[name] = true
	}
	return nil
}

// responseAttributes are the fields that a listener sets in its responses.
func responseAttributes() (out []attribute) {
	for _, f := range config.ResponseFields {
		a := attribute{key: f.Attribute, free: func(value string) error { return checkFieldValue(f.Attribute, value) }}
		switch f.Name {
		case "Access-Control-Allow-Credentials":
			a.free, a.others = nil, []string{"true"}
		case "Access-Control-Max-Age":
			a.free, a.least, a.most = nil, 0, 86400
		case "X-Content-Type-Options":
			a.free, a.others = nil, []string{"nosniff"}
		}
		out = append(out, a)
	}
	return out
}

// fieldValue is what a field of a response may be set to.
var fieldValue = regexp.MustCompile(`^[!-~]([ -~]*[!-~])?$`)

const maxFieldValue = 1024

func checkFieldValue(key, value string) error {
	if !fieldValue.MatchString(value) || len(value) > maxFieldValue {
		return invalid("'%s' must have up to %d printable characters", key, maxFieldValue)
	}
	return nil
}

// cookieName is a token of RFC 9110, which the name of a cookie is.
var cookieName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,512}$")

// checkCookieName checks the name of an application's cookie. The names that
// the load balancer itself uses cannot be taken.
func checkCookieName(name string) error {
	switch {
	case !cookieName.MatchString(name):
		return invalid("The application cookie name '%s' is not valid", name)
	case slices.Contains([]string{"AWSALB", "AWSALBAPP", "AWSALBTG"}, name):
		return invalid("The application cookie name '%s' is reserved", name)
	}
	return nil
}

// checkTogether checks what several attributes of a target group mean together.
func checkTogether(g *resource.TargetGroup) error {
	if !isHTTP(g.Protocol) {
		return nil
	}
	set := func(key string) string { return attributeOf(applicationGroupAttributes, g.Attributes, key) }
	algorithm, sticky := set("load_balancing.algorithm.type"), set("stickiness.enabled") == "true"
	switch {
	case sticky && set("stickiness.type") == "app_cookie" && set("stickiness.app_cookie.cookie_name") == "":
		return invalid("An application cookie name must be specified for the stickiness type 'app_cookie'")
	case sticky && set(crossZoneKey) == "false":
		return unsupported("Target group stickiness is not supported while cross-zone load balancing is off")
	case sticky && algorithm == "weighted_random":
		return unsupported("Target group stickiness is not supported with the load balancing algorithm 'weighted_random'")
	case algorithm != "weighted_random" && set("load_balancing.algorithm.anomaly_mitigation") == "on":
		return unsupported("Anomaly mitigation is only supported with the load balancing algorithm 'weighted_random'")
	case algorithm != "round_robin" && set("slow_start.duration_seconds") != "0":
		return unsupported("Slow start is not supported with the load balancing algorithm '%s'", algorithm)
	}
	for _, unit := range []string{"count", "percentage"} {
		dns, err := strconv.Atoi(set(healthPrefix + "dns_failover.minimum_healthy_targets." + unit))
		routing, err2 := strconv.Atoi(set(healthPrefix + "unhealthy_state_routing.minimum_healthy_targets." + unit))
		if err == nil && err2 == nil && dns < routing {
			return unsupported("The threshold for DNS failover must be greater than or equal to the threshold for routing failover")
		}
	}
	return nil
}

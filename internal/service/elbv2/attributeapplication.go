package elbv2

import (
	"regexp"
	"slices"

	"github.com/isthmus-net/isthmus/internal/resource"
)

// applicationAttributes are those of Application Load Balancers.
var applicationAttributes = []attribute{
	{key: "access_logs.s3.enabled", initial: "false"},
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
	{key: "routing.http.desync_mitigation_mode", initial: "defensive"},
	{key: "routing.http.drop_invalid_header_fields.enabled", initial: "false", others: yesNo},
	{key: "routing.http.preserve_host_header.enabled", initial: "false", others: yesNo},
	{key: "routing.http.x_amzn_tls_version_and_cipher_suite.enabled", initial: "false"},
	{key: "routing.http.xff_client_port.enabled", initial: "false", others: yesNo},
	{key: "routing.http.xff_header_processing.mode", initial: "append", others: []string{"preserve", "remove"}},
	// HTTP/2 comes with TLS only, so both values come to the same.
	{key: "routing.http2.enabled", initial: "true", others: yesNo},
	{key: "waf.fail_open.enabled", initial: "false"},
	{key: "zonal_shift.config.enabled", initial: "false"},
}

// applicationGroupAttributes are those of target groups over HTTP.
var applicationGroupAttributes = []attribute{
	{key: "deregistration_delay.timeout_seconds", initial: "300", least: 0, most: 3600},
	{key: "load_balancing.algorithm.anomaly_mitigation", initial: "off"},
	{key: "load_balancing.algorithm.type", initial: "round_robin", others: []string{"least_outstanding_requests"}},
	{key: crossZoneKey, initial: "use_load_balancer_configuration", others: yesNo},
	{key: "slow_start.duration_seconds", initial: "0"},
	{key: "stickiness.enabled", initial: "false", others: yesNo},
	{key: "stickiness.type", initial: "lb_cookie", others: []string{"app_cookie"}},
	{key: "stickiness.app_cookie.cookie_name", free: checkCookieName},
	{key: "stickiness.app_cookie.duration_seconds", initial: "86400", least: 1, most: 604800},
	{key: "stickiness.lb_cookie.duration_seconds", initial: "86400", least: 1, most: 604800},
	{key: "target_group_health.dns_failover.minimum_healthy_targets.count", initial: "1"},
	{key: "target_group_health.dns_failover.minimum_healthy_targets.percentage", initial: "off"},
	{key: "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", initial: "1"},
	{key: "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", initial: "off"},
}

// applicationListenerAttributes are those of HTTP listeners.
var applicationListenerAttributes = []attribute{
	{key: "routing.http.response.server.enabled", initial: "true", others: yesNo},
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

// checkStickiness checks what several attributes of a target group mean
// together.
func checkStickiness(g *resource.TargetGroup) error {
	if g.Attributes["stickiness.enabled"] != "true" || g.Protocol != "HTTP" {
		return nil
	}
	if g.Attributes["stickiness.type"] == "app_cookie" && g.Attributes["stickiness.app_cookie.cookie_name"] == "" {
		return invalid("An application cookie name must be specified for the stickiness type 'app_cookie'")
	}
	if g.Attributes[crossZoneKey] == "false" {
		return unsupported("Target group stickiness is not supported while cross-zone load balancing is off")
	}
	return nil
}

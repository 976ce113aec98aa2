package elbv2

import (
	"slices"
	"strconv"

	"github.com/isthmus-net/isthmus/internal/resource"
)

// attribute is a setting of a load balancer, target group or listener. Values
// that AWS knows but that would have no effect here are refused.
type attribute struct {
	key     string
	initial string   // the default, which is always allowed
	others  []string // further allowed values
	// A range of allowed numbers, if most is not zero.
	least, most int
	// free, if it is there, decides what other values may be set.
	free func(string) error
	// instead says what there is in the place of a setting that is refused.
	instead string
}

// logFiles is what there is in the place of logs in S3.
const logFiles = "; access logs of Application Load Balancers are written to files by isthmus serve --alb-access-log"

// crossZoneKey is an attribute of load balancers and of target groups.
const crossZoneKey = "load_balancing.cross_zone.enabled"

var yesNo = []string{"true", "false"}

// check says whether a value may be set.
func (a attribute) check(value string) error {
	if value == a.initial || slices.Contains(a.others, value) {
		return nil
	}
	if a.most != 0 {
		if n, err := strconv.Atoi(value); err != nil || n < a.least || n > a.most || strconv.Itoa(n) != value {
			return invalid("'%s' must be a number from %d to %d, not '%s'", a.key, a.least, a.most, value)
		}
		return nil
	}
	if a.free != nil {
		return a.free(value)
	}
	if len(a.others) > 0 {
		return invalid("'%s' cannot be set to '%s'", a.key, value)
	}
	return unsupported("Isthmus supports only '%s' as the value of '%s'%s", a.initial, a.key, a.instead)
}

// balancerAttributes are those of load balancers of a type.
func balancerAttributes(kind string) []attribute {
	if kind == resource.ApplicationLoadBalancer {
		return applicationAttributes
	}
	return networkAttributes
}

var networkAttributes = []attribute{
	{key: "access_logs.s3.enabled", initial: "false"},
	{key: "access_logs.s3.bucket"},
	{key: "access_logs.s3.prefix"},
	{key: "deletion_protection.enabled", initial: "false", others: yesNo},
	// There is no internet gateway that would let anything in, so both
	// values come to the same.
	{key: "ipv6.deny_all_igw_traffic", initial: "true", others: yesNo},
	{key: crossZoneKey, initial: "false", others: yesNo},
	{key: "dns_record.client_routing_policy", initial: "any_availability_zone"},
	// There is nobody who could shift a zone away.
	{key: "zonal_shift.config.enabled", initial: "false", others: yesNo},
	{key: "secondary_ips.auto_assigned.per_subnet", initial: "0"},
}

// groupAttributes are those of a target group, whose protocol and type decide
// some defaults.
func groupAttributes(g *resource.TargetGroup) []attribute {
	if isHTTP(g.Protocol) {
		return applicationGroupAttributes
	}
	// Datagrams have no stream that a header could begin.
	proxy := attribute{key: "proxy_protocol_v2.enabled", initial: "false"}
	if g.Protocol == "TCP" {
		proxy.others = yesNo
	}
	preserve := attribute{key: "preserve_client_ip.enabled", initial: "true", others: yesNo}
	terminate := attribute{key: "deregistration_delay.connection_termination.enabled", initial: "false", others: yesNo}
	switch {
	case g.Protocol != "TCP":
		// Without a connection there is nothing that would keep the target
		// and the client together under another address.
		preserve.others = nil
		terminate.initial, terminate.others = "true", nil
	case g.TargetType == "ip":
		preserve.initial = "false"
	case g.TargetType == resource.TargetALB:
		// A load balancer expects no header before the request.
		preserve.others, proxy.others = nil, nil
	}
	return []attribute{
		{key: "deregistration_delay.timeout_seconds", initial: "300", least: 0, most: 3600},
		terminate,
		preserve,
		proxy,
		{key: "stickiness.enabled", initial: "false"},
		{key: "stickiness.type", initial: "source_ip"},
		{key: crossZoneKey, initial: "use_load_balancer_configuration", others: yesNo},
		{key: "target_group_health.dns_failover.minimum_healthy_targets.count", initial: "1"},
		{key: "target_group_health.dns_failover.minimum_healthy_targets.percentage", initial: "off"},
		{key: "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", initial: "1"},
		{key: "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", initial: "off"},
		{key: "target_health_state.unhealthy.connection_termination.enabled", initial: "true"},
		{key: "target_health_state.unhealthy.draining_interval_seconds", initial: "0"},
	}
}

// listenerAttributes are those of a listener: UDP has no idle timeout that can
// be set.
func listenerAttributes(l *resource.Listener) []attribute {
	switch l.Protocol {
	case "HTTP":
		return applicationListenerAttributes
	case "HTTPS":
		return secureListenerAttributes
	case "UDP":
		return nil
	}
	return []attribute{{key: "tcp.idle_timeout.seconds", initial: "350", least: 60, most: 6000}}
}

// pair is an attribute as on the wire.
type pair struct{ key, value string }

// setAttributes checks and stores new values; stored holds only what differs
// from the defaults. What names the kind of resource in errors.
func setAttributes(what string, known []attribute, stored *map[string]string, changes []pair) error {
	for _, c := range changes {
		i := slices.IndexFunc(known, func(a attribute) bool { return a.key == c.key })
		if i < 0 {
			return invalid("%s attribute key '%s' is not recognized", what, c.key)
		}
		if err := known[i].check(c.value); err != nil {
			return err
		}
		if c.value == known[i].initial {
			delete(*stored, c.key)
			continue
		}
		if *stored == nil {
			*stored = map[string]string{}
		}
		(*stored)[c.key] = c.value
	}
	return nil
}

// allAttributes are the attributes with their values, set or default.
func allAttributes(known []attribute, stored map[string]string) []pair {
	all := make([]pair, len(known))
	for i, a := range known {
		all[i] = pair{a.key, a.initial}
		if v, ok := stored[a.key]; ok {
			all[i].value = v
		}
	}
	return all
}

// attributeOf is the value of one attribute.
func attributeOf(known []attribute, stored map[string]string, key string) string {
	for _, p := range allAttributes(known, stored) {
		if p.key == key {
			return p.value
		}
	}
	return ""
}

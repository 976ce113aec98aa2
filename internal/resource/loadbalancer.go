package resource

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The types of load balancers, as on the wire.
const (
	NetworkLoadBalancer     = "network"
	ApplicationLoadBalancer = "application"
)

// LoadBalancer is a Network or an Application Load Balancer.
type LoadBalancer struct {
	Meta
	ARN     string             `json:"arn"`
	Name    string             `json:"name"`
	Type    string             `json:"type"`   // "network" or "application"
	Scheme  string             `json:"scheme"` // "internal"
	VPC     string             `json:"vpc"`
	DNSName string             `json:"dnsName"`
	State   string             `json:"state"` // "provisioning", "active"
	Zones   []LoadBalancerZone `json:"zones"`
	// Groups are the security groups; a Network Load Balancer created without
	// any can never get one, and an Application Load Balancer always has one.
	Groups []string `json:"groups,omitempty"`
	// EnforceOnPrivateLink says whether Groups' inbound rules apply to
	// clients that come through PrivateLink (they do unless turned off), which
	// leads to Network Load Balancers only.
	EnforceOnPrivateLink bool              `json:"enforceOnPrivateLink"`
	Attributes           map[string]string `json:"attributes,omitempty"` // only what differs from the default
	// CookieKey seals the cookies by which an Application Load Balancer knows
	// its clients again: 32 random bytes.
	CookieKey []byte `json:"cookieKey,omitempty"`
	// IdentityKeys are there once an action authenticates users: the one in use,
	// and the one before it, whose sessions have not all ended.
	IdentityKeys []IdentityKey `json:"identityKeys,omitempty"`
}

// Key is the load balancer's ARN.
func (l *LoadBalancer) Key() string { return l.ARN }

// LoadBalancerZone is a balancer's node in one availability zone: one ENI. The
// data plane itself is the node of a Network Load Balancer; a process behind
// the ENI's device is that of an Application Load Balancer.
type LoadBalancerZone struct {
	Zone      string     `json:"zone"`
	Subnet    string     `json:"subnet"`
	Interface string     `json:"interface"` // eni-…
	Address   netip.Addr `json:"address"`
	// Chosen: the user asked for this very address.
	Chosen bool `json:"chosen,omitempty"`
	// HealthInterface is the ENI in the service VPC from which health checks
	// of this node are sent: the provider side of a NAT to Interface.
	HealthInterface string `json:"healthInterface"`
}

// Listener takes connections on one port of every node of a balancer.
type Listener struct {
	Meta
	ARN          string `json:"arn"`
	LoadBalancer string `json:"loadBalancer"`
	Protocol     string `json:"protocol"` // "TCP", "UDP", "TCP_UDP"; "HTTP", "HTTPS"
	Port         int    `json:"port"`
	// TLS is of an HTTPS listener; nil for all others.
	TLS *ListenerTLS `json:"tls,omitempty"`
	// DefaultActions are what is done if no rule says otherwise. A Network
	// Load Balancer's listener forwards to one target group.
	DefaultActions []Action          `json:"defaultActions"`
	Attributes     map[string]string `json:"attributes,omitempty"`
}

// Key is the listener's ARN.
func (l *Listener) Key() string { return l.ARN }

// TargetGroup is a set of targets and how their health is checked.
type TargetGroup struct {
	Meta
	ARN      string `json:"arn"`
	Name     string `json:"name"`
	Protocol string `json:"protocol"` // "TCP", "UDP", "TCP_UDP"; "HTTP", "HTTPS"
	// ProtocolVersion is "HTTP2" or "GRPC"; empty for HTTP1, and for what is not
	// HTTP.
	ProtocolVersion string            `json:"protocolVersion,omitempty"`
	Port            int               `json:"port"`
	VPC             string            `json:"vpc"`
	TargetType      string            `json:"targetType"` // "ip", "instance" or TargetALB
	HealthCheck     HealthCheck       `json:"healthCheck"`
	Attributes      map[string]string `json:"attributes,omitempty"`
	Targets         []Target          `json:"targets,omitempty"`
}

// Key is the target group's ARN.
func (t *TargetGroup) Key() string { return t.ARN }

// The protocol versions other than HTTP1.
const (
	VersionHTTP2 = "HTTP2"
	VersionGRPC  = "GRPC"
)

// TargetALB is the type of a Network Load Balancer's group whose target is an
// Application Load Balancer.
const TargetALB = "alb"

// Resolved is the group with the nodes of a target that is a load balancer in
// its place, one target each, with the same ID; any other group is returned
// itself.
func (t *TargetGroup) Resolved(find func(arn string) (*LoadBalancer, bool)) *TargetGroup {
	if t.TargetType != TargetALB {
		return t
	}
	out := *t
	out.Targets = nil
	for _, target := range t.Targets {
		lb, ok := find(target.ID)
		if !ok {
			continue
		}
		for _, z := range lb.Zones {
			target.Address, target.Zone = z.Address, z.Zone
			out.Targets = append(out.Targets, target)
		}
	}
	return &out
}

// HealthCheck says how the targets of a group are probed.
type HealthCheck struct {
	Enabled            bool   `json:"enabled"`
	Protocol           string `json:"protocol"` // "TCP", "HTTP" or "HTTPS"
	Port               string `json:"port"`     // "traffic-port" or a number
	Path               string `json:"path,omitempty"`
	Matcher            string `json:"matcher,omitempty"` // "200-399"; of the version GRPC statuses of gRPC, "0-99"
	IntervalSeconds    int    `json:"intervalSeconds"`
	TimeoutSeconds     int    `json:"timeoutSeconds"`
	HealthyThreshold   int    `json:"healthyThreshold"`
	UnhealthyThreshold int    `json:"unhealthyThreshold"`
}

// Target is one registered target.
type Target struct {
	ID      string     `json:"id"`      // address, i-…, or a load balancer's ARN
	Address netip.Addr `json:"address"` // not valid for a load balancer, which has several
	Port    int        `json:"port"`
	Zone    string     `json:"zone"` // availability zone name or "all"
	// DrainingUntil is set, to the Unix second at which the target is gone, once
	// it has been deregistered.
	DrainingUntil int64 `json:"drainingUntil,omitempty"`
	// DrainingSeconds is the deregistration delay for as long as the target may
	// still be given something new, since the load balancer has not yet heard of
	// its deregistration. Only from then on is the delay counted.
	DrainingSeconds int `json:"drainingSeconds,omitempty"`
	// Registered is the Unix time in nanoseconds of the registration. It tells
	// a target that was registered anew from what it was before, for instance
	// to the health checker.
	Registered int64 `json:"registered"`
}

// TargetHealth is what the health checks found of one target: one row a
// target, written only when it changes.
type TargetHealth struct {
	TargetGroup string `json:"targetGroup"`
	Target      string `json:"target"` // address or i-…
	Port        int    `json:"port"`
	State       string `json:"state"`  // "initial", "healthy", "unhealthy"
	Reason      string `json:"reason"` // Target.FailedHealthChecks, Target.Timeout, …
	Description string `json:"description"`
}

// DrainFrom begins the deregistration delay, in whole seconds. DrainingUntil is
// rounded up: a target is never cut off early.
func (t *Target) DrainFrom(now time.Time, seconds int) {
	t.DrainingUntil = now.Add(time.Duration(seconds)*time.Second + time.Second - 1).Unix()
}

// DrainedAt is when the target is gone. The zero time: that is not certain yet.
func (t *Target) DrainedAt() time.Time {
	if t.DrainingUntil == 0 || t.DrainingSeconds != 0 {
		return time.Time{}
	}
	return time.Unix(t.DrainingUntil, 0)
}

// Key is the target group's ARN, the target and its port.
func (h *TargetHealth) Key() string { return TargetHealthKey(h.TargetGroup, h.Target, h.Port) }

// TargetHealthKey is the key of a target's row.
func TargetHealthKey(group, target string, port int) string {
	return group + "|" + target + "|" + strconv.Itoa(port)
}

// NodeAnomalies are the targets that a node of an Application Load Balancer
// finds anomalous, or gives less than their share; there is no row without any.
type NodeAnomalies struct {
	Interface string          `json:"interface"` // the node's, eni-…
	Targets   []TargetAnomaly `json:"targets"`
}

// Key is the node's interface.
func (n *NodeAnomalies) Key() string { return n.Interface }

// TargetAnomaly is one such target.
type TargetAnomaly struct {
	Target    string `json:"target"` // TargetHealthKey
	Anomalous bool   `json:"anomalous"`
	Mitigated bool   `json:"mitigated"`
}

// LoadBalancerOf is the ARN of the load balancer that a listener's ARN belongs
// to; any other ARN is returned as it is.
func LoadBalancerOf(arn string) string {
	head, name, ok := strings.Cut(arn, ":listener/")
	if !ok {
		return arn
	}
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		name = name[:i]
	}
	return head + ":loadbalancer/" + name
}

// UnmarshalJSON reads what earlier versions stored too: one target group, in
// the place of the default actions.
func (l *Listener) UnmarshalJSON(b []byte) error {
	type plain Listener
	stored := struct {
		*plain
		TargetGroup string `json:"targetGroup"`
	}{plain: (*plain)(l)}
	if err := json.Unmarshal(b, &stored); err != nil {
		return err
	}
	if l.DefaultActions == nil && stored.TargetGroup != "" {
		l.DefaultActions = []Action{{Forward: &Forward{Groups: []WeightedGroup{{TargetGroup: stored.TargetGroup, Weight: 1}}}}}
	}
	return nil
}

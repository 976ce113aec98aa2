// Package health is the health checker: an unprivileged process that probes
// the targets of load balancers, as each of their nodes would, and reports how
// the targets fare.
//
// A check is one target seen from one node. Its first probe is sent at once,
// the following ones at the interval of the target group. What the checks of
// one target find is merged into one report, and reports are sent when they
// change.
//
// # States
//
// A check starts as initial. One successful probe makes it healthy. While it
// fails it is probed again after a quarter of a second, half a second and so
// on up to the interval, so that a target that is registered a moment before
// its program listens is in service a moment after it does. It becomes
// unhealthy once it has failed for as long as the unhealthy threshold's number
// of probes takes at the interval. From then on the thresholds apply in both
// directions, as on AWS.
//
// A target is unhealthy as soon as one node calls it unhealthy, else healthy
// as soon as one node calls it healthy, else initial. A node that is new, and
// so still initial, therefore never takes a target out of service.
package health

import (
	"net/netip"
	"time"
)

// Config is everything that is to be checked.
type Config struct {
	Checks []Check `json:"checks"`
}

// Check is one target as one node of a load balancer checks it. TargetGroup,
// Target, Port and Node identify it.
type Check struct {
	TargetGroup string `json:"targetGroup"` // ARN
	Target      string `json:"target"`      // address or i-…
	Port        int    `json:"port"`        // the registered port, part of the target's identity
	Node        string `json:"node"`        // the node's ENI; with an address of the target that has several
	// Registered is resource.Target.Registered. A target that was removed and
	// registered again has another value and so starts anew.
	Registered int64 `json:"registered"`

	Source      netip.Addr     `json:"source"` // local address that probes are sent from
	Destination netip.AddrPort `json:"destination"`
	Protocol    string         `json:"protocol"`          // "TCP", "HTTP" or "HTTPS"
	Version     string         `json:"version,omitempty"` // of HTTP and HTTPS: "HTTP2", "GRPC"; empty for HTTP/1.1
	Proxy       bool           `json:"proxy,omitempty"`   // begins with a PROXY header
	Path        string         `json:"path,omitempty"`    // of HTTP and HTTPS, with its query
	Matcher     string         `json:"matcher,omitempty"`
	HostHeader  string         `json:"hostHeader,omitempty"` // address of the node and port of the listener, as of NLB

	Interval           time.Duration `json:"interval"`
	Timeout            time.Duration `json:"timeout"`
	HealthyThreshold   int           `json:"healthyThreshold"`
	UnhealthyThreshold int           `json:"unhealthyThreshold"`
}

// Report is what the nodes that check a target found.
type Report struct {
	TargetGroup string `json:"targetGroup"`
	Target      string `json:"target"`
	Port        int    `json:"port"`
	Registered  int64  `json:"registered"`
	State       string `json:"state"` // Initial, Healthy or Unhealthy
	Reason      string `json:"reason,omitempty"`
	Description string `json:"description,omitempty"`
}

// The states of a target, as on the wire.
const (
	Initial   = "initial"
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
)

// The reasons of a state, as on the wire.
const (
	ReasonInitial      = "Elb.InitialHealthChecking"
	ReasonInternal     = "Elb.InternalError"
	ReasonFailed       = "Target.FailedHealthChecks"
	ReasonTimeout      = "Target.Timeout"
	ReasonCodeMismatch = "Target.ResponseCodeMismatch"
)

// checkKey identifies a check.
type checkKey struct {
	target targetKey
	node   string
}

// targetKey identifies a target, and so a report.
type targetKey struct {
	group, target string
	port          int
}

func (c *Check) key() checkKey {
	return checkKey{targetKey{c.TargetGroup, c.Target, c.Port}, c.Node}
}

package config

import "net/netip"

// TargetGroup is a set of targets and how one is chosen.
type TargetGroup struct {
	ARN string `json:"arn"`
	// HTTPS asks for TLS to the targets, whose certificates are not verified,
	// as AWS does not.
	HTTPS bool `json:"https,omitempty"`
	// Version is what the targets speak.
	Version   ProtocolVersion `json:"version,omitempty"`
	Algorithm Algorithm       `json:"algorithm"`
	// AnomalyMitigation gives targets that fail more often than others less
	// (WeightedRandom).
	AnomalyMitigation bool `json:"anomalyMitigation,omitempty"`
	// Stickiness is nil if requests of a client need not go to one target.
	Stickiness *Stickiness `json:"stickiness,omitempty"`
	// SlowStartSeconds, if not zero, is how long the share of a target that has
	// become healthy grows until it is full (RoundRobin).
	SlowStartSeconds int `json:"slowStartSeconds,omitempty"`
	// MinimumHealthy is how many targets must be healthy so that only these are
	// given requests; with fewer, all that are not draining are (fail open).
	MinimumHealthy int      `json:"minimumHealthy,omitempty"`
	Targets        []Target `json:"targets,omitempty"` // sorted by Address
	// Unused are targets that are registered, but whose zones this node doesn't
	// serve: they are given no requests. Those under way with them go on.
	Unused []netip.AddrPort `json:"unused,omitempty"`
	// Fingerprint changes with everything that may forbid what was allowed. A
	// connection that was opened under another one is not used for a further
	// request.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// ProtocolVersion says which requests targets are given, and by which protocol.
type ProtocolVersion string

// The versions, as AWS names them.
const (
	HTTP1 ProtocolVersion = ""      // over HTTP/1.1
	HTTP2 ProtocolVersion = "HTTP2" // those of HTTP/2, over HTTP/2
	GRPC  ProtocolVersion = "GRPC"  // those of HTTP/2 with the method POST, over HTTP/2
)

// Algorithm says how a target is chosen.
type Algorithm string

// The algorithms, as AWS names them.
const (
	RoundRobin               Algorithm = "round_robin"
	LeastOutstandingRequests Algorithm = "least_outstanding_requests"
	WeightedRandom           Algorithm = "weighted_random"
)

// Stickiness keeps a client with its target.
type Stickiness struct {
	// AppCookie is the name of the targets' own cookie, with whose coming the
	// client is bound (app_cookie); if empty, it is bound with its first
	// request (lb_cookie).
	AppCookie string `json:"appCookie,omitempty"`
	Seconds   int    `json:"seconds"` // how long the client stays bound
}

// Target is where requests are sent.
type Target struct {
	ID      string         `json:"id"`             // as it was registered: i-… or an address
	Zone    string         `json:"zone,omitempty"` // for logs
	Address netip.AddrPort `json:"address"`
	Health  Health         `json:"health"`
}

// Health says which requests a target is given.
type Health string

// The states of a target. A target that is not to be chosen at all is left out
// of the configuration.
const (
	Healthy   Health = "healthy"
	Unhealthy Health = "unhealthy"
	// Initial is a target whose first checks are under way; it is given
	// requests as an unhealthy one.
	Initial Health = "initial"
	// Draining is a target that was deregistered: it is given no requests but
	// those of clients that are bound to it.
	Draining Health = "draining"
)

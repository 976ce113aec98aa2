package config

import "github.com/isthmus-net/isthmus/internal/histogram"

// Metrics are what a node has counted since its process began, and what is so
// now. The names are those of CloudWatch's metrics, where the meaning is theirs.
type Metrics struct {
	ELBResponses   Statuses `json:"elbResponses"` // HTTPCode_ELB_*: of the balancer's own
	NewConnections uint64   `json:"newConnections"`
	// ActiveConnections are those of clients and to targets, as are the new ones.
	ActiveConnections int `json:"activeConnections"`
	// RejectedConnections gave way to others, when there were too many.
	RejectedConnections uint64                  `json:"rejectedConnections"`
	Groups              map[string]GroupMetrics `json:"groups"` // by ARN
}

// GroupMetrics are those of a target group.
type GroupMetrics struct {
	Requests         uint64           `json:"requests"`  // RequestCount
	Responses        Statuses         `json:"responses"` // HTTPCode_Target_*
	ResponseTime     histogram.Counts `json:"responseTime"`
	ConnectionErrors uint64           `json:"connectionErrors"`
	Healthy          int              `json:"healthy"`
	Unhealthy        int              `json:"unhealthy"`
}

// Statuses are numbers of responses by the first digit of the status.
type Statuses [6]uint64

// NodeMetrics are the metrics of a balancer's node in a zone.
type NodeMetrics struct {
	LoadBalancer string `json:"loadBalancer"` // ARN
	Zone         string `json:"zone"`
	Metrics
}

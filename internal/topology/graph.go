// Package topology makes a graph of what exists, for people: what is in what,
// and what leads where. It is pure; counters are added by who has them.
package topology

// Graph is a topology. Nodes are contained in others by Parent; edges lead in
// the direction in which connections are opened.
type Graph struct {
	Nodes []Node `json:"nodes"`
	Edges []Edge `json:"edges"`
	// Counters are those of network interfaces, by id.
	Counters map[string]Counters `json:"counters,omitempty"`
}

// Kind is what a node is.
type Kind string

// The kinds of node. Frames hold boxes, and boxes hold rows.
const (
	Account Kind = "account" // frame
	VPC     Kind = "vpc"     // frame in an account

	API        Kind = "api"         // box, its rows are
	Route      Kind = "route"       // routes of stages
	Link       Kind = "link"        // box in API Gateway's VPC
	ExecuteAPI Kind = "execute-api" // box: where endpoints for private APIs lead

	LinkEnd  Kind = "link-end"         // box in a VPC: a version 2 link's interfaces
	Endpoint Kind = "endpoint"         // box in a VPC
	Service  Kind = "endpoint-service" // box in its load balancer's VPC
	Balancer Kind = "load-balancer"    // box in a VPC, its rows are
	Listener Kind = "listener"
	CloudMap Kind = "cloud-map-service" // box in a VPC or an account
	Subnet   Kind = "subnet"            // box in a VPC, its rows are
	Host     Kind = "host"              // interfaces that have a device

	VPNGateway       Kind = "vpn-gateway"       // box in a VPC
	VirtualInterface Kind = "virtual-interface" // box outside the accounts, its rows are
	Prefix           Kind = "prefix"            // what its router announces
	OnPremises       Kind = "on-premises"       // box outside the accounts

	More Kind = "more" // a row that stands for several
)

// Node is one thing.
type Node struct {
	ID     string `json:"id"`
	Kind   Kind   `json:"kind"`
	Label  string `json:"label"`
	Detail string `json:"detail,omitempty"`
	State  State  `json:"state,omitempty"`
	Parent string `json:"parent,omitempty"`
	// Account is whose it is.
	Account string `json:"account,omitempty"`
	// Interfaces are the ENIs whose counters are the node's.
	Interfaces []string `json:"interfaces,omitempty"`
}

// State is how something is, in a word for colours.
type State string

// States of nodes and edges; empty if there is nothing to tell.
const (
	Good    State = "good"
	Waiting State = "waiting"
	Bad     State = "bad"
)

// Edge says that connections lead from a node to another.
type Edge struct {
	From  string `json:"from"`
	To    string `json:"to"`
	State State  `json:"state,omitempty"`
}

// Counters are what has been counted at network interfaces. Flows, packets and
// bytes are those of flows that live.
type Counters struct {
	Flows   int               `json:"flows"`
	Packets uint64            `json:"packets"`
	Bytes   uint64            `json:"bytes"`
	Drops   map[string]uint64 `json:"drops,omitempty"` // packets, by reason
}

// Of sums the counters of a node's interfaces.
func (g *Graph) Of(n Node) Counters {
	var sum Counters
	for _, id := range n.Interfaces {
		c := g.Counters[id]
		sum.Flows += c.Flows
		sum.Packets += c.Packets
		sum.Bytes += c.Bytes
		for reason, count := range c.Drops {
			if sum.Drops == nil {
				sum.Drops = map[string]uint64{}
			}
			sum.Drops[reason] += count
		}
	}
	return sum
}

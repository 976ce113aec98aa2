// Package tables holds the tables of the data plane as the compiler makes
// them: what package datapath writes into the maps of the packet program, and
// what package trace walks to explain a packet. Both must come to the same
// verdict; README.md in this directory tells the packet's story that they
// share.
//
// The tables are plain data. Numbers name networks, ENIs and route tables in
// the maps; the ids beside them are for people.
package tables

import "net/netip"

// Tables is everything that the data plane of one machine knows.
type Tables struct {
	Networks    []Network    `json:"networks"`
	ENIs        []ENI        `json:"enis"`
	RouteTables []RouteTable `json:"routeTables"`
	RuleSets    []RuleSet    `json:"ruleSets"`
	Listeners   []Listener   `json:"listeners"`
	TargetSets  []TargetSet  `json:"targetSets"`
	Members     []Member     `json:"members"`
}

// Network is a VPC.
type Network struct {
	Number uint32 `json:"number"`
	ID     string `json:"id"` // vpc-…
}

// Kind says what a packet that reaches an ENI meets there. The values are
// those of enum eni_kind.
type Kind uint8

const (
	Host Kind = iota + 1
	LoadBalancer
	Endpoint
	NATSource
	NAT
)

// ENI is a network interface. Which fields mean something depends on Kind.
type ENI struct {
	Number     uint32       `json:"number"`
	ID         string       `json:"id"` // eni-…
	Kind       Kind         `json:"kind"`
	Network    uint32       `json:"network"`
	Addresses  []netip.Addr `json:"addresses"` // primary first
	MAC        [6]byte      `json:"mac"`
	Subnet     netip.Prefix `json:"subnet"` // for the device's address and default route
	RouteTable uint32       `json:"routeTable"`

	// Ingress and Egress name rule sets; zero: no security groups, all is
	// allowed. Groups are the ids of the groups they were made of.
	Ingress     uint64   `json:"ingress"`
	Egress      uint64   `json:"egress"`
	IngressOpen bool     `json:"ingressOpen,omitempty"` // ENI_INGRESS_OPEN
	EgressOpen  bool     `json:"egressOpen,omitempty"`
	Groups      []string `json:"groups,omitempty"`

	// AnySource turns the source check off (Host).
	AnySource bool `json:"anySource,omitempty"`
	// ReversePath: it sends only from addresses that its route table leads to
	// it (Host).
	ReversePath bool `json:"reversePath,omitempty"`

	// Device says that the ENI has a device of its own (Host), and where.
	Device *Device `json:"device,omitempty"`
	// Carrier is the ENI on whose device the addresses are (NATSource).
	Carrier uint32 `json:"carrier,omitempty"`
	// Peer is the load balancer's ENI that an Endpoint leads to (0: its zone
	// has none), or the NAT's ENI as which a NATSource's packets appear.
	Peer uint32 `json:"peer,omitempty"`

	// Available: the endpoint's connection was accepted (Endpoint).
	Available bool `json:"available,omitempty"`
	// Enforce: ingress rules hold for PrivateLink clients too (LoadBalancer).
	Enforce bool `json:"enforce,omitempty"`

	// Owner is what the ENI belongs to, for people: an endpoint's or a link's
	// id, a balancer's ARN.
	Owner string `json:"owner,omitempty"`
}

// Device is where an ENI is plugged in.
type Device struct {
	// Netns is the path of a namespace that exists already; empty for one
	// that the node makes and names after the ENI.
	Netns string `json:"netns,omitempty"`
	// Source is the address, of a NATSource that the ENI carries, from which
	// programs send unless they choose; zero: the ENI's primary address.
	Source netip.Addr `json:"source,omitzero"`
	// MTU in bytes; zero: what a VPC carries.
	MTU int `json:"mtu,omitempty"`
	// NoRoutes: the namespace is a router, whose routes are its own.
	NoRoutes bool `json:"noRoutes,omitempty"`
}

// RouteKind is a route's meaning; the values are those of enum route_kind.
type RouteKind uint8

const (
	Local RouteKind = iota + 1
	Blackhole
	Internet
	Interface
)

// RouteTable is consulted with the destination of a packet that leaves an ENI.
type RouteTable struct {
	Number uint32  `json:"number"`
	ID     string  `json:"id"` // rtb-…
	Routes []Route `json:"routes"`
	// Withdrawn are routes that are no more, for people.
	Withdrawn []Withdrawn `json:"withdrawn,omitempty"`
}

// Route is one entry of a route table; the longest prefix wins.
type Route struct {
	Prefix netip.Prefix `json:"prefix"`
	Kind   RouteKind    `json:"kind"`
	ENI    uint32       `json:"eni,omitempty"` // where an Interface route leads
}

// Withdrawn is a range to which there was a route.
type Withdrawn struct {
	Prefix netip.Prefix `json:"prefix"`
	Cause  string       `json:"cause"` // why there is none now
}

// RuleSet is what a set of security groups allows in one direction. ID is a
// hash of Prefixes.
type RuleSet struct {
	ID       uint64       `json:"id"`
	Prefixes []RulePrefix `json:"prefixes"`
}

// RulePrefix is what is allowed for the addresses of a prefix of which the set
// has no longer one. Ranges are in the order of (Protocol, Low), do not
// overlap, and include what shorter prefixes allow.
type RulePrefix struct {
	Prefix netip.Prefix `json:"prefix"`
	Ranges []Range      `json:"ranges"`
}

// Protocol numbers of IP (IANA).
const (
	ICMP uint8 = 1
	TCP  uint8 = 6
	UDP  uint8 = 17
)

// Range is a range of ports of a protocol; for ICMP, of type<<8 | code.
type Range struct {
	Protocol uint8  `json:"protocol"`
	Low      uint16 `json:"low"`
	High     uint16 `json:"high"`
	// Open: the rule was for 0.0.0.0/0, so that its flows may go untracked.
	Open bool `json:"open,omitempty"`
}

// Listener is a port of a load balancer's node.
type Listener struct {
	ENI      uint32 `json:"eni"`
	Protocol uint8  `json:"protocol"`
	Port     uint16 `json:"port"`
	// Targets is the TargetSet to choose from; zero: there is none.
	Targets uint64 `json:"targets"`
	// Group names the Members.
	Group          uint64 `json:"group"`
	Idle           uint16 `json:"idle"` // seconds
	PreserveClient bool   `json:"preserveClient,omitempty"`
	// Proxy: the target gets a PROXY header of version 2 (TCP).
	Proxy bool   `json:"proxy,omitempty"`
	ID    string `json:"id"` // ARN
}

// TargetSet is what a listener's node chooses from. ID is a hash of Slots.
type TargetSet struct {
	ID      uint64           `json:"id"`
	Targets []netip.AddrPort `json:"targets"`
	Slots   []uint16         `json:"slots"` // Maglev table: indices of Targets; its length is a prime
}

// Member is a target to which established flows may go on.
type Member struct {
	Group  uint64         `json:"group"`
	Target netip.AddrPort `json:"target"`
}

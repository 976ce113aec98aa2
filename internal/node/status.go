package node

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/supervise"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// Status is the state of a machine, for people and programs.
type Status struct {
	Processes  []supervise.Status `json:"processes"`
	Interfaces []InterfaceStatus  `json:"interfaces"`
	Links      []LinkStatus       `json:"links"`
	Flows      int                `json:"flows"`
	Drops      []DropStatus       `json:"drops"`
}

// InterfaceStatus is the state of an ENI.
type InterfaceStatus struct {
	ID        string       `json:"id"`
	Number    uint32       `json:"number"`
	Kind      string       `json:"kind"`
	Network   string       `json:"network"` // vpc-…
	Addresses []netip.Addr `json:"addresses"`
	Groups    []string     `json:"groups,omitempty"`
	Owner     string       `json:"owner,omitempty"`
	// Netns is the path of the namespace of an ENI with a device, Device its
	// host side in the fabric; Problem is why the device is missing.
	Netns   string `json:"netns,omitempty"`
	Device  string `json:"device,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// LinkStatus is a way from one network into another.
type LinkStatus struct {
	Kind string `json:"kind"` // "privatelink", "resolver", "virtual-interface" or "nat"
	From string `json:"from"` // the ENI that is dialled, or from which is sent
	To   string `json:"to"`   // the load balancer's ENI, or the ENI as which is sent; may be empty
	// Networks of both ends, vpc-….
	FromNetwork string `json:"fromNetwork"`
	ToNetwork   string `json:"toNetwork,omitempty"`
	Open        bool   `json:"open"` // a NAT, or an endpoint that was accepted and has a peer
	Owner       string `json:"owner,omitempty"`
}

// DropStatus counts packets that were not forwarded.
type DropStatus struct {
	Interface string `json:"interface,omitempty"` // the sender, if it is known
	Reason    string `json:"reason"`              // as bpf.DropReason has them
	Packets   uint64 `json:"packets"`
}

var kinds = map[tables.Kind]string{
	tables.Host: "host", tables.LoadBalancer: "load-balancer", tables.Endpoint: "endpoint",
	tables.NATSource: "nat-source", tables.NAT: "nat",
}

// Status tells the state of the interfaces and the links.
func (n *Node) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.tables == nil {
		return Status{}
	}
	networks := map[uint32]string{}
	for _, v := range n.tables.Networks {
		networks[v.Number] = v.ID
	}
	enis := map[uint32]tables.ENI{}
	for _, e := range n.tables.ENIs {
		enis[e.Number] = e
	}
	var s Status
	for _, e := range n.tables.ENIs {
		i := InterfaceStatus{
			ID: e.ID, Number: e.Number, Kind: kinds[e.Kind], Network: networks[e.Network],
			Addresses: e.Addresses, Groups: e.Groups, Owner: e.Owner,
		}
		if d := n.devices[e.Number]; d != nil {
			i.Netns, i.Device = d.netns, hostName(d.number)
		} else if e.Device != nil {
			i.Netns = e.Device.Netns
		}
		if err := n.problems[e.Number]; err != nil {
			i.Problem = err.Error()
		}
		s.Interfaces = append(s.Interfaces, i)
		if e.Kind == tables.Endpoint || e.Kind == tables.NATSource {
			s.Links = append(s.Links, link(e, enis[e.Peer], networks))
		}
	}
	slices.SortFunc(s.Links, func(a, b LinkStatus) int { return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.From, b.From)) })
	return s
}

func link(from, to tables.ENI, networks map[uint32]string) LinkStatus {
	l := LinkStatus{
		Kind: "nat", From: from.ID, To: to.ID, FromNetwork: networks[from.Network], ToNetwork: networks[to.Network],
		Open: to.ID != "", Owner: from.Owner,
	}
	if from.Kind == tables.Endpoint {
		l.Kind, l.Open = endpointKind(from), l.Open && from.Available
	}
	return l
}

// endpointKind says what an endpoint of the data plane is to people.
func endpointKind(e tables.ENI) string {
	switch {
	case isResolver(e):
		return "resolver"
	case strings.HasPrefix(e.Owner, "dxvif-"):
		return "virtual-interface"
	}
	return "privatelink"
}

func isResolver(e tables.ENI) bool {
	return e.Kind == tables.Endpoint && slices.Contains(e.Addresses, resource.LinkLocalResolver)
}

// InterfaceOf finds an ENI's id by its number; empty if there is none.
func (n *Node) InterfaceOf(number uint32) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.tables != nil {
		for _, e := range n.tables.ENIs {
			if e.Number == number {
				return e.ID
			}
		}
	}
	return ""
}

// Resolver is the address at which names are answered for what runs on an ENI's
// device; the zero address if they are not.
func (n *Node) Resolver(eni string) netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.tables == nil {
		return netip.Addr{}
	}
	i := slices.IndexFunc(n.tables.ENIs, func(e tables.ENI) bool { return e.ID == eni })
	if i < 0 {
		return netip.Addr{}
	}
	network := networkOf(n.tables, &n.tables.ENIs[i])
	for _, e := range n.tables.ENIs {
		if e.Network == network && isResolver(e) {
			return e.Addresses[0]
		}
	}
	return netip.Addr{}
}

// networkOf is the network in which what is sent from an ENI's device appears.
func networkOf(t *tables.Tables, on *tables.ENI) uint32 {
	if on.Device == nil || !on.Device.Source.IsValid() {
		return on.Network
	}
	for _, source := range t.ENIs {
		if source.Kind == tables.NATSource && source.Carrier == on.Number && source.Addresses[0] == on.Device.Source {
			for _, peer := range t.ENIs {
				if peer.Number == source.Peer {
					return peer.Network
				}
			}
		}
	}
	return on.Network
}

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/datapath"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// CallerParams name a connection to the gateway inside API Gateway's VPC.
type CallerParams struct {
	Own   netip.AddrPort `json:"own"`
	Other netip.AddrPort `json:"other"`
}

// Caller is who opened a connection through an interface endpoint.
type Caller struct {
	Client   netip.AddrPort `json:"client"`   // in its own VPC
	Server   netip.AddrPort `json:"server"`   // of the endpoint's interface that it dialled
	Endpoint string         `json:"endpoint"` // vpce-…
	VPC      string         `json:"vpc"`
}

// Flows is the flow table, as package datapath reads it.
type Flows interface {
	Origin(device int, own, other netip.AddrPort) (datapath.Flow, error)
}

// callers is what of the tables in force tells who a caller is.
type callers struct {
	gateway   int // device of the gateway's ENI in the fabric; 0 if it has none
	enis      map[uint32]*tables.ENI
	endpoints map[networkAddress]*tables.ENI
	networks  map[uint32]string // vpc-…
}

type networkAddress struct {
	network uint32
	address netip.Addr
}

func newCallers(t *tables.Tables, gateway *device) *callers {
	c := &callers{
		enis: make(map[uint32]*tables.ENI, len(t.ENIs)), endpoints: map[networkAddress]*tables.ENI{}, networks: map[uint32]string{},
	}
	if gateway != nil {
		c.gateway = gateway.ifindex
	}
	for i := range t.ENIs {
		e := &t.ENIs[i]
		c.enis[e.Number] = e
		if e.Kind == tables.Endpoint {
			c.endpoints[networkAddress{e.Network, e.Addresses[0]}] = e
		}
	}
	for _, n := range t.Networks {
		c.networks[n.Number] = n.ID
	}
	return c
}

// Caller finds in the flow table who opened a connection to the gateway, which
// itself sees only the node that stands for the endpoint.
func (n *Node) Caller(flows Flows, p CallerParams) (Caller, error) {
	caller, err := n.callers.Load().find(flows, p)
	if err != nil {
		return Caller{}, fmt.Errorf("find caller of %s: %w", p.Other, err)
	}
	return caller, nil
}

func (c *callers) find(flows Flows, p CallerParams) (Caller, error) {
	if c == nil || c.gateway == 0 {
		return Caller{}, errors.New("the gateway has no device yet")
	}
	flow, err := flows.Origin(c.gateway, p.Own, p.Other)
	if err != nil {
		return Caller{}, err
	}
	client, from := c.enis[flow.ENI], flow.Src
	if client != nil && client.Kind == tables.NATSource {
		// It is the peer as which its packets appear in the endpoint's VPC.
		if client = c.enis[client.Peer]; client != nil {
			from = netip.AddrPortFrom(client.Addresses[0], from.Port())
		}
	}
	if client == nil {
		return Caller{}, errors.New("its network interface is gone")
	}
	endpoint := c.endpoints[networkAddress{client.Network, flow.Dst.Addr()}]
	if endpoint == nil {
		return Caller{}, fmt.Errorf("%s is no endpoint's address", flow.Dst.Addr())
	}
	return Caller{Client: from, Server: flow.Dst, Endpoint: endpoint.Owner, VPC: c.networks[client.Network]}, nil
}

// maxConnections is how many connections may be asked about at a time.
const maxConnections = 1024

// CallersParams name connections to the gateway.
type CallersParams struct {
	Connections []CallerParams `json:"connections"`
}

// CallersResult has an answer for each, in the same order.
type CallersResult struct {
	Callers []CallerResult `json:"callers"`
}

// CallerResult is who opened a connection, or why that is not known.
type CallerResult struct {
	Caller Caller `json:"caller"`
	Error  string `json:"error,omitempty"`
}

// OnCallers answers the control process's question about connections.
func (n *Node) OnCallers(flows Flows) func(context.Context, json.RawMessage) (any, error) {
	return func(_ context.Context, raw json.RawMessage) (any, error) {
		var p CallersParams
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, fmt.Errorf("read parameters: %w", err)
		}
		if len(p.Connections) > maxConnections {
			return nil, fmt.Errorf("find callers: %d connections are more than %d", len(p.Connections), maxConnections)
		}
		out := CallersResult{Callers: []CallerResult{}}
		for _, c := range p.Connections {
			var r CallerResult
			var err error
			if r.Caller, err = n.Caller(flows, c); err != nil {
				r.Error = err.Error()
			}
			out.Callers = append(out.Callers, r)
		}
		return out, nil
	}
}

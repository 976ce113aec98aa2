package resource

import (
	"fmt"
	"net/netip"
	"time"
)

// VPNGateway is a virtual private gateway: where routes to on-premises
// networks lead.
type VPNGateway struct {
	Meta
	ID   string `json:"id"`             // vgw-…
	ASN  int64  `json:"asn"`            // of Amazon's side
	Zone string `json:"zone,omitempty"` // as asked for; it says nothing
	VPC  string `json:"vpc,omitempty"`  // vpc-… it is attached to
}

// Key is the gateway's id.
func (g *VPNGateway) Key() string { return g.ID }

// DXConnection is a connection of AWS Direct Connect: what virtual interfaces
// are made on. Its wires are those of its virtual interfaces.
type DXConnection struct {
	Meta
	ID        string `json:"id"` // dxcon-…
	Name      string `json:"name"`
	Location  string `json:"location"`
	Bandwidth string `json:"bandwidth"`
	Provider  string `json:"provider,omitempty"`
}

// Key is the connection's id.
func (c *DXConnection) Key() string { return c.ID }

// ARN is the connection's ARN.
func (c *DXConnection) ARN() string {
	return "arn:aws:directconnect:" + c.Region + ":" + c.Account + ":dxcon/" + c.ID
}

// VirtualInterface is a private virtual interface of AWS Direct Connect: a
// wire between a customer's router and a virtual private gateway, and the BGP
// session over it.
type VirtualInterface struct {
	Meta
	ID         string `json:"id"` // dxvif-…
	Connection string `json:"connection"`
	Name       string `json:"name"`
	VLAN       int64  `json:"vlan"`
	ASN        int64  `json:"asn"` // of the customer's side
	// The two addresses of the wire, with the bits of its range.
	AmazonAddress   netip.Prefix `json:"amazonAddress"`
	CustomerAddress netip.Prefix `json:"customerAddress"`
	Gateway         string       `json:"gateway"` // vgw-…
	MTU             int64        `json:"mtu"`
	Peer            string       `json:"peer"` // id of the BGP peer, dxpeer-…
	// Provisioned says that the data plane serves it.
	Provisioned bool `json:"provisioned,omitempty"`

	// Numbers of what stands for the two ends in the data plane, and of the
	// route table of what the customer's end sends.
	CustomerNumber uint32 `json:"customerNumber"`
	AmazonNumber   uint32 `json:"amazonNumber"`
	RouteTable     uint32 `json:"routeTable"`
	MAC            string `json:"mac"` // of the customer's end
	// Node is the network interface (eni-…) in API Gateway's VPC from whose
	// address the customer's router reaches the BGP process.
	Node       string      `json:"node"`
	Attachment *Attachment `json:"attachment,omitempty"` // where the customer's end is
}

// Key is the virtual interface's id.
func (v *VirtualInterface) Key() string { return v.ID }

// ARN is the virtual interface's ARN.
func (v *VirtualInterface) ARN() string {
	return "arn:aws:directconnect:" + v.Region + ":" + v.Account + ":dxvif/" + v.ID
}

// SessionDown tells people that the session of a virtual interface is down, and
// why. s is nil if nothing has been said of it yet.
func (v *VirtualInterface) SessionDown(s *BGPSession) string {
	return fmt.Sprintf("the BGP session of %s with %s (AS %d) is down: %s", v.ID, v.CustomerAddress.Addr(), v.ASN, s.Why())
}

// BGPSession is what the BGP process last said of a virtual interface.
type BGPSession struct {
	Interface string         `json:"interface"` // dxvif-…
	Up        bool           `json:"up"`
	Cause     string         `json:"cause,omitempty"` // why it is down
	Since     time.Time      `json:"since"`
	Routes    []BGPRoute     `json:"routes,omitempty"`    // ascending; none when it is down
	Withdrawn []netip.Prefix `json:"withdrawn,omitempty"` // what was announced before it went down
	// HoldSeconds is how long either side may be silent while it is up; zero: for
	// ever.
	HoldSeconds int `json:"holdSeconds,omitempty"`
}

// BGPRoute is a route that a router announces.
type BGPRoute struct {
	Prefix netip.Prefix `json:"prefix"`
	Length int          `json:"length"` // of the AS path
}

// Why is why a session is down. The session is nil if nothing has been said of
// it yet.
func (s *BGPSession) Why() string {
	if s == nil || s.Cause == "" {
		return "no router has connected"
	}
	return s.Cause
}

// Key is the virtual interface's id.
func (s *BGPSession) Key() string { return s.Interface }

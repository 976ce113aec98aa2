package resource

import (
	"net/netip"
	"strings"
)

// InterfaceType is EC2's word for what an ENI is for.
type InterfaceType string

const (
	InterfacePlain         InterfaceType = "interface"
	InterfaceNLB           InterfaceType = "network_load_balancer"
	InterfaceEndpoint      InterfaceType = "vpc_endpoint"
	InterfaceAPIGatewayNAT InterfaceType = "api_gateway_managed"
)

// NetworkInterface is an ENI.
//
// Most ENIs have a device of their own when something is attached to them. The
// ENIs of load balancers, interface endpoints and VPC links have none: they
// are addresses that the data plane answers for.
type NetworkInterface struct {
	Meta
	ID              string        `json:"id"` // eni-…
	Number          uint32        `json:"number"`
	VPC             string        `json:"vpc"`
	Subnet          string        `json:"subnet"`
	Addresses       []netip.Addr  `json:"addresses"` // primary first
	MAC             string        `json:"mac"`
	Groups          []string      `json:"groups,omitempty"`
	Description     string        `json:"description"`
	Type            InterfaceType `json:"type"`
	SourceDestCheck bool          `json:"sourceDestCheck"`
	Attachment      *Attachment   `json:"attachment,omitempty"`

	// Requester is the AWS service that made and manages the ENI, such as
	// "amazon-elb"; empty if a user did. Owner is the id or ARN of the
	// resource that it belongs to.
	Requester string `json:"requester,omitempty"`
	Owner     string `json:"owner,omitempty"`

	// NAT makes this ENI the provider side of a VPC-to-VPC NAT: packets sent
	// from its address appear in another VPC as sent by the ENI that NAT names
	// (eni-…), to the destination they were sent to. Carrier is the ENI whose
	// device holds this ENI's addresses.
	NAT     string `json:"nat,omitempty"`
	Carrier string `json:"carrier,omitempty"`
}

// Key is the ENI's id.
func (n *NetworkInterface) Key() string { return n.ID }

// HostDomain is what the names of a region's hosts end with.
func HostDomain(region string) string {
	if region == "us-east-1" {
		return "ec2.internal"
	}
	return region + ".compute.internal"
}

// HostName is the name that a private address has in a region.
func HostName(a netip.Addr, region string) string {
	return "ip-" + strings.ReplaceAll(a.String(), ".", "-") + "." + HostDomain(region)
}

// Attachment says that a device exists for an ENI: a namespace that Isthmus
// made for it, or one that it was put into.
type Attachment struct {
	ID       string `json:"id"` // eni-attach-…
	Instance string `json:"instance,omitempty"`
	// Netns is the namespace's path when the ENI was attached to one that
	// exists already; empty when Isthmus makes one.
	Netns string `json:"netns,omitempty"`
	// Source is the NAT source (eni-…) on the device as which programs send;
	// empty: as the ENI itself.
	Source string `json:"source,omitempty"`
}

// Instance is a program started by "isthmus run": a namespace with one ENI.
type Instance struct {
	Meta
	ID        string `json:"id"` // i-…
	Interface string `json:"interface"`
	// Link is the version 2 VPC link of a program that was started outside
	// every customer's VPC. It belongs to API Gateway's account.
	Link string `json:"link,omitempty"`
}

// Key is the instance's id.
func (i *Instance) Key() string { return i.ID }

package resource

import "net/netip"

// VPC is a private network. Number is its key in the data plane and never
// zero; two VPCs may have the same CIDR.
type VPC struct {
	Meta
	ID                 string         `json:"id"` // vpc-…
	Number             uint32         `json:"number"`
	CIDRs              []netip.Prefix `json:"cidrs"` // primary first
	Default            bool           `json:"default,omitempty"`
	EnableDNSSupport   bool           `json:"enableDnsSupport"`
	EnableDNSHostnames bool           `json:"enableDnsHostnames"`
	// DefaultGroup is the security group (sg-…) that AWS makes with the VPC.
	DefaultGroup string `json:"defaultGroup"`
	// Resolver answers names inside the VPC. API Gateway's own VPCs have none.
	Resolver *VPCResolver `json:"resolver,omitempty"`
}

// VPCResolver is where a VPC's resolver stands: an interface of the data plane
// inside the VPC, which is no resource and takes no address of a subnet, and
// the network interface (eni-…) in API Gateway's VPC to which it leads. The
// address of that one stands for the VPC.
type VPCResolver struct {
	Interface string `json:"interface"` // eni-…
	Number    uint32 `json:"number"`
	Node      string `json:"node"`
}

// LinkLocalResolver is an address of the resolver in every VPC.
var LinkLocalResolver = netip.MustParseAddr("169.254.169.253")

// ResolverAddresses are those of the VPC's resolver: the third of the VPC's
// range, and a link-local one.
func (v *VPC) ResolverAddresses() []netip.Addr {
	return []netip.Addr{v.CIDRs[0].Masked().Addr().Next().Next(), LinkLocalResolver}
}

// Key is the VPC's id.
func (v *VPC) Key() string { return v.ID }

// Subnet is a range of a VPC in one availability zone.
type Subnet struct {
	Meta
	ID                  string       `json:"id"` // subnet-…
	VPC                 string       `json:"vpc"`
	CIDR                netip.Prefix `json:"cidr"`
	Zone                string       `json:"zone"` // availability zone name, us-east-1a
	MapPublicIPOnLaunch bool         `json:"mapPublicIpOnLaunch,omitempty"`
	// Taken is a bitmap of the addresses that ENIs have: bit i%8 of byte i/8
	// stands for the i-th address of CIDR. It ends with its last byte that is
	// not zero. AWS's reserved addresses are not in it.
	Taken []byte `json:"taken,omitempty"`
}

// Key is the subnet's id.
func (s *Subnet) Key() string { return s.ID }

// RouteKind says where a route leads.
type RouteKind string

const (
	RouteLocal           RouteKind = "local"
	RouteBlackhole       RouteKind = "blackhole"
	RouteInternetGateway RouteKind = "internet-gateway"
	RouteVPNGateway      RouteKind = "vpn-gateway"
)

// Route is one entry of a route table. The local routes of the VPC's own
// ranges are implicit and not stored.
type Route struct {
	Destination netip.Prefix `json:"destination"`
	Kind        RouteKind    `json:"kind"`
	Target      string       `json:"target,omitempty"` // igw-… or vgw-…
}

// RouteTable is consulted for packets that leave an ENI. A subnet without an
// association uses the main table of its VPC.
type RouteTable struct {
	Meta
	ID           string                  `json:"id"` // rtb-…
	Number       uint32                  `json:"number"`
	VPC          string                  `json:"vpc"`
	Main         string                  `json:"main,omitempty"` // association id (rtbassoc-…) if this is the main table
	Routes       []Route                 `json:"routes,omitempty"`
	Associations []RouteTableAssociation `json:"associations,omitempty"`
	// Propagating are the virtual private gateways (vgw-…) whose learned routes
	// the table has.
	Propagating []string `json:"propagating,omitempty"`
}

// RouteTableAssociation ties a subnet to a route table.
type RouteTableAssociation struct {
	ID     string `json:"id"` // rtbassoc-…
	Subnet string `json:"subnet"`
}

// Key is the route table's id.
func (r *RouteTable) Key() string { return r.ID }

// InternetGateway is an object that routes may name; packets that take such a
// route are dropped, since no ENI has a public address.
type InternetGateway struct {
	Meta
	ID  string `json:"id"` // igw-…
	VPC string `json:"vpc,omitempty"`
}

// Key is the gateway's id.
func (g *InternetGateway) Key() string { return g.ID }

package ec2

import (
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
)

// row is a stored resource that belongs to somebody.
type row[T any] interface {
	*T
	Key() string
	Metadata() *resource.Meta
}

// kind is a kind of resource: how its ids begin, what EC2 calls it, and how EC2
// says that one does not exist.
type kind struct {
	prefix string // with the hyphen
	typ    string // EC2's resource type
	code   string
	noun   string // "vpc ID"
}

var (
	kindVPC             = kind{"vpc-", "vpc", "InvalidVpcID.NotFound", "vpc ID"}
	kindSubnet          = kind{"subnet-", "subnet", "InvalidSubnetID.NotFound", "subnet ID"}
	kindGroup           = kind{"sg-", "security-group", "InvalidGroup.NotFound", "security group"}
	kindRule            = kind{"sgr-", "security-group-rule", "InvalidSecurityGroupRuleId.NotFound", "security group rule ID"}
	kindInterface       = kind{"eni-", "network-interface", "InvalidNetworkInterfaceID.NotFound", "networkInterface ID"}
	kindRouteTable      = kind{"rtb-", "route-table", "InvalidRouteTableID.NotFound", "routeTable ID"}
	kindInternetGateway = kind{"igw-", "internet-gateway", "InvalidInternetGatewayID.NotFound", "internetGateway ID"}
	kindVPNGateway      = kind{"vgw-", "vpn-gateway", "InvalidVpnGatewayID.NotFound", "vpnGateway ID"}
	kindInstance        = kind{"i-", "instance", "InvalidInstanceID.NotFound", "instance ID"}
	kindService         = kind{"vpce-svc-", "vpc-endpoint-service", "InvalidVpcEndpointServiceId.NotFound", "VpcEndpointService Id"}
	kindEndpoint        = kind{"vpce-", "vpc-endpoint", "InvalidVpcEndpointId.NotFound", "Vpc Endpoint Id"}
	kindACL             = kind{"acl-", "network-acl", "InvalidNetworkAclID.NotFound", "networkAcl ID"}
	kindDHCPOptions     = kind{"dopt-", "dhcp-options", "InvalidDhcpOptionID.NotFound", "dhcpOption ID"}
	kindPrefixList      = kind{"pl-", "prefix-list", "InvalidPrefixListId.NotFound", "prefix list ID"}
)

// notFound is the error that none of these exist.
func (k kind) notFound(ids ...string) error {
	if len(ids) == 1 {
		return wire.Errorf(400, k.code, "The %s '%s' does not exist", k.noun, ids[0])
	}
	return wire.Errorf(400, k.code, "The %ss '%s' do not exist", k.noun, strings.Join(ids, ", "))
}

// find returns the caller's resource with this id.
func find[T any, P row[T]](r store.Reader, c caller, t store.Table[T], k kind, id string) (*T, error) {
	if v, ok := t.Get(r, id); ok && c.owns(P(v).Metadata()) {
		return v, nil
	}
	return nil, k.notFound(id)
}

// pick returns the caller's resources with these ids, or all if there are no
// ids, sorted by id. They are read-only.
func pick[T any, P row[T]](r store.Reader, c caller, t store.Table[T], k kind, ids []string) ([]*T, error) {
	var picked []*T
	if len(ids) == 0 {
		for v := range t.Scan(r) {
			if c.owns(P(v).Metadata()) {
				picked = append(picked, v)
			}
		}
		return picked, nil
	}
	var absent []string
	for _, id := range sortedUnique(ids) {
		v, err := find[T, P](r, c, t, k, id)
		if err != nil {
			absent = append(absent, id)
			continue
		}
		picked = append(picked, v)
	}
	if len(absent) > 0 {
		return nil, k.notFound(absent...)
	}
	return picked, nil
}

// optional is a string that the wire leaves out when it is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

package vpc

import (
	"net/netip"
	"slices"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
)

// The sizes that AWS allows for the ranges of VPCs and subnets, in prefix bits.
const (
	minBits = 16
	maxBits = 28
)

// The counters from which the data plane's numbers are taken.
const (
	counterVPC        = "vpc"
	counterRouteTable = "route-table"
	counterInterface  = "interface"
)

// VPCSpec says what VPC to make. ID is chosen if it is empty.
type VPCSpec struct {
	ID, Account, Region string
	CIDR                netip.Prefix
	Tags                map[string]string
}

// CreateVPC makes a VPC with what AWS makes along with it: the main route
// table, the default security group, and the resolver.
func CreateVPC(tx *store.Tx, spec VPCSpec) (*resource.VPC, error) {
	if err := checkVPCRange(spec.CIDR); err != nil {
		return nil, err
	}
	v := newVPC(tx, spec)
	if network, ok := ServiceVPC(tx, v.Region); ok && v.Account != network.VPC.Account {
		if err := addResolver(tx, v, network); err != nil {
			return nil, err
		}
		store.VPCs.Put(tx, v)
	}
	return v, nil
}

func newVPC(tx *store.Tx, spec VPCSpec) *resource.VPC {
	if spec.ID == "" {
		spec.ID = NewID("vpc")
	}
	v := &resource.VPC{
		Meta:             newMeta(spec.Account, spec.Region, spec.Tags),
		ID:               spec.ID,
		Number:           tx.Next(counterVPC),
		CIDRs:            []netip.Prefix{spec.CIDR},
		EnableDNSSupport: true,
	}
	main := CreateRouteTable(tx, v, nil)
	main.Main = NewID("rtbassoc")
	store.RouteTables.Put(tx, main)
	group := newGroup(tx, v, "default", "default VPC security group", nil)
	AddRule(tx, group, &resource.SecurityGroupRule{Protocol: "-1", From: -1, To: -1, ReferencedGroup: group.ID})
	v.DefaultGroup = group.ID
	store.VPCs.Put(tx, v)
	return v
}

// noHosts are the ranges that no host can have an address in: "this" network,
// loopback, link-local, multicast and reserved (RFC 6890).
var noHosts = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"),
}

// checkVPCRange says whether AWS takes a range for a VPC.
func checkVPCRange(cidr netip.Prefix) error {
	if cidr != cidr.Masked() || cidr.Bits() < minBits || cidr.Bits() > maxBits || slices.ContainsFunc(noHosts, cidr.Overlaps) {
		return wire.Errorf(400, "InvalidVpc.Range", "The CIDR '%s' is invalid.", cidr)
	}
	return nil
}

// CreateRouteTable makes an empty route table of a VPC; the local route is
// implicit.
func CreateRouteTable(tx *store.Tx, v *resource.VPC, tags map[string]string) *resource.RouteTable {
	t := &resource.RouteTable{
		Meta:   newMeta(v.Account, v.Region, tags),
		ID:     NewID("rtb"),
		Number: tx.Next(counterRouteTable),
		VPC:    v.ID,
	}
	store.RouteTables.Put(tx, t)
	return t
}

// SubnetSpec says what subnet to make. ID is chosen if it is empty.
type SubnetSpec struct {
	ID, Account, Region, VPC string
	CIDR                     netip.Prefix
	Zone                     string // name; the region's first if empty
	Tags                     map[string]string
}

// CreateSubnet makes a subnet inside a range of its VPC, where no other
// subnet is.
func CreateSubnet(tx *store.Tx, spec SubnetSpec) (*resource.Subnet, error) {
	v, err := FindVPC(tx, spec.Account, spec.Region, spec.VPC)
	if err != nil {
		return nil, err
	}
	if spec.Zone == "" {
		spec.Zone = Zones(spec.Region)[0].Name
	}
	if ZoneID(spec.Region, spec.Zone) == "" {
		return nil, invalidZone(spec.Region, spec.Zone)
	}
	if spec.CIDR != spec.CIDR.Masked() || spec.CIDR.Bits() < minBits || spec.CIDR.Bits() > maxBits || !inside(v, spec.CIDR) {
		return nil, wire.Errorf(400, "InvalidSubnet.Range", "The CIDR '%s' is invalid.", spec.CIDR)
	}
	for other := range store.Subnets.Scan(tx) {
		if other.VPC == v.ID && other.CIDR.Overlaps(spec.CIDR) {
			return nil, wire.Errorf(400, "InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", spec.CIDR)
		}
	}
	if spec.ID == "" {
		spec.ID = NewID("subnet")
	}
	s := &resource.Subnet{
		Meta: newMeta(spec.Account, spec.Region, spec.Tags),
		ID:   spec.ID,
		VPC:  v.ID,
		CIDR: spec.CIDR,
		Zone: spec.Zone,
	}
	store.Subnets.Put(tx, s)
	return s, nil
}

// inside says whether a range lies within one of the VPC's.
func inside(v *resource.VPC, cidr netip.Prefix) bool {
	for _, c := range v.CIDRs {
		if c.Bits() <= cidr.Bits() && c.Contains(cidr.Addr()) {
			return true
		}
	}
	return false
}

func invalidZone(region, zone string) error {
	list := ""
	for i, z := range Zones(region) {
		if i > 0 {
			list += ", "
		}
		list += z.Name
	}
	return wire.Errorf(400, "InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid. "+
		"Subnets can currently only be created in the following availability zones: %s.", zone, list)
}

func newMeta(account, region string, tags map[string]string) resource.Meta {
	return resource.Meta{Account: account, Region: region, Created: time.Now().UTC().Truncate(time.Millisecond), Tags: tags}
}

package vpc

import (
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
)

// Owned says whether a resource is visible to an account in a region.
func Owned(m resource.Meta, account, region string) bool {
	return m.Account == account && m.Region == region
}

// FindVPC returns an account's VPC, or AWS's error that there is none.
func FindVPC(r store.Reader, account, region, id string) (*resource.VPC, error) {
	if v, ok := store.VPCs.Get(r, id); ok && Owned(v.Meta, account, region) {
		return v, nil
	}
	return nil, wire.Errorf(400, "InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id)
}

// FindSubnet returns an account's subnet, or AWS's error that there is none.
func FindSubnet(r store.Reader, account, region, id string) (*resource.Subnet, error) {
	if s, ok := store.Subnets.Get(r, id); ok && Owned(s.Meta, account, region) {
		return s, nil
	}
	return nil, wire.Errorf(400, "InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
}

// FindGroup returns an account's security group, or AWS's error that there is
// none.
func FindGroup(r store.Reader, account, region, id string) (*resource.SecurityGroup, error) {
	if g, ok := store.SecurityGroups.Get(r, id); ok && Owned(g.Meta, account, region) {
		return g, nil
	}
	return nil, wire.Errorf(400, "InvalidGroup.NotFound", "The security group '%s' does not exist", id)
}

// FindInterface returns an account's network interface, or AWS's error that
// there is none.
func FindInterface(r store.Reader, account, region, id string) (*resource.NetworkInterface, error) {
	if n, ok := store.NetworkInterfaces.Get(r, id); ok && Owned(n.Meta, account, region) {
		return n, nil
	}
	return nil, wire.Errorf(400, "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", id)
}

// CheckGroups checks that security groups exist and belong to the VPC, and
// returns them without repetitions.
func CheckGroups(r store.Reader, account, region, vpc string, ids []string) ([]string, error) {
	seen := make(map[string]bool, len(ids))
	var unique []string
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		g, err := FindGroup(r, account, region, id)
		if err != nil {
			return nil, err
		}
		if g.VPC != vpc {
			return nil, wire.Errorf(400, "InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
		}
		unique = append(unique, id)
	}
	return unique, nil
}

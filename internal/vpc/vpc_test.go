package vpc

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

const (
	account = "111122223333"
	region  = "us-east-1"
)

func openStore(t testing.TB) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// update runs f as a transaction that must succeed.
func update(t testing.TB, db *store.DB, f func(tx *store.Tx) error) {
	t.Helper()
	if _, err := db.Update(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// network makes a VPC with a subnet in each of the first zones.
func network(t testing.TB, db *store.DB, owner string, zones int) (*resource.VPC, []*resource.Subnet) {
	t.Helper()
	var v *resource.VPC
	var subnets []*resource.Subnet
	update(t, db, func(tx *store.Tx) (err error) {
		subnets = nil
		if v, err = CreateVPC(tx, VPCSpec{Account: owner, Region: region, CIDR: netip.MustParsePrefix("10.0.0.0/16")}); err != nil {
			return err
		}
		for i := range zones {
			s, err := CreateSubnet(tx, SubnetSpec{
				Account: owner, Region: region, VPC: v.ID, Zone: Zones(region)[i].Name,
				CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i << 4), 0}), 20),
			})
			if err != nil {
				return err
			}
			subnets = append(subnets, s)
		}
		return nil
	})
	return v, subnets
}

func TestCreateVPC(t *testing.T) {
	db := openStore(t)
	v, _ := network(t, db, account, 0)
	w, _ := network(t, db, account, 0)
	if v.Number == 0 || v.Number == w.Number {
		t.Errorf("numbers %d and %d", v.Number, w.Number)
	}
	r := db.View()
	g, ok := store.SecurityGroups.Get(r, v.DefaultGroup)
	if !ok || g.Name != "default" || g.VPC != v.ID {
		t.Fatalf("default group %+v", g)
	}
	var rules []string
	for rule := range store.SecurityGroupRules.Scan(r) {
		if rule.Group == g.ID {
			rules = append(rules, fmt.Sprintf("%v %s %d %d %s %v", rule.Egress, rule.Protocol, rule.From, rule.To, rule.CIDR, rule.ReferencedGroup == g.ID))
		}
	}
	slices.Sort(rules)
	if want := []string{"false -1 -1 -1 invalid Prefix true", "true -1 -1 -1 0.0.0.0/0 false"}; !slices.Equal(rules, want) {
		t.Errorf("rules of the default group: %q, want %q", rules, want)
	}
	var tables int
	for rt := range store.RouteTables.Scan(r) {
		if rt.VPC == v.ID {
			tables++
			if rt.Main == "" || rt.Number == 0 {
				t.Errorf("route table %+v is not a main one with a number", rt)
			}
		}
	}
	if tables != 1 {
		t.Errorf("%d route tables, want 1", tables)
	}
}

func TestRanges(t *testing.T) {
	db := openStore(t)
	v, _ := network(t, db, account, 1)
	for cidr, want := range map[string]string{
		"10.0.0.0/15": "InvalidVpc.Range", "10.0.0.0/29": "InvalidVpc.Range", "10.0.0.1/16": "InvalidVpc.Range",
		"0.0.0.0/16": "InvalidVpc.Range", "127.0.0.0/24": "InvalidVpc.Range", "169.254.0.0/16": "InvalidVpc.Range",
		"224.0.0.0/16": "InvalidVpc.Range", "255.255.255.0/24": "InvalidVpc.Range",
		"100.64.0.0/16": "", "169.253.0.0/16": "", "223.255.0.0/16": "", "1.0.0.0/28": "",
	} {
		if got := code(checkVPCRange(netip.MustParsePrefix(cidr))); got != want {
			t.Errorf("VPC %s: %s, want %s", cidr, got, want)
		}
	}
	tests := []struct{ name, vpc, cidr, zone, want string }{
		{"fits", v.ID, "10.0.255.240/28", "us-east-1b", ""},
		{"first zone by default", v.ID, "10.0.254.0/24", "", ""},
		{"overlaps", v.ID, "10.0.8.0/24", "", "InvalidSubnet.Conflict"},
		{"outside", v.ID, "10.1.0.0/24", "", "InvalidSubnet.Range"},
		{"larger than the VPC", v.ID, "10.0.0.0/15", "", "InvalidSubnet.Range"},
		{"too small", v.ID, "10.0.100.0/29", "", "InvalidSubnet.Range"},
		{"no such zone", v.ID, "10.0.100.0/24", "us-east-1z", "InvalidParameterValue"},
		{"no such VPC", "vpc-1", "10.0.100.0/24", "", "InvalidVpcID.NotFound"},
	}
	for _, tt := range tests {
		_, err := db.Update(t.Context(), func(tx *store.Tx) error {
			s, err := CreateSubnet(tx, SubnetSpec{Account: account, Region: region, VPC: tt.vpc, CIDR: netip.MustParsePrefix(tt.cidr), Zone: tt.zone})
			if err == nil && tt.zone == "" && s.Zone != "us-east-1a" {
				t.Errorf("%s: zone %s", tt.name, s.Zone)
			}
			return err
		})
		if got := code(err); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestInterfaces(t *testing.T) {
	db := openStore(t)
	v, subnets := network(t, db, account, 1)
	other, _ := network(t, db, account, 0)
	spec := InterfaceSpec{Account: account, Region: region, Subnet: subnets[0].ID}
	bad := func(name, want string, change func(*InterfaceSpec)) {
		t.Helper()
		s := spec
		change(&s)
		_, err := db.Update(t.Context(), func(tx *store.Tx) error { _, err := CreateInterface(tx, s); return err })
		if got := code(err); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	bad("no subnet", "InvalidSubnetID.NotFound", func(s *InterfaceSpec) { s.Subnet = "subnet-1" })
	bad("another account's subnet", "InvalidSubnetID.NotFound", func(s *InterfaceSpec) { s.Account = "444455556666" })
	bad("another region's subnet", "InvalidSubnetID.NotFound", func(s *InterfaceSpec) { s.Region = "eu-west-1" })
	bad("no group", "InvalidGroup.NotFound", func(s *InterfaceSpec) { s.Groups = []string{"sg-1"} })
	bad("another VPC's group", "InvalidGroup.NotFound", func(s *InterfaceSpec) { s.Groups = []string{other.DefaultGroup} })
	bad("outside the subnet", "InvalidParameterValue", func(s *InterfaceSpec) { s.Address = netip.MustParseAddr("10.0.16.4") })

	var n, m *resource.NetworkInterface
	update(t, db, func(tx *store.Tx) (err error) {
		spec.Groups = []string{v.DefaultGroup, v.DefaultGroup}
		if n, err = CreateInterface(tx, spec); err != nil {
			return err
		}
		m, err = CreateInterface(tx, spec)
		return err
	})
	if n.Number == 0 || n.Number == m.Number || n.MAC == m.MAC || n.Addresses[0] == m.Addresses[0] {
		t.Errorf("not distinct: %+v and %+v", n, m)
	}
	if n.Addresses[0].String() != "10.0.0.4" || !slices.Equal(n.Groups, []string{v.DefaultGroup}) || !n.SourceDestCheck {
		t.Errorf("got %+v", n)
	}
	var added []netip.Addr
	update(t, db, func(tx *store.Tx) (err error) {
		own, _ := store.NetworkInterfaces.Get(tx, n.ID)
		added, err = AssignAddresses(tx, own, []netip.Addr{netip.MustParseAddr("10.0.0.9")}, 1)
		return err
	})
	if fmt.Sprint(added) != "[10.0.0.9 10.0.0.6]" {
		t.Errorf("added %v", added)
	}
	for choose, want := range map[int]string{
		-1: "InvalidParameterValue", maxAddresses: "PrivateIpAddressLimitExceeded", math.MaxInt: "PrivateIpAddressLimitExceeded",
	} {
		_, err := db.Update(t.Context(), func(tx *store.Tx) error {
			own, _ := store.NetworkInterfaces.Get(tx, n.ID)
			_, err := AssignAddresses(tx, own, nil, choose)
			return err
		})
		if got := code(err); got != want {
			t.Errorf("%d more addresses: %q, want %q", choose, got, want)
		}
	}
	update(t, db, func(tx *store.Tx) error {
		own, _ := store.NetworkInterfaces.Get(tx, n.ID)
		UnassignAddresses(tx, own, []netip.Addr{netip.MustParseAddr("10.0.0.9"), own.Addresses[0]})
		return nil
	})
	if own, _ := store.NetworkInterfaces.Get(db.View(), n.ID); fmt.Sprint(own.Addresses) != "[10.0.0.4 10.0.0.6]" {
		t.Errorf("addresses left: %v", own.Addresses)
	}
	update(t, db, func(tx *store.Tx) error {
		DeleteInterface(tx, n.ID)
		DeleteInterface(tx, m.ID)
		DeleteInterface(tx, "eni-1")
		return nil
	})
	if s, _ := store.Subnets.Get(db.View(), subnets[0].ID); len(s.Taken) != 0 {
		t.Errorf("addresses still taken: %x", s.Taken)
	}
}

func TestServiceVPC(t *testing.T) {
	db := openStore(t)
	if _, ok := ServiceVPC(db.View(), region); ok {
		t.Fatal("there is one before it was made")
	}
	for range 2 {
		for _, region := range []string{"us-east-1", "eu-west-1"} {
			update(t, db, func(tx *store.Tx) error { return EnsureServiceVPC(tx, region) })
		}
	}
	r := db.View()
	s, ok := ServiceVPC(r, region)
	if !ok || s.VPC.Account != "392220576650" || s.VPC.CIDRs[0] != ServiceRange || len(s.Subnets) != 3 {
		t.Fatalf("got %v %+v", ok, s)
	}
	for i, subnet := range s.Subnets {
		if subnet.Zone != Zones(region)[i].Name {
			t.Errorf("subnet %d is in %s", i, subnet.Zone)
		}
	}
	if s.Gateway.Addresses[0].String() != "100.64.0.4" || s.Health.Addresses[0].String() != "100.64.0.5" {
		t.Errorf("addresses %s, %s", s.Gateway.Addresses, s.Health.Addresses)
	}
	if n := len(store.VPCs.List(r)); n != 2 {
		t.Errorf("%d VPCs, want one a region", n)
	}
	if n := len(store.NetworkInterfaces.List(r)); n != 8 {
		t.Errorf("%d interfaces, want four a region", n)
	}
}

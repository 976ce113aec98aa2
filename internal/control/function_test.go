package control

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/compile"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/tables"
	"github.com/isthmus-net/isthmus/internal/vpc"
)

// TestFunctionsSpreadOverTheLink: programs behind a link share its interfaces
// evenly, send as them, and leave nothing when they end.
func TestFunctionsSpreadOverTheLink(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	update := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if _, err := db.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	link := &resource.VPCLinkV2{
		Meta: resource.Meta{Account: account, Region: region}, ID: "abc123", Name: "v2", Status: resource.VPCLinkPending,
	}
	update(func(tx *store.Tx) error {
		if err := vpc.EnsureServiceVPC(tx, region); err != nil {
			return err
		}
		v, err := vpc.CreateVPC(tx, vpc.VPCSpec{Account: account, Region: region, CIDR: netip.MustParsePrefix("100.64.0.0/16")})
		if err != nil {
			return err
		}
		link.VPC, link.Subnets, link.Interfaces = v.ID, nil, nil
		for _, cidr := range []string{"100.64.1.0/24", "100.64.2.0/24"} {
			s, err := vpc.CreateSubnet(tx, vpc.SubnetSpec{Account: account, Region: region, VPC: v.ID, CIDR: netip.MustParsePrefix(cidr)})
			if err != nil {
				return err
			}
			link.Subnets = append(link.Subnets, s.ID)
		}
		return buildV2(tx, link)
	})
	before := len(store.NetworkInterfaces.List(db.View()))
	p := CreateInstanceParams{Account: account, Region: region, Link: link.ID}

	refused := func(p CreateInstanceParams, want string) {
		t.Helper()
		_, err := db.Update(t.Context(), func(tx *store.Tx) error { _, err := createFunction(tx, p); return err })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", p, err, want)
		}
	}
	refused(p, "abc123 is PENDING")
	update(func(tx *store.Tx) error {
		link.Status = resource.VPCLinkAvailable
		store.VPCLinksV2.Put(tx, link)
		return nil
	})
	other, grouped, elsewhere := p, p, p
	other.Account, grouped.Groups, elsewhere.Subnet = "222222222222", []string{"sg-1"}, "subnet-1"
	refused(other, "account 222222222222 has no VPC link")
	refused(grouped, "security groups and address are those of VPC link abc123")
	refused(elsewhere, "no network interface in subnet")

	counts := map[netip.Addr]int{}
	var made []Instance
	for range 4 {
		update(func(tx *store.Tx) error {
			i, err := createFunction(tx, p)
			if err == nil {
				made = append(made, i)
				counts[i.Address]++
			}
			return err
		})
	}
	named := p
	named.Subnet = link.Subnets[1]
	update(func(tx *store.Tx) error {
		i, err := createFunction(tx, named)
		made = append(made, i)
		return err
	})
	if len(counts) != 2 || counts[made[0].Address] != 2 || !netip.MustParsePrefix("100.64.2.0/24").Contains(made[4].Address) {
		t.Errorf("programs by interface %v, and in %s one at %s", counts, named.Subnet, made[4].Address)
	}

	byID := map[string]tables.ENI{}
	byNumber := map[uint32]tables.ENI{}
	for _, e := range compile.Tables(dataPlane(db.View())).ENIs {
		byID[e.ID], byNumber[e.Number] = e, e
	}
	for _, i := range made {
		carrier := byID[i.Interface]
		if carrier.Device == nil || !vpc.FunctionRange.Contains(carrier.Device.Source) || carrier.Ingress == 0 || carrier.Egress == 0 || carrier.IngressOpen || carrier.EgressOpen {
			t.Errorf("carrier %+v", carrier)
			continue
		}
		found := false
		for _, e := range byID {
			if e.Kind == tables.NATSource && e.Carrier == carrier.Number {
				found = e.Addresses[0] == carrier.Device.Source && byNumber[e.Peer].Addresses[0] == i.Address
			}
		}
		if !found {
			t.Errorf("nothing leads from %+v to %s", carrier, i.Address)
		}
	}
	update(func(tx *store.Tx) error {
		for _, i := range store.Instances.List(tx) {
			if i.Account != vpc.ServiceAccount(region) {
				t.Errorf("instance %+v is the customer's", i)
			}
			terminate(tx, i)
		}
		return nil
	})
	if after := len(store.NetworkInterfaces.List(db.View())); after != before {
		t.Errorf("%d network interfaces are left", after-before)
	}
}

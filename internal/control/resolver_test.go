package control

import (
	"net/netip"
	"testing"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/compile"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/tables"
	"github.com/isthmus-net/isthmus/internal/trace"
	"github.com/isthmus-net/isthmus/internal/vpc"
)

// TestResolvers: queries of each VPC reach the process, whatever groups and
// routes say, from an address that names the VPC; nothing else can have it.
func TestResolvers(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	update := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if _, err := db.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	// 40 of an older version, which had no resolvers, and one of this.
	var vpcs []*resource.VPC
	hosts := map[string]string{} // by VPC
	build := func(tx *store.Tx, account string) error {
		v, err := vpc.CreateVPC(tx, vpc.VPCSpec{Account: account, Region: region, CIDR: netip.MustParsePrefix("10.0.0.0/16")})
		if err != nil {
			return err
		}
		s, err := vpc.CreateSubnet(tx, vpc.SubnetSpec{Account: account, Region: region, VPC: v.ID, CIDR: netip.MustParsePrefix("10.0.0.0/24")})
		if err != nil {
			return err
		}
		g, err := vpc.CreateGroup(tx, v, "closed", "closed", nil)
		if err != nil {
			return err
		}
		for _, r := range store.SecurityGroupRules.List(tx) {
			if r.Group == g.ID {
				store.SecurityGroupRules.Delete(tx, r.ID)
			}
		}
		table := store.RouteTables.List(tx)
		for _, r := range table {
			if r.VPC == v.ID {
				r.Routes = append(r.Routes, resource.Route{Destination: netip.MustParsePrefix("169.254.169.253/32"), Kind: resource.RouteBlackhole})
				store.RouteTables.Put(tx, r)
			}
		}
		n, err := vpc.CreateInterface(tx, vpc.InterfaceSpec{Account: account, Region: region, Subnet: s.ID, Groups: []string{g.ID}, Attachment: &resource.Attachment{}})
		if err != nil {
			return err
		}
		hosts[v.ID] = n.ID
		vpcs = append(vpcs, v)
		return nil
	}
	for range 40 {
		update(func(tx *store.Tx) error { return build(tx, "111111111111") })
	}
	update(func(tx *store.Tx) error { return vpc.EnsureServiceVPC(tx, region) })
	rounds := 0
	for more := true; more; rounds++ {
		update(func(tx *store.Tx) (err error) { more, err = vpc.AddResolvers(tx, region); return err })
	}
	if rounds != 2 {
		t.Errorf("resolvers were added in %d transactions, want 2", rounds)
	}
	update(func(tx *store.Tx) error { return build(tx, "222222222222") })

	r := db.View()
	tt := compile.Tables(dataPlane(r))
	now := &tracedTables{tt, trace.NewIndex(tt, 1), r}
	askers := compile.Names(names(r, region)).Askers
	enis := map[string]*tables.ENI{}
	for i := range tt.ENIs {
		enis[tt.ENIs[i].ID] = &tt.ENIs[i]
	}
	network, _ := vpc.ServiceVPC(r, region)
	process := netip.AddrPortFrom(network.Resolver.Addresses[0], 53)
	seen := map[netip.Addr]bool{}
	for _, v := range vpcs {
		host := enis[hosts[v.ID]]
		for _, to := range []string{"10.0.0.2", "169.254.169.253"} {
			for _, protocol := range []uint8{tables.UDP, tables.TCP} {
				got := now.packet(host, probe{to: netip.AddrPortFrom(netip.MustParseAddr(to), 53), protocol: protocol})
				if got.Destination != process || askers[got.Source.Addr()] != v.ID {
					t.Fatalf("%s: %s over %d: %+v", v.ID, to, protocol, got)
				}
				seen[got.Source.Addr()] = true
			}
			if got := now.packet(host, probe{to: netip.AddrPortFrom(netip.MustParseAddr(to), 80), protocol: tables.TCP}); got.Verdict != bpf.DropSGEgress.String() {
				t.Errorf("%s: port 80 of %s: %+v", v.ID, to, got)
			}
		}
		if got := now.packet(host, probe{to: netip.MustParseAddrPort("10.0.0.9:53"), protocol: tables.UDP}); got.Verdict != bpf.DropSGEgress.String() {
			t.Errorf("%s: port 53 of somebody else: %+v", v.ID, got)
		}
	}
	if len(seen) != len(vpcs) || len(askers) != len(vpcs) {
		t.Errorf("%d VPCs are told by %d addresses, %d are known", len(vpcs), len(seen), len(askers))
	}
	for _, from := range []string{network.Gateway.ID, network.Health.ID} {
		for a := range askers {
			if got := now.packet(enis[from], probe{to: netip.AddrPortFrom(a, 53), protocol: tables.UDP}); got.Verdict != bpf.DropSGIngress.String() {
				t.Fatalf("%s could pass for %s: %+v", from, askers[a], got)
			}
		}
		if got := now.packet(enis[from], probe{to: process, protocol: tables.UDP}); got.Verdict != bpf.DropSGIngress.String() {
			t.Errorf("%s can ask: %+v", from, got)
		}
	}

	// It is no interface of the customer's, and goes with the VPC.
	before := len(store.NetworkInterfaces.List(r))
	for _, n := range store.NetworkInterfaces.List(r) {
		if n.VPC == vpcs[0].ID && n.ID != hosts[vpcs[0].ID] {
			t.Errorf("the VPC has interface %+v", n)
		}
	}
	update(func(tx *store.Tx) error {
		v, _ := store.VPCs.Get(tx, vpcs[0].ID)
		vpc.DeleteVPC(tx, v)
		return nil
	})
	if n := len(store.NetworkInterfaces.List(db.View())); n != before-1 {
		t.Errorf("%d interfaces are left of %d, want one fewer", n, before)
	}
	update(func(tx *store.Tx) error {
		v, _ := store.VPCs.Get(tx, vpcs[1].ID)
		v.EnableDNSSupport = false
		store.VPCs.Put(tx, v)
		return nil
	})
	tt = compile.Tables(dataPlane(db.View()))
	now = &tracedTables{tt, trace.NewIndex(tt, 1), db.View()}
	for i := range tt.ENIs {
		if e := &tt.ENIs[i]; e.ID == hosts[vpcs[1].ID] {
			if got := now.packet(e, probe{to: netip.MustParseAddrPort("10.0.0.2:53"), protocol: tables.UDP}); got.Verdict != bpf.DropSGEgress.String() {
				t.Errorf("without enableDnsSupport: %+v", got)
			}
		}
	}
}

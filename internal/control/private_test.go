package control

import (
	"net/netip"
	"testing"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/compile"
	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/tables"
	"github.com/isthmus-net/isthmus/internal/trace"
	"github.com/isthmus-net/isthmus/internal/vpc"
)

// TestPrivateEndpoints: packets of two VPCs with the same addresses reach the
// gateway from the address that stands for each one's endpoint, by ports 80 and
// 443 only; and nobody reaches it from such an address in another way.
func TestPrivateEndpoints(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	type caller struct{ host, endpoint *tables.ENI }
	var ends []*resource.VPCEndpoint
	var hosts []string
	if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
		ends, hosts = nil, nil
		if err := vpc.EnsureServiceVPC(tx, region); err != nil {
			return err
		}
		for _, account := range []string{"111111111111", "222222222222"} {
			v, err := vpc.CreateVPC(tx, vpc.VPCSpec{Account: account, Region: region, CIDR: netip.MustParsePrefix("10.0.0.0/16")})
			if err != nil {
				return err
			}
			s, err := vpc.CreateSubnet(tx, vpc.SubnetSpec{
				Account: account, Region: region, VPC: v.ID, CIDR: netip.MustParsePrefix("10.0.0.0/24"), Zone: vpc.Zones(region)[1].Name,
			})
			if err != nil {
				return err
			}
			e, err := vpc.CreateEndpoint(tx, vpc.EndpointSpec{
				Account: account, Region: region, VPC: v.ID, Subnets: []string{s.ID}, ServiceName: "com.amazonaws." + region + ".execute-api",
			})
			if err != nil {
				return err
			}
			n, err := vpc.CreateInterface(tx, vpc.InterfaceSpec{
				Account: account, Region: region, Subnet: s.ID, Groups: []string{v.DefaultGroup}, Attachment: &resource.Attachment{},
			})
			if err != nil {
				return err
			}
			ends, hosts = append(ends, e), append(hosts, n.ID)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s := db.View()
	tt := compile.Tables(dataPlane(s))
	known := compile.Gateway(gateway(s, region)).Endpoints
	now := &tracedTables{tt, trace.NewIndex(tt, 1), s}
	enis := map[string]*tables.ENI{}
	for i := range tt.ENIs {
		enis[tt.ENIs[i].ID] = &tt.ENIs[i]
	}
	network, _ := vpc.ServiceVPC(s, region)
	for i, e := range ends {
		c := caller{enis[hosts[i]], enis[e.Interfaces[0]]}
		at := c.endpoint.Addresses[0]
		for port, inside := range map[uint16]uint16{80: config.PrivateHTTPPort, 443: config.PrivateHTTPSPort} {
			r := now.packet(c.host, probe{to: netip.AddrPortFrom(at, port), protocol: tables.TCP})
			if want := netip.AddrPortFrom(network.Gateway.Addresses[0], inside); r.Destination != want {
				t.Fatalf("%s: port %d leads to %s, want %s: %+v", e.ID, port, r.Destination, want, r)
			}
			if got := known[r.Source.Addr()]; got.ID != e.ID || got.VPC != e.VPC || got.Account != e.Account {
				t.Errorf("%s: %s is taken for %+v", e.ID, r.Source, got)
			}
		}
		if r := now.packet(c.host, probe{to: netip.AddrPortFrom(at, 8443), protocol: tables.TCP}); r.Verdict != bpf.DropNoListener.String() {
			t.Errorf("port 8443: %+v", r)
		}
		node := enis[e.Nodes[0]].Addresses[0]
		for _, from := range []string{network.Gateway.ID, network.Health.ID} {
			if r := now.packet(enis[from], probe{to: netip.AddrPortFrom(node, 443), protocol: tables.TCP}); r.Verdict != bpf.DropSGIngress.String() {
				t.Errorf("%s could pass for %s: %+v", from, e.ID, r)
			}
		}
	}
	r := now.packet(enis[network.Health.ID], probe{to: netip.AddrPortFrom(network.Gateway.Addresses[0], config.PrivateHTTPSPort), protocol: tables.TCP})
	if e, ok := known[r.Source.Addr()]; ok {
		t.Errorf("the health checker is taken for %s", e.ID)
	}
	if len(known) != 2 {
		t.Errorf("endpoints %+v", known)
	}
	// Nothing is left of an endpoint that is deleted.
	before := len(store.NetworkInterfaces.List(s))
	if _, err := db.Update(t.Context(), func(tx *store.Tx) error { vpc.DeleteEndpoint(tx, ends[0].ID); return nil }); err != nil {
		t.Fatal(err)
	}
	if n := len(store.NetworkInterfaces.List(db.View())); n != before-2 {
		t.Errorf("%d interfaces of %d are left, want two fewer", n, before)
	}
	if len(compile.Gateway(gateway(db.View(), region)).Endpoints) != 1 {
		t.Error("the gateway still knows the endpoint")
	}
}

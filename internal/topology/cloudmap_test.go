package topology

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
)

// TestCloudMapServices: where services are drawn.
func TestCloudMapServices(t *testing.T) {
	meta := resource.Meta{Account: "1", Region: "us-east-1"}
	other := resource.Meta{Account: "2", Region: "us-east-1"}
	address := netip.MustParseAddr("10.0.1.9")
	in := Input{
		VPCs: []*resource.VPC{{Meta: meta, ID: "vpc-1"}, {Meta: meta, ID: "vpc-2"}},
		Interfaces: []*resource.NetworkInterface{
			{Meta: meta, ID: "eni-1", VPC: "vpc-1", Subnet: "subnet-1", Addresses: []netip.Addr{address}, Attachment: &resource.Attachment{}},
		},
		Namespaces: []*resource.CloudMapNamespace{{Meta: meta, ID: "ns-http"}, {Meta: meta, ID: "ns-dns", VPC: "vpc-2"}, {Meta: other, ID: "ns-gone", VPC: "vpc-9"}},
		CloudMapServices: []*resource.CloudMapService{
			{Meta: meta, ID: "srv-known", Namespace: "ns-dns", Name: "known"},
			{Meta: meta, ID: "srv-dns", Namespace: "ns-dns", Name: "dns"},
			{Meta: meta, ID: "srv-http", Namespace: "ns-http", Name: "http"},
			{Meta: other, ID: "srv-gone", Namespace: "ns-gone", Name: "gone"},
		},
	}
	for service, ip := range map[string]string{"srv-known": "10.0.1.9", "srv-http": "192.0.2.1"} {
		in.CloudMapInstances = append(in.CloudMapInstances, &resource.CloudMapInstance{Service: service, ID: "one", Attributes: map[string]string{
			resource.AttributeInstanceIPv4: ip, resource.AttributeInstancePort: "80",
		}})
	}
	got := map[string]string{}
	accounts := 0
	for _, n := range Build(in).Nodes {
		switch n.Kind {
		case CloudMap:
			got[n.ID] = n.Parent + ", " + n.Detail
		case Account:
			accounts++
		}
	}
	want := map[string]string{"srv-known": "vpc-1, 1 instances", "srv-dns": "vpc-2, 0 instances", "srv-http": "1, 1 instances", "srv-gone": "2, 0 instances"}
	if fmt.Sprint(got) != fmt.Sprint(want) || accounts != 2 {
		t.Errorf("%v in %d accounts; want %v in 2", got, accounts, want)
	}
}

package control

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// TestDestinations: what names lead to, and what is said of those that lead
// nowhere.
func TestDestinations(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const arn = "arn:aws:elasticloadbalancing:us-east-1:111111111111:loadbalancer/net/lb/0123456789abcdef"
	if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
		meta := resource.Meta{Account: account, Region: region}
		store.LoadBalancers.Put(tx, &resource.LoadBalancer{Meta: meta, ARN: arn, Name: "lb", DNSName: "lb-1.elb.us-east-1.amazonaws.com", Zones: []resource.LoadBalancerZone{
			{Zone: "us-east-1a", Interface: "eni-a", Address: netip.MustParseAddr("10.0.1.4")}, {Zone: "us-east-1b", Interface: "eni-b", Address: netip.MustParseAddr("10.0.2.4")},
		}})
		store.Listeners.Put(tx, &resource.Listener{Meta: meta, ARN: "arn:aws:elasticloadbalancing:us-east-1:111111111111:listener/net/lb/0123456789abcdef/1", LoadBalancer: arn, Protocol: "TCP", Port: 80})
		store.CloudMapNamespaces.Put(tx, &resource.CloudMapNamespace{Meta: meta, ID: "ns-1", Name: "local"})
		store.CloudMapServices.Put(tx, &resource.CloudMapService{Meta: meta, ID: "srv-1", Namespace: "ns-1", Name: "pets"})
		store.CloudMapInstances.Put(tx, &resource.CloudMapInstance{Service: "srv-1", ID: "one", Attributes: map[string]string{resource.AttributeInstanceIPv4: "10.0.1.9", resource.AttributeInstancePort: "8080"}})
		store.NetworkInterfaces.Put(tx, &resource.NetworkInterface{Meta: meta, ID: "eni-1", Addresses: []netip.Addr{netip.MustParseAddr("10.0.1.7")}})
		store.Instances.Put(tx, &resource.Instance{Meta: meta, ID: "i-1", Interface: "eni-1"})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	x := &tracing{tracedTables: &tracedTables{rows: db.View()}, region: region}
	for name, want := range map[string]string{
		"10.0.0.1:80": "10.0.0.1:80", "eni-1:22": "10.0.1.7:22", "i-1:22": "10.0.1.7:22",
		"lb": "10.0.1.4:80 10.0.2.4:80", "lb:81": "10.0.1.4:81 10.0.2.4:81", arn: "10.0.1.4:80 10.0.2.4:80", arn + ":82": "10.0.1.4:82 10.0.2.4:82",
		"LB-1.elb.us-east-1.amazonaws.com": "10.0.1.4:80 10.0.2.4:80", "us-east-1b.lb-1.elb.us-east-1.amazonaws.com": "10.0.2.4:80",
		"arn:aws:elasticloadbalancing:us-east-1:111111111111:listener/net/lb/0123456789abcdef/1": "10.0.1.4:80 10.0.2.4:80",
		"srv-1": "10.0.1.9:8080", "pets.local": "10.0.1.9:8080",
		"10.0.0.1": "! a port is needed", "eni-1": "! a port is needed", "eni-9:1": "! nothing is called", "nobody": "! nothing is called",
		"[::1]:80": "! nothing is called", "lb:x": "! is no port", "lb:70000": "! is no port", "": "! nothing is called",
	} {
		found, err := x.destinations(name, tables.TCP)
		var got []string
		for _, d := range found {
			got = append(got, d.address.String())
		}
		if text, bad := strings.CutPrefix(want, "! "); bad {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%q: %v, %v; want an error that says %q", name, got, err, text)
			}
		} else if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %v, %v; want %s", name, got, err, want)
		}
	}
}

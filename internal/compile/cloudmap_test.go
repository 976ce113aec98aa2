package compile

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/isthmus-net/isthmus/internal/proxy/way"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/tables"
)

const (
	serviceARN = "arn:aws:servicediscovery:us-east-1:111111111111:service/srv-1"
	blueURI    = serviceARN + "?color=blue"
)

// shop is the world with an integration that leads to the blue instances of a
// Cloud Map service, of which there are two, in two zones, beside a green one.
func shop() GatewayInput {
	in := world()
	in.HTTPDeployments[0].Integrations[0].URI = blueURI
	in.LinksV2[0].VPC = "vpc-1"
	at := func(id, subnet, address, vpc string) *resource.NetworkInterface {
		n := eni(id, subnet, address)
		n.VPC = vpc
		return n
	}
	in.Interfaces = []*resource.NetworkInterface{
		at("eni-p1", "svc-a", "100.64.0.2", "vpc-svc"), at("eni-p2", "svc-a", "100.64.0.3", "vpc-svc"),
		at("eni-w1", "sn-b", "10.0.0.21", "vpc-1"), at("eni-w2", "sn-a", "10.0.1.22", "vpc-1"), at("eni-x", "sn-a", "10.0.0.21", "vpc-2"),
	}
	in.CloudMapServices = []*resource.CloudMapService{{Meta: meta(), ID: "srv-1", Name: "web", CustomHealth: true}}
	in.CloudMapInstances = []*resource.CloudMapInstance{
		instance("one", "color", "blue", "10.0.0.21", "8080"), instance("two", "color", "blue", "10.0.1.22", "81"), instance("three", "color", "green", "10.0.0.23", "82"),
	}
	return in
}

func instance(id, key, value, address, port string) *resource.CloudMapInstance {
	return &resource.CloudMapInstance{Service: "srv-1", ID: id, Attributes: map[string]string{
		key: value, resource.AttributeInstanceIPv4: address, resource.AttributeInstancePort: port}}
}

func TestCloudMap(t *testing.T) {
	for _, c := range []struct {
		name         string
		change       func(*GatewayInput)
		layer, cause string
		destinations []string
	}{
		{"matching", func(*GatewayInput) {}, "", "", []string{"a 10.0.1.22:81", "b 10.0.0.21:8080"}},
		{"unhealthy", func(in *GatewayInput) { in.CloudMapInstances[0].Unhealthy = true }, "", "", []string{"a 10.0.1.22:81"}},
		{"health that counts no more", func(in *GatewayInput) {
			in.CloudMapServices[0].CustomHealth, in.CloudMapInstances[0].Unhealthy = false, true
		}, "", "", []string{"a 10.0.1.22:81", "b 10.0.0.21:8080"}},
		{"outside the VPC", func(in *GatewayInput) { in.CloudMapInstances[0] = instance("one", "color", "blue", "172.16.0.1", "80") }, "", "",
			[]string{" 172.16.0.1:80", "a 10.0.1.22:81"}},
		{"one address twice", func(in *GatewayInput) {
			in.CloudMapInstances = append(in.CloudMapInstances, instance("one again", "color", "blue", "10.0.0.21", "8080"))
		}, "", "", []string{"a 10.0.1.22:81", "b 10.0.0.21:8080"}},
		{"no port", func(in *GatewayInput) { delete(in.CloudMapInstances[0].Attributes, resource.AttributeInstancePort) }, "", "", []string{"a 10.0.1.22:81"}},
		{"the gateway itself", func(in *GatewayInput) {
			for i, own := range []string{"127.0.0.1", "100.64.0.3"} {
				in.CloudMapInstances[i].Attributes[resource.AttributeInstanceIPv4] = own
			}
		}, "no-healthy-target", "none of the 2 healthy instances of Cloud Map service srv-1 (web) has both AWS_INSTANCE_IPV4 and AWS_INSTANCE_PORT of a network interface or host in the VPC", nil},
		{"no instances", func(in *GatewayInput) { in.CloudMapInstances = nil }, "no-healthy-target", "Cloud Map service srv-1 (web) has no instances", nil},
		{"no match", func(in *GatewayInput) { in.CloudMapInstances = in.CloudMapInstances[2:] }, "no-healthy-target", "none of the 1 instances of Cloud Map service srv-1 (web) matches color=blue", nil},
		{"all unhealthy", func(in *GatewayInput) {
			in.CloudMapInstances[0].Unhealthy, in.CloudMapInstances[1].Unhealthy = true, true
		}, "no-healthy-target", "none of the 2 matching instances of Cloud Map service srv-1 (web) is healthy", nil},
		{"no service", func(in *GatewayInput) { in.CloudMapServices = nil }, "", "Cloud Map service srv-1 does not exist", nil},
		{"somebody else's service", func(in *GatewayInput) { in.CloudMapServices[0].Account = "222222222222" }, "", "Cloud Map service srv-1 does not exist", nil},
		{"link pending", func(in *GatewayInput) { in.LinksV2[0].Status = resource.VPCLinkPending }, "", "VPC link link2 is PENDING", nil},
		{"link without interface", func(in *GatewayInput) { in.LinksV2[0].Interfaces = nil }, "", "VPC link link2 has no network interface", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := shop()
			c.change(&in)
			out := Gateway(in)
			i := stage(t, out, "http", "$default").Routes[0].Integration
			u, ok := out.Upstreams[i.Upstream]
			if !ok || i.URI != nil || i.Upstream != way.Key("link2", blueURI, 0) {
				t.Fatalf("integration %+v, upstreams %v", i, out.Upstreams)
			}
			var destinations []string
			for _, d := range u.Destinations {
				destinations = append(destinations, d.Zone+" "+d.Address.String())
			}
			if u.Layer != c.layer || u.Cause != c.cause || !slices.Equal(destinations, c.destinations) || (len(u.Sources) == 2) != (u.Cause == "") {
				t.Errorf("got %+v, want layer %q, cause %q, destinations %v", u, c.layer, c.cause, c.destinations)
			}
		})
	}
}

// A rule that changes anywhere in the instances' network changes the
// fingerprint; what happens in another network does not.
func TestCloudMapFingerprint(t *testing.T) {
	address := func(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }
	plain := func() *tables.Tables {
		return &tables.Tables{ENIs: []tables.ENI{
			{Number: 1, ID: "eni-p1", Network: 1, Kind: tables.NATSource, Peer: 3, Addresses: address("100.64.0.2")},
			{Number: 2, ID: "eni-p2", Network: 1, Kind: tables.NATSource, Peer: 3, Addresses: address("100.64.0.3")},
			{Number: 3, ID: "eni-c1", Network: 2, Addresses: address("10.0.0.9")},
			{Number: 4, ID: "eni-w1", Network: 2, Addresses: address("10.0.0.21")},
			{Number: 5, ID: "eni-x", Network: 3, Addresses: address("10.0.0.21")},
		}}
	}
	print := func(change func(*tables.Tables)) string {
		c, tab := Gateway(shop()), plain()
		change(tab)
		Fingerprint(&c, tab)
		return c.Upstreams[way.Key("link2", blueURI, 0)].Fingerprint
	}
	before := print(func(*tables.Tables) {})
	for name, c := range map[string]struct {
		change func(*tables.Tables)
		same   bool
	}{
		"ingress of an instance": {func(tab *tables.Tables) { tab.ENIs[3].Ingress++ }, false},
		"egress of the link":     {func(tab *tables.Tables) { tab.ENIs[2].Egress++ }, false},
		"an instance's end":      {func(tab *tables.Tables) { tab.ENIs = slices.Delete(tab.ENIs, 3, 4) }, false},
		"another VPC":            {func(tab *tables.Tables) { tab.ENIs[4].Ingress++ }, true},
	} {
		if got := print(c.change); (got == before) != c.same {
			t.Errorf("%s: fingerprint %s, before %s", name, got, before)
		}
	}
}

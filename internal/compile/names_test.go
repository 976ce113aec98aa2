package compile

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/dns/config"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// named is two VPCs with the same range: in the first an endpoint in two zones,
// a load balancer and a namespace; in the second nothing.
func named() NamesInput {
	at := func(id, vpc, subnet, address string) *resource.NetworkInterface {
		n := eni(id, subnet, address)
		n.Meta, n.VPC = meta(), vpc
		return n
	}
	vpc := func(id, node string) *resource.VPC {
		return &resource.VPC{
			Meta: meta(), ID: id, CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, EnableDNSSupport: true, EnableDNSHostnames: true,
			Resolver: &resource.VPCResolver{Interface: "eni-r" + id, Number: 9, Node: node},
		}
	}
	subnet := func(id, zone string) *resource.Subnet {
		return &resource.Subnet{Meta: meta(), ID: id, VPC: "vpc-1", Zone: "us-east-1" + zone}
	}
	return NamesInput{
		Region:  "us-east-1",
		VPCs:    []*resource.VPC{vpc("vpc-1", "eni-n1"), vpc("vpc-2", "eni-n2")},
		Subnets: []*resource.Subnet{subnet("sn-a", "a"), subnet("sn-b", "b")},
		Interfaces: []*resource.NetworkInterface{
			at("eni-n1", "vpc-svc", "svc", "100.64.0.10"), at("eni-n2", "vpc-svc", "svc", "100.64.0.11"),
			at("eni-e1", "vpc-1", "sn-a", "10.0.1.5"), at("eni-e2", "vpc-1", "sn-b", "10.0.2.5"), at("eni-h", "vpc-2", "sn-x", "10.0.1.77"),
		},
		Endpoints: []*resource.VPCEndpoint{{
			Meta: meta(), ID: "vpce-1", VPC: "vpc-1", Service: "vpce-svc-x", AWS: "execute-api", State: resource.EndpointAvailable, PrivateDNS: true,
			DNSSuffix: "abcdefgh", Interfaces: []string{"eni-e1", "eni-e2"},
		}},
		RestAPIs: []*resource.RestAPI{
			{Meta: meta(), ID: "api1", EndpointType: "PRIVATE", VPCEndpoints: []string{"vpce-1", "vpce-gone"}},
			{Meta: meta(), ID: "api2", EndpointType: "REGIONAL", VPCEndpoints: []string{"vpce-1"}},
		},
		LoadBalancers: []*resource.LoadBalancer{{
			Meta: meta(), ARN: "lb", Type: "network", DNSName: "Web-1.elb.us-east-1.amazonaws.com", VPC: "vpc-1",
			Zones: []resource.LoadBalancerZone{
				{Zone: "us-east-1a", Address: netip.MustParseAddr("10.0.1.9")}, {Zone: "us-east-1b", Address: netip.MustParseAddr("10.0.2.9")},
			},
		}},
		Listeners: []*resource.Listener{{ARN: "l1", LoadBalancer: "lb", DefaultActions: []resource.Action{{Forward: &resource.Forward{Groups: []resource.WeightedGroup{{TargetGroup: "tg"}}}}}}},
		TargetGroups: []*resource.TargetGroup{{ARN: "tg", Targets: []resource.Target{
			{ID: "t1", Port: 80, Zone: "us-east-1a"}, {ID: "t2", Port: 80, Zone: "us-east-1b"},
		}}},
		TargetHealth: []*resource.TargetHealth{
			{TargetGroup: "tg", Target: "t1", Port: 80, State: "healthy"}, {TargetGroup: "tg", Target: "t2", Port: 80, State: "healthy"},
		},
		Namespaces: []*resource.CloudMapNamespace{
			{Meta: meta(), ID: "ns-1", Name: "Shop", Type: resource.NamespaceDNSPrivate, VPC: "vpc-1", SOATTL: 15},
			{Meta: meta(), ID: "ns-2", Name: "http", Type: resource.NamespaceHTTP},
		},
		CloudMapServices: []*resource.CloudMapService{mapped("srv-1", "web", "MULTIVALUE", "A"), mapped("srv-2", "rpc", "WEIGHTED", "SRV")},
		CloudMapInstances: []*resource.CloudMapInstance{
			listed("srv-1", "one", "10.0.1.21", "80"), listed("srv-1", "two", "10.0.1.22", "80"), listed("srv-2", "Three", "10.0.1.23", "81"),
		},
	}
}

func mapped(id, name, policy, typ string) *resource.CloudMapService {
	return &resource.CloudMapService{Meta: meta(), ID: id, Namespace: "ns-1", Name: name, CustomHealth: true, DNS: &resource.CloudMapDNS{
		RoutingPolicy: policy, Records: []resource.CloudMapRecord{{Type: typ, TTL: 10}},
	}}
}

func listed(service, id, address, port string) *resource.CloudMapInstance {
	return &resource.CloudMapInstance{Service: service, ID: id, Attributes: map[string]string{
		resource.AttributeInstanceIPv4: address, resource.AttributeInstancePort: port}}
}

// seen is what a view says of a name, "" if nothing.
func seen(zones []config.Zone, name string) string {
	for _, z := range zones {
		if sets := z.Names[name]; sets != nil {
			text := []string{z.Off}
			for _, s := range sets {
				text = append(text, fmt.Sprintf("%s %d/%d %s", s.Type, s.TTL, s.Limit, strings.Join(s.Data, ",")))
			}
			return strings.TrimSpace(strings.Join(text, " "))
		}
	}
	return ""
}

const (
	regional = "vpce-1-abcdefgh.execute-api.us-east-1.vpce.amazonaws.com."
	inZoneA  = "vpce-1-abcdefgh-us-east-1a.execute-api.us-east-1.vpce.amazonaws.com."
	private  = "execute-api.us-east-1.amazonaws.com."
	balancer = "web-1.elb.us-east-1.amazonaws.com."
	hostName = "ip-10-0-1-77.ec2.internal."
)

func TestNames(t *testing.T) {
	both := "A 60/0 10.0.1.5,10.0.2.5"
	for _, c := range []struct {
		name   string
		change func(*NamesInput)
		view   string // a VPC; empty: public
		query  string
		want   string
	}{
		{"regional", nil, "", regional, both},
		{"zonal", nil, "", inZoneA, "A 60/0 10.0.1.5"},
		{"rejected", func(in *NamesInput) { in.Endpoints[0].State = resource.EndpointRejected }, "", regional, ""},
		{"another region's", func(in *NamesInput) { in.Endpoints[0].Region = "eu-west-1" }, "", regional, ""},
		{"private API with endpoint", nil, "", "api1-vpce-1." + private, both},
		{"private API with none", nil, "", "api1-vpce-gone." + private, ""},
		{"regional API", nil, "", "api2-vpce-1." + private, ""},
		{"private DNS", nil, "vpc-1", "*." + private, both},
		{"private DNS, apex", nil, "vpc-1", private, both},
		{"private DNS elsewhere", nil, "vpc-2", "*." + private, ""},
		{"private DNS off", func(in *NamesInput) { in.Endpoints[0].PrivateDNS = false }, "vpc-1", "*." + private, ""},
		{"private DNS without host names", func(in *NamesInput) { in.VPCs[0].EnableDNSHostnames = false }, "vpc-1", private, "enableDnsHostnames of vpc-1 is false " + both},
		{"no DNS", func(in *NamesInput) { in.VPCs[0].EnableDNSSupport = false }, "vpc-1", private, ""},

		{"balancer", nil, "", balancer, "A 60/0 10.0.1.9,10.0.2.9"},
		{"balancer in a zone", nil, "", "us-east-1b." + balancer, "A 60/0 10.0.2.9"},
		{"zone without a healthy target", func(in *NamesInput) { in.TargetHealth[1].State = "unhealthy" }, "", balancer, "A 60/0 10.0.1.9"},
		{"that zone's own name", func(in *NamesInput) { in.TargetHealth[1].State = "unhealthy" }, "", "us-east-1b." + balancer, ""},
		{"across zones", func(in *NamesInput) {
			in.TargetHealth[1].State = "unhealthy"
			in.LoadBalancers[0].Attributes = map[string]string{"load_balancing.cross_zone.enabled": "true"}
		}, "", balancer, "A 60/0 10.0.1.9,10.0.2.9"},
		{"draining only", func(in *NamesInput) { in.TargetGroups[0].Targets[0].DrainingUntil = 1 }, "", balancer, "A 60/0 10.0.2.9"},
		{"nothing healthy", func(in *NamesInput) { in.TargetHealth = nil }, "", balancer, "A 60/0 10.0.1.9,10.0.2.9"},
		{"no listener", func(in *NamesInput) { in.Listeners = nil }, "", balancer, "A 60/0 10.0.1.9,10.0.2.9"},
		{"application balancer", func(in *NamesInput) {
			in.TargetHealth[1].State, in.LoadBalancers[0].Type = "unhealthy", "application"
			in.LoadBalancers[0].DNSName = "internal-app-1.us-east-1.elb.amazonaws.com"
		}, "", "internal-app-1.us-east-1.elb.amazonaws.com.", "A 60/0 10.0.1.9,10.0.2.9"},

		{"host", nil, "vpc-2", hostName, "A 60/0 10.0.1.77"},
		{"host of another VPC", nil, "vpc-1", hostName, ""},
		{"host, backwards", nil, "vpc-2", "77.1.0.10.in-addr.arpa.", "PTR 60/0 " + hostName},
		{"host in a small VPC, backwards", func(in *NamesInput) { in.VPCs[1].CIDRs[0] = netip.MustParsePrefix("10.0.0.0/20") }, "vpc-2", "77.1.0.10.in-addr.arpa.", "PTR 60/0 " + hostName},
		{"host of another region", func(in *NamesInput) {
			in.Region = "eu-west-1"
			in.VPCs[1].Region = "eu-west-1"
		}, "vpc-2", "ip-10-0-1-77.eu-west-1.compute.internal.", "A 60/0 10.0.1.77"},

		{"service", nil, "vpc-1", "web.shop.", "A 10/8 10.0.1.21,10.0.1.22"},
		{"service elsewhere", nil, "vpc-2", "web.shop.", ""},
		{"unhealthy", func(in *NamesInput) { in.CloudMapInstances[0].Unhealthy = true }, "vpc-1", "web.shop.", "A 10/8 10.0.1.22"},
		{"all unhealthy", func(in *NamesInput) {
			in.CloudMapInstances[0].Unhealthy, in.CloudMapInstances[1].Unhealthy = true, true
		}, "vpc-1", "web.shop.", "A 10/8 10.0.1.21,10.0.1.22"},
		{"without custom health", func(in *NamesInput) {
			in.CloudMapInstances[0].Unhealthy, in.CloudMapServices[0].CustomHealth = true, false
		}, "vpc-1", "web.shop.", "A 10/8 10.0.1.21,10.0.1.22"},
		{"without instances", func(in *NamesInput) { in.CloudMapInstances = nil }, "vpc-1", "web.shop.", ""},
		{"without DNS", func(in *NamesInput) { in.CloudMapServices[0].DNS = nil }, "vpc-1", "web.shop.", ""},
		{"SRV", nil, "vpc-1", "rpc.shop.", "SRV 10/1 1 1 81 three.rpc.shop."},
		{"SRV's target", nil, "vpc-1", "three.rpc.shop.", "A 10/0 10.0.1.23"},
		{"instance id that is no name", func(in *NamesInput) { in.CloudMapInstances[2].ID = "a/b c" }, "vpc-1", "rpc.shop.", ""},
		{"AAAA", func(in *NamesInput) {
			in.CloudMapServices[0].DNS.Records[0].Type = "AAAA"
			in.CloudMapInstances[0].Attributes[resource.AttributeInstanceIPv6] = "2001:db8::1"
		}, "vpc-1", "web.shop.", "AAAA 10/8 2001:db8::1"},
		{"CNAME", func(in *NamesInput) {
			in.CloudMapServices[0].DNS = &resource.CloudMapDNS{RoutingPolicy: "WEIGHTED", Records: []resource.CloudMapRecord{{Type: "CNAME", TTL: 5}}}
			in.CloudMapInstances[0].Attributes[resource.AttributeInstanceName] = "Www.example.com"
		}, "vpc-1", "web.shop.", "CNAME 5/1 www.example.com."},
		{"alias", func(in *NamesInput) {
			in.CloudMapServices[0].DNS.RoutingPolicy = "WEIGHTED"
			in.CloudMapInstances[0].Attributes = map[string]string{resource.AttributeAlias: "WEB-1.elb.us-east-1.amazonaws.com"}
		}, "vpc-1", "web.shop.", "A 10/1 10.0.1.22,10.0.1.9 10.0.2.9"},
	} {
		in := named()
		if c.change != nil {
			c.change(&in)
		}
		out := Names(in)
		zones := out.Public
		if c.view != "" {
			zones = out.VPCs[c.view]
		}
		if got := seen(zones, c.query); got != c.want {
			t.Errorf("%s: %s is %q, want %q", c.name, c.query, got, c.want)
		}
	}
}

// Each node stands for its VPC; one that has no resolver has none.
func TestNamesAskers(t *testing.T) {
	in := named()
	if got := fmt.Sprint(Names(in).Askers); got != "map[100.64.0.10:vpc-1 100.64.0.11:vpc-2]" {
		t.Error(got)
	}
	in.VPCs[0].EnableDNSSupport, in.VPCs[1].Resolver = false, nil
	if out := Names(in); len(out.Askers) != 0 || len(out.VPCs) != 0 {
		t.Errorf("%+v", out)
	}
}

// Every range of a VPC lies in its reverse zones, as a whole.
func TestReverseZones(t *testing.T) {
	for bits := 16; bits <= 28; bits++ {
		p := netip.PrefixFrom(netip.MustParseAddr("10.7.240.96"), bits).Masked()
		zones := reverseZones(p)
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			b := a.As4()
			if !slices.Contains(zones, reverseName(b[:2])) && !slices.Contains(zones, reverseName(b[:3])) {
				t.Fatalf("%v: %v is in none of %q", p, a, zones)
			}
		}
		if len(zones) > 128 {
			t.Errorf("%v: %d zones", p, len(zones))
		}
	}
}

// Rows in another order give the same names, and what is given is fit to be
// sent: every name is in its zone, in lower case.
func TestNamesOrder(t *testing.T) {
	want, err := json.Marshal(Names(named()))
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		in := named()
		shuffle(in.VPCs, in.Subnets)
		shuffle(in.Interfaces, in.CloudMapInstances)
		shuffle(in.CloudMapServices, in.RestAPIs)
		shuffle(in.TargetHealth, in.Namespaces)
		out := Names(in)
		got, err := json.Marshal(out)
		if err != nil || string(got) != string(want) {
			t.Fatalf("%v\n%s\n%s", err, got, want)
		}
		for _, zones := range append([][]config.Zone{out.Public}, out.VPCs["vpc-1"], out.VPCs["vpc-2"]) {
			for _, z := range zones {
				for name := range z.Names {
					if name != strings.ToLower(name) || name != z.Name && !strings.HasSuffix(name, "."+z.Name) {
						t.Errorf("%s in %s", name, z.Name)
					}
				}
			}
		}
	}
}

func shuffle[A, B any](a []A, b []B) {
	rand.Shuffle(len(a), func(i, j int) { a[i], a[j] = a[j], a[i] })
	rand.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
}

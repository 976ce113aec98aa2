package topology

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// Input is the rows that are drawn, and the compiled gateway.
type Input struct {
	ServiceAccount    string // API Gateway's own
	VPCs              []*resource.VPC
	Subnets           []*resource.Subnet
	Interfaces        []*resource.NetworkInterface
	Instances         []*resource.Instance
	Services          []*resource.EndpointService
	Endpoints         []*resource.VPCEndpoint
	LoadBalancers     []*resource.LoadBalancer
	Listeners         []*resource.Listener
	Rules             []*resource.ListenerRule
	TargetGroups      []*resource.TargetGroup
	TargetHealth      []*resource.TargetHealth
	LinksV1           []*resource.VPCLinkV1
	LinksV2           []*resource.VPCLinkV2
	Namespaces        []*resource.CloudMapNamespace
	CloudMapServices  []*resource.CloudMapService
	CloudMapInstances []*resource.CloudMapInstance
	VPNGateways       []*resource.VPNGateway
	DXConnections     []*resource.DXConnection
	VirtualInterfaces []*resource.VirtualInterface
	BGPSessions       []*resource.BGPSession
	Gateway           config.Config
}

// Build makes the graph. The result is the same for the same rows in whatever
// order.
func Build(in Input) Graph {
	b := &builder{in: in, nodes: map[string]bool{}, edges: map[Edge]bool{}, places: map[place]string{}, balancers: map[string]*resource.LoadBalancer{}}
	for _, lb := range in.LoadBalancers {
		b.balancers[lb.ARN] = lb
	}
	b.networks()
	b.balance()
	b.privateLink()
	b.cloudMap()
	b.links()
	b.onPremises()
	b.apis()
	b.graph.Edges = slices.DeleteFunc(b.graph.Edges, func(e Edge) bool { return !b.nodes[e.From] || !b.nodes[e.To] })
	slices.SortStableFunc(b.graph.Nodes, func(x, y Node) int {
		return cmp.Or(cmp.Compare(x.Account, y.Account), cmp.Compare(x.Parent, y.Parent), cmp.Compare(x.Label, y.Label), cmp.Compare(x.ID, y.ID))
	})
	slices.SortFunc(b.graph.Edges, func(x, y Edge) int { return cmp.Or(cmp.Compare(x.From, y.From), cmp.Compare(x.To, y.To)) })
	return b.graph
}

type place struct {
	vpc     string
	address netip.Addr
}

type builder struct {
	in        Input
	graph     Graph
	nodes     map[string]bool
	edges     map[Edge]bool
	places    map[place]string // hosts and load balancers by address
	balancers map[string]*resource.LoadBalancer
}

func (b *builder) add(n Node) {
	if !b.nodes[n.ID] {
		b.nodes[n.ID] = true
		b.graph.Nodes = append(b.graph.Nodes, n)
	}
}

func (b *builder) join(from, to string, s State) {
	if e := (Edge{from, to, s}); from != "" && to != "" && !b.edges[e] {
		b.edges[e] = true
		b.graph.Edges = append(b.graph.Edges, e)
	}
}

func (b *builder) networks() {
	for _, v := range b.in.VPCs {
		if v.Account == b.in.ServiceAccount {
			continue
		}
		b.account(v.Account)
		var cidrs []string
		for _, c := range v.CIDRs {
			cidrs = append(cidrs, c.String())
		}
		b.add(Node{ID: v.ID, Kind: VPC, Label: named("VPC", v.Tags, v.ID), Detail: strings.Join(cidrs, ", "), Parent: v.Account, Account: v.Account})
	}
	for _, s := range b.in.Subnets {
		if s.Account != b.in.ServiceAccount {
			b.add(Node{ID: s.ID, Kind: Subnet, Label: named("subnet", s.Tags, s.ID), Detail: s.CIDR.String() + " " + s.Zone, Parent: s.VPC, Account: s.Account})
		}
	}
	names := map[string]string{}
	for _, i := range b.in.Instances {
		names[i.Interface] = cmp.Or(i.Tags["Name"], i.ID)
	}
	for _, e := range b.in.Interfaces {
		if e.Account == b.in.ServiceAccount || e.Attachment == nil || e.Requester != "" || len(e.Addresses) == 0 {
			continue
		}
		b.add(Node{
			ID: e.ID, Kind: Host, Label: cmp.Or(names[e.ID], e.Tags["Name"], e.ID), Detail: e.Addresses[0].String(),
			Parent: e.Subnet, Account: e.Account, Interfaces: []string{e.ID},
		})
		for _, a := range e.Addresses {
			b.places[place{e.VPC, a}] = e.ID
		}
	}
}

func (b *builder) account(id string) {
	b.add(Node{ID: id, Kind: Account, Label: "account " + id, Account: id})
}

func named(kind string, tags map[string]string, id string) string {
	if name := tags["Name"]; name != "" {
		return kind + " " + name + " " + id
	}
	return kind + " " + id
}

func (b *builder) balance() {
	kinds := map[string]string{"network": "NLB", resource.ApplicationLoadBalancer: "ALB"}
	for _, lb := range b.in.LoadBalancers {
		n := Node{ID: lb.ARN, Kind: Balancer, Label: kinds[lb.Type] + " " + lb.Name, State: Waiting, Parent: lb.VPC, Account: lb.Account}
		if lb.State == "active" {
			n.State = Good
		}
		var at []string
		for _, z := range lb.Zones {
			n.Interfaces = append(n.Interfaces, z.Interface)
			at = append(at, z.Address.String())
			b.places[place{lb.VPC, z.Address}] = lb.ARN
		}
		n.Detail = strings.Join(at, ", ")
		b.add(n)
	}
	groups := map[string]*resource.TargetGroup{}
	for _, g := range b.in.TargetGroups {
		groups[g.ARN] = g
	}
	health := map[string]string{}
	for _, h := range b.in.TargetHealth {
		health[h.Key()] = h.State
	}
	rules := map[string][]string{}
	for _, r := range b.in.Rules {
		rules[r.Listener] = append(rules[r.Listener], resource.TargetGroups(r.Actions)...)
	}
	for _, l := range b.in.Listeners {
		lb := b.balancers[l.LoadBalancer]
		if lb == nil {
			continue
		}
		targets, healthy := 0, 0
		for _, arn := range append(resource.TargetGroups(l.DefaultActions), rules[l.ARN]...) {
			g := groups[arn]
			if g == nil {
				continue
			}
			for _, t := range g.Targets {
				s := targetState(health[resource.TargetHealthKey(g.ARN, t.ID, t.Port)], t)
				if targets++; s == Good {
					healthy++
				}
				b.join(l.ARN, b.places[place{g.VPC, t.Address}], s)
			}
		}
		n := Node{ID: l.ARN, Kind: Listener, Label: fmt.Sprintf("%s:%d", l.Protocol, l.Port), Parent: lb.ARN, Account: lb.Account, State: Good}
		if n.Detail = fmt.Sprintf("%d of %d healthy", healthy, targets); healthy == 0 {
			n.State = Bad
		}
		b.add(n)
	}
}

func targetState(health string, t resource.Target) State {
	switch {
	case t.DrainingUntil != 0 || health == "initial" || health == "":
		return Waiting
	case health == "healthy":
		return Good
	}
	return Bad
}

func (b *builder) privateLink() {
	links := map[string]string{} // endpoint service to link
	for _, l := range b.in.LinksV1 {
		links[l.Service] = l.ID
	}
	for _, s := range b.in.Services {
		if s.AWS != "" || len(s.LoadBalancers) == 0 || b.balancers[s.LoadBalancers[0]] == nil {
			continue
		}
		b.add(Node{ID: s.ID, Kind: Service, Label: "endpoint service " + s.ID, Parent: b.balancers[s.LoadBalancers[0]].VPC, Account: s.Account})
		for _, arn := range s.LoadBalancers {
			b.join(s.ID, arn, Good)
		}
		b.join(links[s.ID], s.ID, Good)
	}
	for _, e := range b.in.Endpoints {
		if e.Account == b.in.ServiceAccount {
			continue
		}
		n := Node{ID: e.ID, Kind: Endpoint, Label: "endpoint " + e.ID, Detail: string(e.State), State: endpointState(e.State), Parent: e.VPC, Account: e.Account, Interfaces: e.Interfaces}
		b.add(n)
		to := e.Service
		if e.AWS != "" {
			to = executeAPI
			b.add(Node{ID: executeAPI, Kind: ExecuteAPI, Label: "execute-api", Detail: "private APIs"})
		}
		b.join(e.ID, to, n.State)
	}
}

// executeAPI is the node where endpoints for private APIs lead.
const executeAPI = "execute-api"

func endpointState(s resource.EndpointState) State {
	switch s {
	case resource.EndpointAvailable:
		return Good
	case resource.EndpointPending, resource.EndpointPendingAcceptance:
		return Waiting
	}
	return Bad
}

func (b *builder) cloudMap() {
	instances := map[string][]*resource.CloudMapInstance{}
	for _, i := range b.in.CloudMapInstances {
		instances[i.Service] = append(instances[i.Service], i)
	}
	namespaces := map[string]string{} // to VPC, of those that have one
	for _, n := range b.in.Namespaces {
		namespaces[n.ID] = n.VPC
	}
	for _, s := range b.in.CloudMapServices {
		// A service is in no VPC: it is drawn where its first instance is, else
		// in the VPC of its namespace, else in its account.
		vpc := ""
		for _, v := range b.in.VPCs {
			for _, i := range instances[s.ID] {
				a, ok := i.Address()
				if host := b.places[place{v.ID, a.Addr()}]; ok && host != "" && v.Account == s.Account && (vpc == "" || vpc == v.ID) {
					vpc = v.ID
					state := Good
					if s.CustomHealth && i.Unhealthy {
						state = Bad
					}
					b.join(s.ID, host, state)
				}
			}
		}
		if vpc == "" {
			vpc = namespaces[s.Namespace]
		}
		if !b.nodes[vpc] {
			b.account(s.Account)
			vpc = s.Account
		}
		b.add(Node{ID: s.ID, Kind: CloudMap, Label: "Cloud Map " + s.Name, Detail: fmt.Sprintf("%d instances", len(instances[s.ID])), Parent: vpc, Account: s.Account})
	}
}

func linkState(s resource.VPCLinkStatus) State {
	switch s {
	case resource.VPCLinkAvailable:
		return Good
	case resource.VPCLinkFailed:
		return Bad
	}
	return Waiting
}

func (b *builder) links() {
	endpoints := map[string]*resource.VPCEndpoint{}
	for _, e := range b.in.Endpoints {
		endpoints[e.ID] = e
	}
	for _, l := range b.in.LinksV1 {
		n := Node{ID: l.ID, Kind: Link, Label: "VPC link v1 " + l.Name + " " + l.ID, Detail: string(l.Status) + ", PrivateLink", State: linkState(l.Status), Account: l.Account}
		if e := endpoints[l.Endpoint]; e != nil {
			if n.Interfaces = e.Interfaces; e.State != resource.EndpointAvailable {
				n.Detail, n.State = string(l.Status)+", endpoint "+string(e.State), endpointState(e.State)
			}
		}
		b.add(n)
	}
	for _, l := range b.in.LinksV2 {
		n := Node{ID: l.ID, Kind: Link, Label: "VPC link v2 " + l.Name + " " + l.ID, Detail: string(l.Status) + ", VPC-to-VPC NAT", State: linkState(l.Status), Account: l.Account}
		end := Node{ID: l.ID + "/end", Kind: LinkEnd, Label: "interfaces of " + cmp.Or(l.Name, l.ID), Detail: strings.Join(l.Groups, ", "), Parent: l.VPC, Account: l.Account}
		for _, p := range l.Interfaces {
			n.Interfaces = append(n.Interfaces, p.Provider)
			end.Interfaces = append(end.Interfaces, p.Customer)
		}
		b.add(n)
		b.add(end)
		b.join(n.ID, end.ID, n.State)
	}
}

func (b *builder) apis() {
	for _, a := range b.in.Gateway.APIs {
		kind := string(a.Kind)
		if a.EndpointType == "PRIVATE" {
			kind = "private " + kind
		}
		b.add(Node{ID: a.ID, Kind: API, Label: kind + " API " + a.Name + " " + a.ID, Account: a.Account})
		if a.EndpointType == "PRIVATE" {
			b.join(executeAPI, a.ID, Good)
		}
		for _, s := range a.Stages {
			for _, r := range s.Routes {
				id := a.ID + "/" + s.Name + "/" + r.Key
				n := Node{ID: id, Kind: Route, Label: s.Name + "  " + r.Key, Parent: a.ID, Account: a.Account}
				if i := r.Integration; i != nil {
					b.wayOf(&n, i)
				}
				b.add(n)
			}
		}
	}
}

// wayOf joins a route with its link, and the link's end with what it leads to.
func (b *builder) wayOf(n *Node, i *config.Integration) {
	u, ok := b.in.Gateway.Upstreams[i.Upstream]
	if !ok {
		n.Detail = string(i.Type)
		return
	}
	state := Good
	if u.Cause != "" {
		state, n.State = Bad, Bad
	}
	b.join(n.ID, u.Link, state)
	if u.Version != 2 {
		return
	}
	if u.LoadBalancer != "" {
		b.join(u.Link+"/end", u.LoadBalancer, state)
		return
	}
	_, uri, _ := strings.Cut(i.Upstream, "/")
	if j := strings.LastIndexByte(uri, ':'); j > 0 {
		uri = uri[:j]
	}
	if t, ok := resource.ParseCloudMapTarget(uri); ok {
		b.join(u.Link+"/end", t.Service, state)
	}
}

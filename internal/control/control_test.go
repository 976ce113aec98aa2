package control

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/service/ec2"
	"github.com/isthmus-net/isthmus/internal/service/elbv2"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/tables"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	wireec2 "github.com/isthmus-net/isthmus/internal/wire/ec2"
	wireelbv2 "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

const (
	account = "111111111111"
	region  = "us-east-1"
)

// plant is a controller with a node that applies tables only when it may.
type plant struct {
	t  *testing.T
	db *store.DB
	// socket is where other roles may subscribe.
	socket string
	gate   chan struct{} // a value lets the node apply one more
	nodes  chan *tables.Tables
}

func newPlant(t *testing.T) *plant {
	ctx, cancel := context.WithCancel(t.Context())
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	db, err := store.Open(ctx, store.Config{Dir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Update(ctx, func(tx *store.Tx) error { return vpc.EnsureServiceVPC(tx, region) }); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "feed.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := feed.NewServer(feed.Options{Log: log})
	apis, err := ensureAuthority(ctx, db, region, resource.APIs, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificates, err := ensureAuthority(ctx, db, region, resource.Certificates, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := &controller{db: db, feed: server, region: region, log: log, published: map[feed.Role]publication{}, gatewayCertificates: &gatewayCertificates{Authority: apis, region: region}, certificates: certificates}
	c.serveRequests()
	p := &plant{t: t, db: db, socket: socket, gate: make(chan struct{}, 1000), nodes: make(chan *tables.Tables, 1000)}
	node := feed.Dial(feed.ClientOptions{
		Path: socket, Role: roleNode, Log: log,
		OnConfig: func(ctx context.Context, _ int64, config json.RawMessage) error {
			select {
			case <-p.gate:
			case <-ctx.Done():
				return ctx.Err()
			}
			var got tables.Tables
			if err := json.Unmarshal(config, &got); err != nil {
				return err
			}
			p.nodes <- &got
			return nil
		},
	})
	done := make(chan error, 3)
	go func() { done <- server.Serve(l) }()
	go func() { done <- c.run(ctx) }()
	go func() { done <- node.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		server.Close()
		for range cap(done) {
			<-done
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// until waits for a snapshot that holds.
func (p *plant) until(what string, holds func(*store.Snapshot) bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	for s := range p.db.Watch(ctx) {
		if holds(s) {
			return
		}
	}
	p.t.Fatalf("never: %s", what)
}

// balancer makes a VPC with a load balancer and returns the balancer's ARN and
// the subnet.
func (p *plant) balancer() (arn, subnet string) {
	p.t.Helper()
	ctx := wire.WithCaller(p.t.Context(), wire.Caller{Account: account, Region: region})
	services := ec2.New(p.db)
	v, err := services.CreateVpc(ctx, &wireec2.CreateVpcInput{CidrBlock: wire.Ptr("10.0.0.0/16")})
	if err != nil {
		p.t.Fatal(err)
	}
	s, err := services.CreateSubnet(ctx, &wireec2.CreateSubnetInput{VpcId: v.Vpc.VpcId, CidrBlock: wire.Ptr("10.0.1.0/24"), AvailabilityZone: wire.Ptr("us-east-1b")})
	if err != nil {
		p.t.Fatal(err)
	}
	lb, err := elbv2.New(p.db, elbv2.Options{}).CreateLoadBalancer(ctx, &wireelbv2.CreateLoadBalancerInput{
		Name: wire.Ptr("lb"), Type: wire.Ptr("network"), Scheme: wire.Ptr("internal"), Subnets: []string{*s.Subnet.SubnetId},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return *lb.LoadBalancers[0].LoadBalancerArn, *s.Subnet.SubnetId
}

// application makes an Application Load Balancer in a subnet, and in another that
// it makes for it.
func (p *plant) application(subnet string) *resource.LoadBalancer {
	p.t.Helper()
	ctx := wire.WithCaller(p.t.Context(), wire.Caller{Account: account, Region: region})
	first, _ := store.Subnets.Get(p.db.View(), subnet)
	second, err := ec2.New(p.db).CreateSubnet(ctx, &wireec2.CreateSubnetInput{VpcId: &first.VPC, CidrBlock: wire.Ptr("10.0.2.0/24"), AvailabilityZone: wire.Ptr("us-east-1a")})
	if err != nil {
		p.t.Fatal(err)
	}
	made, err := elbv2.New(p.db, elbv2.Options{}).CreateLoadBalancer(ctx, &wireelbv2.CreateLoadBalancerInput{
		Name: wire.Ptr("app"), Scheme: wire.Ptr("internal"), Subnets: []string{subnet, *second.Subnet.SubnetId},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	row, _ := store.LoadBalancers.Get(p.db.View(), *made.LoadBalancers[0].LoadBalancerArn)
	return row
}

func (p *plant) put(fn func(tx *store.Tx)) {
	p.t.Helper()
	if _, err := p.db.Update(p.t.Context(), func(tx *store.Tx) error { fn(tx); return nil }); err != nil {
		p.t.Fatal(err)
	}
}

// TestV1LinkIsAvailableWhenPacketsCanFlow: what a link consists of is made,
// and its state waits for the node.
func TestV1LinkIsAvailableWhenPacketsCanFlow(t *testing.T) {
	p := newPlant(t)
	arn, _ := p.balancer()
	meta := resource.Meta{Account: account, Region: region}
	p.put(func(tx *store.Tx) {
		store.VPCLinksV1.Put(tx, &resource.VPCLinkV1{Meta: meta, ID: "abc123", Name: "v1", TargetARNs: []string{arn}, Status: resource.VPCLinkPending})
	})
	var service *resource.EndpointService
	var endpoint *resource.VPCEndpoint
	p.until("the link's endpoint", func(s *store.Snapshot) bool {
		l, _ := store.VPCLinksV1.Get(s, "abc123")
		service, _ = store.EndpointServices.Get(s, l.Service)
		endpoint, _ = store.VPCEndpoints.Get(s, l.Endpoint)
		if l.Status != resource.VPCLinkPending {
			t.Fatalf("%s while the node has applied nothing", l.Status)
		}
		return service != nil && endpoint != nil
	})
	if service.Account != account || !slices.Equal(service.AllowedPrincipals, []string{"arn:aws:iam::392220576650:root"}) {
		t.Errorf("endpoint service %+v", service)
	}
	if endpoint.Account != vpc.ServiceAccount(region) || len(endpoint.Interfaces) != 1 {
		t.Errorf("endpoint %+v: want one interface, in the balancer's zone, in API Gateway's account", endpoint)
	}
	for range cap(p.gate) {
		p.gate <- struct{}{}
	}
	p.until("AVAILABLE", func(s *store.Snapshot) bool {
		l, _ := store.VPCLinksV1.Get(s, "abc123")
		e, _ := store.VPCEndpoints.Get(s, endpoint.ID)
		return l.Status == resource.VPCLinkAvailable && l.StatusMessage == linkV1Ready && e.State == resource.EndpointAvailable
	})

	p.put(func(tx *store.Tx) {
		store.VPCLinksV1.Put(tx, &resource.VPCLinkV1{Meta: meta, ID: "def456", Name: "again", TargetARNs: []string{arn}, Status: resource.VPCLinkPending})
	})
	p.until("the second link to the balancer fails", func(s *store.Snapshot) bool {
		l, _ := store.VPCLinksV1.Get(s, "def456")
		return l.Status == resource.VPCLinkFailed && l.StatusMessage == linkNLBInUse
	})

	p.put(func(tx *store.Tx) {
		l, _ := store.VPCLinksV1.Get(tx, "abc123")
		l.Status = resource.VPCLinkDeleting
		store.VPCLinksV1.Put(tx, l)
	})
	p.until("nothing is left", func(s *store.Snapshot) bool {
		_, link := store.VPCLinksV1.Get(s, "abc123")
		_, offered := store.EndpointServices.Get(s, service.ID)
		return !link && !offered && len(store.VPCEndpoints.List(s)) == 0
	})
}

// TestV2LinkIsPairsOfInterfaces: one pair a subnet, the customer's under the
// VPC's default group when none is given, both gone with the link.
func TestV2LinkIsPairsOfInterfaces(t *testing.T) {
	p := newPlant(t)
	for range cap(p.gate) {
		p.gate <- struct{}{}
	}
	_, subnet := p.balancer()
	before := len(store.NetworkInterfaces.List(p.db.View()))
	p.put(func(tx *store.Tx) {
		s, _ := store.Subnets.Get(tx, subnet)
		store.VPCLinksV2.Put(tx, &resource.VPCLinkV2{
			Meta: resource.Meta{Account: account, Region: region}, ID: "abc123", Name: "v2",
			Subnets: []string{subnet}, VPC: s.VPC, Status: resource.VPCLinkPending,
		})
	})
	p.until("AVAILABLE", func(s *store.Snapshot) bool {
		l, _ := store.VPCLinksV2.Get(s, "abc123")
		if l.Status != resource.VPCLinkAvailable {
			return false
		}
		customer, _ := store.NetworkInterfaces.Get(s, l.Interfaces[0].Customer)
		provider, _ := store.NetworkInterfaces.Get(s, l.Interfaces[0].Provider)
		network, _ := vpc.ServiceVPC(s, region)
		v, _ := store.VPCs.Get(s, l.VPC)
		if customer.Subnet != subnet || !slices.Equal(customer.Groups, []string{v.DefaultGroup}) || customer.Tags["VpcLinkId"] != l.ID {
			t.Errorf("customer's interface %+v", customer)
		}
		if provider.NAT != customer.ID || provider.Carrier != network.Gateway.ID || provider.VPC != network.VPC.ID {
			t.Errorf("provider's interface %+v", provider)
		}
		return true
	})
	p.put(func(tx *store.Tx) {
		l, _ := store.VPCLinksV2.Get(tx, "abc123")
		l.Status = resource.VPCLinkDeleting
		store.VPCLinksV2.Put(tx, l)
	})
	p.until("nothing is left", func(s *store.Snapshot) bool {
		_, link := store.VPCLinksV2.Get(s, "abc123")
		return !link && len(store.NetworkInterfaces.List(s)) == before
	})
}

// TestApplicationLoadBalancerIsActiveWhenItsNodesServe: its state waits for the
// processes of all of its nodes.
func TestApplicationLoadBalancerIsActiveWhenItsNodesServe(t *testing.T) {
	p := newPlant(t)
	for range cap(p.gate) {
		p.gate <- struct{}{}
	}
	arn, subnet := p.balancer() // of a Network Load Balancer, which waits for none
	row := p.application(subnet)
	app := row.ARN
	released := make(chan struct{})
	p.subscribe(albRole(row.Zones[0].Interface), func(context.Context) {})
	p.subscribe(albRole(row.Zones[1].Interface), func(ctx context.Context) {
		select {
		case <-released:
		case <-ctx.Done():
		}
	})
	p.until("the other balancer is active", func(s *store.Snapshot) bool {
		if l, _ := store.LoadBalancers.Get(s, app); l.State != "provisioning" {
			t.Fatalf("%s while a node has applied nothing", l.State)
		}
		l, _ := store.LoadBalancers.Get(s, arn)
		return l.State == "active"
	})
	close(released)
	p.until("the balancer is active", func(s *store.Snapshot) bool {
		l, _ := store.LoadBalancers.Get(s, app)
		return l.State == "active"
	})
}

package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestChain: a load balancer whose target is an interface endpoint into another
// account: three accounts behind one version 1 link, API Gateway's among them,
// and one packet path.
func TestChain(t *testing.T) {
	m := start(t)
	b := site(t, m, accountB, machine.SiteOptions{Locations: slowLocation})
	sum := putSlow(t, b)
	open := addGroup(t, b, "open")
	allow(t, b, open, fromCIDR("tcp", 0, 65535, "10.0.1.0/24"))
	proxied := buildProxied(t)
	reader := addHost(t, m, accountB, b.Subnet, open, []string{"--private-ip", "10.0.1.20"}, proxied, "serve")
	addListener(t, b, 8080, reader.address, 80, true)
	service, name := offer(t, b, false, accountA)

	a, client := consumer(t, m, accountA)
	endpoint, address := connect(t, a, name)
	endpointBecomes(t, a, endpoint, "available")
	addBalancer(t, a, "between")
	a.TargetGroup = addListener(t, a, 80, address, 80, false)
	addListener(t, a, 8080, address, 8080, true)
	v1 := overV1(t, a)

	t.Run("the endpoint's rules speak of the balancer's node", func(t *testing.T) {
		traces(t, client, a.Node, "sg-ingress")
		allow(t, a, defaultGroup(t, a), fromCIDR("tcp", 0, 65535, a.Node+"/32"))
	})
	t.Run("health checks go the whole way", func(t *testing.T) { targetBecomes(t, a, "healthy") })
	t.Run("an API, an account between, and a backend that sees its own balancer", func(t *testing.T) {
		answers(t, m, v1.URL+"/pets", 200, fmt.Sprintf("%s %s /pets", accountB, b.Node))
		sees(t, client, a.Node, b.Node)
		traces(t, client, a.Node, "forwarded")
	})
	t.Run("10,000 requests over 64 connections", func(t *testing.T) { many(t, m, v1.URL+"/many", 10000, 64) })
	t.Run("10 MB up and down", func(t *testing.T) { tenMegabytes(t, m, v1.URL) })
	t.Run("each balancer tells of its client", func(t *testing.T) {
		told, port := client.called(t, "http://"+a.Node+":8080/")
		want := fmt.Sprintf("%s:%s %s:8080 %s\n%s:%s %s:8080", a.Node, port, address, endpoint, client.address, port, a.Node)
		if told != want {
			t.Errorf("the headers say\n%s\nwant\n%s", told, want)
		}
	})
	t.Run("an established flow goes on under new tables, and ends with its target", func(t *testing.T) {
		x, y := download(t, client, a.Node), download(t, client, a.Node)
		addGroup(t, a, "another")
		x.complete(t, sum)
		y.complete(t, sum)
		z := download(t, client, a.Node)
		if _, err := b.AWS.EC2.RejectVpcEndpointConnections(t.Context(), &ec2.RejectVpcEndpointConnectionsInput{
			ServiceId: &service, VpcEndpointIds: []string{endpoint},
		}); err != nil {
			t.Fatal(err)
		}
		z.isReset(t)
		traces(t, client, a.Node, "not-accepted")
		answers(t, m, v1.URL+"/pets", 500, "")
		m.Logged(t, "not-accepted: the connection of endpoint "+endpoint)
	})
	t.Run("a circle has an end", func(t *testing.T) {
		addBalancer(t, a, "circle")
		_, own := offer(t, a, false, accountA)
		id, at := connect(t, a, own)
		endpointBecomes(t, a, id, "available")
		addListener(t, a, 9000, at, 9000, false)
		allow(t, a, defaultGroup(t, a), fromCIDR("tcp", 9000, 9000, "10.0.1.0/24"))
		var out string
		err := machine.Until(t.Context(), patience, func() (bool, string, error) {
			var err error
			out, err = machine.Output(m.Isthmus(t.Context(), "trace", "--from", client.eni, "--to", a.Node+":9000"))
			var failed *exec.ExitError
			if err != nil && !errors.As(err, &failed) {
				return false, "", err
			}
			return strings.Contains(out, "too-many-hops: "), out, nil
		})
		if err != nil {
			t.Error(err)
		}
		becomes(t, false, func() *exec.Cmd { return client.curl(t.Context(), "http://"+a.Node+":9000/") })
	})
}

// defaultGroup is the default group of a site's VPC.
func defaultGroup(t *testing.T, s *machine.Site) string {
	t.Helper()
	g, err := s.AWS.EC2.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{Filters: []ec2types.Filter{
		{Name: aws.String("vpc-id"), Values: []string{s.VPC}}, {Name: aws.String("group-name"), Values: []string{"default"}},
	}})
	if err != nil || len(g.SecurityGroups) != 1 {
		t.Fatalf("default groups: %+v, %v", g, err)
	}
	return *g.SecurityGroups[0].GroupId
}

// addBalancer gives a site another load balancer.
func addBalancer(t *testing.T, s *machine.Site, name string, groups ...string) {
	t.Helper()
	lb, err := s.AWS.ELB.CreateLoadBalancer(t.Context(), &elbv2.CreateLoadBalancerInput{
		Name: &name, Type: elbtypes.LoadBalancerTypeEnumNetwork,
		Scheme: elbtypes.LoadBalancerSchemeEnumInternal, Subnets: []string{s.Subnet}, SecurityGroups: groups,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.LoadBalancer = *lb.LoadBalancers[0].LoadBalancerArn
	n, err := s.AWS.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: aws.String("description"), Values: []string{"ELB net/" + name + "/*"}},
	}})
	if err != nil || len(n.NetworkInterfaces) != 1 {
		t.Fatalf("nodes: %+v, %v", n, err)
	}
	s.Node = *n.NetworkInterfaces[0].PrivateIpAddress
}

package article

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// offer makes an endpoint service of a new load balancer of its own, for
// accounts that are accepted by hand or at once.
func offer(t *testing.T, s *machine.Site, acceptance bool, accounts ...string) (id, name string) {
	t.Helper()
	c := must(s.AWS.EC2.CreateVpcEndpointServiceConfiguration(t.Context(), &ec2.CreateVpcEndpointServiceConfigurationInput{
		NetworkLoadBalancerArns: []string{s.LoadBalancer}, AcceptanceRequired: &acceptance,
	}))(t).ServiceConfiguration
	for _, a := range accounts {
		must(s.AWS.EC2.ModifyVpcEndpointServicePermissions(t.Context(), &ec2.ModifyVpcEndpointServicePermissionsInput{
			ServiceId: c.ServiceId, AddAllowedPrincipals: []string{"arn:aws:iam::" + a + ":root"},
		}))(t)
	}
	return *c.ServiceId, *c.ServiceName
}

// consumer is a new VPC of an account that has an endpoint to a service.
func consumer(t *testing.T, m *machine.Machine, account, service string) *network {
	t.Helper()
	n := must(newNetwork(t.Context(), m, account))(t)
	n.subnets = n.subnets[:1]
	if err := n.connect(t.Context(), service, 80); err != nil {
		t.Fatal(err)
	}
	return n
}

// newSite is a site of its own, for tests that change it.
func newSite(t *testing.T, w *world, account string) *machine.Site {
	t.Helper()
	return must(w.m.Site(t.Context(), w.m.AWS(account), machine.SiteOptions{}))(t)
}

// TestArticleServiceOfAnotherCustomer: "AWS PrivateLink allows access to AWS
// services and services hosted by other AWS customers […]. Since the service is
// exposed via a private IP address, all communication is virtually local and
// private. […] VPC endpoint services allow for sharing a specific service
// located inside the provider's VPC by extending a virtual connection via an
// elastic network interface in the consumer's VPC."
func TestArticleServiceOfAnotherCustomer(t *testing.T) {
	w := theWorld(t)
	s := newSite(t, w, "411111111111")
	_, name := offer(t, s, false, callers, strangers)
	for _, account := range []string{callers, strangers} { // who have the same addresses as the provider
		n := consumer(t, w.m, account, name)
		becomes(t, answer(s, s.Node, "/shared"), func() string { return n.curl(t, "http://"+n.addresses[0]+"/shared") })
		nobody(t, "another port of the endpoint", n.curl(t, "http://"+n.addresses[0]+":81/", "-m", "1"))
		nobody(t, "the backend, which is not shared", n.curl(t, "http://"+machine.BackendAddress+"/", "-m", "1"))
	}
}

// TestArticleEndpointIsACollectionOfInterfaces: "An interface VPC endpoint […]
// represents a collection of one or more elastic network interfaces. This is
// the entry point that allows for connecting to services powered by AWS
// PrivateLink."
func TestArticleEndpointIsACollectionOfInterfaces(t *testing.T) {
	w := theWorld(t)
	api := privateAPI(t, w, w.caller.endpoint)
	for i, address := range w.caller.addresses {
		becomes(t, "200 "+w.caller.endpoint+" 10.0.1.77", func() string {
			return curlFrom(t, w.caller, "10.0.1.77", "--cacert", w.trust, "--connect-to", "::"+address+":", "https://"+api+"."+domain+"/prod/seen")
		})
		if i == 0 && address == w.caller.addresses[1] {
			t.Errorf("both subnets have the address %s", address)
		}
	}
}

// TestArticleProviderApproves: "Before establishing any AWS PrivateLink
// connection, the service provider must approve the connection request."
func TestArticleProviderApproves(t *testing.T) {
	w := theWorld(t)
	s := newSite(t, w, "412222222222")
	service, name := offer(t, s, true, callers)
	n := must(newNetwork(t.Context(), w.m, strangers))(t)
	refused(t, n.connect(t.Context(), name, 80), "InvalidServiceName") // not on the list

	n = consumer(t, w.m, callers, name)
	ask := func() string { return n.curl(t, "http://"+n.addresses[0]+"/") }
	nobody(t, "before it is approved", ask())
	must(s.AWS.EC2.AcceptVpcEndpointConnections(t.Context(), &ec2.AcceptVpcEndpointConnectionsInput{
		ServiceId: &service, VpcEndpointIds: []string{n.endpoint},
	}))(t)
	becomes(t, answer(s, s.Node, "/"), ask)
	must(s.AWS.EC2.RejectVpcEndpointConnections(t.Context(), &ec2.RejectVpcEndpointConnectionsInput{
		ServiceId: &service, VpcEndpointIds: []string{n.endpoint},
	}))(t)
	becomes(t, "", ask)
}

// TestArticleManyConnectionsToOneEndpoint: "A service endpoint in AWS
// PrivateLink allows for multiple connections to a single endpoint (the NLB)".
func TestArticleManyConnectionsToOneEndpoint(t *testing.T) {
	w := theWorld(t)
	s := newSite(t, w, "413333333333")
	service, name := offer(t, s, false, callers, strangers)
	consumers := []*network{consumer(t, w.m, callers, name), consumer(t, w.m, callers, name), consumer(t, w.m, strangers, name)}
	var connected []string
	for _, n := range consumers {
		becomes(t, answer(s, s.Node, "/"), func() string { return n.curl(t, "http://"+n.addresses[0]+"/") })
		connected = append(connected, n.endpoint)
	}
	c := must(s.AWS.EC2.DescribeVpcEndpointConnections(t.Context(), &ec2.DescribeVpcEndpointConnectionsInput{
		Filters: []ec2types.Filter{{Name: aws.String("service-id"), Values: []string{service}}},
	}))(t).VpcEndpointConnections
	for _, x := range c {
		if !slices.Contains(connected, *x.VpcEndpointId) || x.VpcEndpointState != "available" || !slices.Equal(x.NetworkLoadBalancerArns, []string{s.LoadBalancer}) {
			t.Errorf("connection %+v", x)
		}
	}
	if len(c) != len(connected) {
		t.Errorf("%d connections of %d consumers", len(c), len(connected))
	}
}

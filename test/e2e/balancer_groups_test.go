package e2e

import (
	"testing"

	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestBalancerGroups: the rules of a load balancer's security groups speak of
// PrivateLink's clients by their own addresses, unless that is turned off.
func TestBalancerGroups(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{})
	front := addGroup(t, a, "front")
	addBalancer(t, a, "guarded", front)
	addListener(t, a, 80, machine.BackendAddress, 80, false)
	b, bob := consumer(t, m, accountB)
	_, name := offer(t, a, false, accountB)
	endpoint, at := connect(t, b, name)
	endpointBecomes(t, b, endpoint, "available")

	enforce := func(value elbtypes.EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnum) {
		t.Helper()
		if _, err := a.AWS.ELB.SetSecurityGroups(t.Context(), &elbv2.SetSecurityGroupsInput{
			LoadBalancerArn: &a.LoadBalancer, SecurityGroups: []string{front}, EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: value,
		}); err != nil {
			t.Fatal(err)
		}
	}
	becomes(t, false, bob.curlTo(t, at))
	traces(t, bob, at, "sg-ingress")
	revoke := allow(t, a, front, fromCIDR("tcp", 80, 80, bob.address+"/32"))
	sees(t, bob, at, a.Node)
	revoke()
	becomes(t, false, bob.curlTo(t, at))
	enforce("off")
	sees(t, bob, at, a.Node)
	enforce("on")
	becomes(t, false, bob.curlTo(t, at))
}

package e2e

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	sdtypes "github.com/aws/aws-sdk-go-v2/service/servicediscovery/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// cloudMapNames looks the instances of a service up from its VPC, and from
// another one.
func cloudMapNames(t *testing.T, m *machine.Machine, s *machine.Site, inside, outside *host) {
	cm := newCloudMap(t, s) // SRV records of web.shop
	cm.register(t, "one", "10.0.1.10", "blue")
	answerIs(t, inside, "REFUSED", "web.shop", "SRV")
	m.Logged(t, "enableDnsHostnames of "+s.VPC+" is false")
	if _, err := s.AWS.EC2.ModifyVpcAttribute(t.Context(), &ec2.ModifyVpcAttributeInput{
		VpcId: &s.VPC, EnableDnsHostnames: &ec2types.AttributeBooleanValue{Value: aws.Bool(true)},
	}); err != nil {
		t.Fatal(err)
	}
	lookUp := func() []string {
		lines := strings.Split(output(t, inside.exec(t.Context(), "dig", "+short", "web.shop", "SRV")), "\n")
		slices.Sort(lines)
		return lines
	}
	becomes(t, true, func() *exec.Cmd { return inside.exec(t.Context(), "sh", "-c", "dig +short web.shop SRV | grep one") })
	// From here on an operation that has succeeded is in force.
	cm.register(t, "two", "10.0.1.20", "green")
	if got, want := lookUp(), []string{"1 1 8080 one.web.shop.", "1 1 8080 two.web.shop."}; !slices.Equal(got, want) {
		t.Errorf("web.shop: %q, want %q", got, want)
	}
	digs(t, inside, []string{"10.0.1.20"}, "two.web.shop")
	becomes(t, true, func() *exec.Cmd { return inside.curl(t.Context(), "http://one.web.shop/") })
	answerIs(t, inside, "NOERROR", "web.shop", "A")
	answerIs(t, inside, "NXDOMAIN", "three.web.shop")
	answerIs(t, outside, "REFUSED", "web.shop", "SRV")

	cm.setHealth(t, "one", sdtypes.CustomHealthStatusUnhealthy)
	digs(t, inside, []string{"1", "1", "8080", "two.web.shop."}, "web.shop", "SRV")
	cm.deregister(t, "two")
	if got, want := lookUp(), []string{"1 1 8080 one.web.shop."}; !slices.Equal(got, want) { // none is healthy
		t.Errorf("web.shop: %q, want %q", got, want)
	}
	cm.deregister(t, "one")
	answerIs(t, inside, "NXDOMAIN", "web.shop", "SRV")
}

func balancerName(t *testing.T, s *machine.Site) string {
	t.Helper()
	out, err := s.AWS.ELB.DescribeLoadBalancers(t.Context(), &elbv2.DescribeLoadBalancersInput{LoadBalancerArns: []string{s.LoadBalancer}})
	if err != nil {
		t.Fatal(err)
	}
	return *out.LoadBalancers[0].DNSName
}

// namespaceOf is the path of a host's network namespace.
func namespaceOf(t *testing.T, m *machine.Machine, h *host) string {
	t.Helper()
	for _, i := range status(t, m).Interfaces {
		if i.ID == h.eni {
			return i.Netns
		}
	}
	t.Fatalf("%s has no namespace", h.eni)
	return ""
}

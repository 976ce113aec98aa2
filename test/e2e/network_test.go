package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// consumer is an account's VPC 10.0.0.0/16 with a subnet 10.0.1.0/24, and a
// host at 10.0.1.10 in it: the addresses of every site.
func consumer(t *testing.T, m *machine.Machine, account string) (*machine.Site, *host) {
	t.Helper()
	s := &machine.Site{AWS: m.AWS(account)}
	v, err := s.AWS.EC2.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	if err != nil {
		t.Fatal(err)
	}
	s.VPC = *v.Vpc.VpcId
	s.Subnet = subnet(t, s, "10.0.1.0/24")
	return s, addHost(t, m, account, s.Subnet, "", []string{"--private-ip", machine.BackendAddress})
}

// offer makes an endpoint service of a site's load balancer, for the accounts
// named. It returns the service's id and name.
func offer(t *testing.T, s *machine.Site, acceptance bool, accounts ...string) (id, name string) {
	t.Helper()
	c, err := s.AWS.EC2.CreateVpcEndpointServiceConfiguration(t.Context(), &ec2.CreateVpcEndpointServiceConfigurationInput{
		NetworkLoadBalancerArns: []string{s.LoadBalancer}, AcceptanceRequired: &acceptance,
	})
	if err != nil {
		t.Fatal(err)
	}
	id = *c.ServiceConfiguration.ServiceId
	for _, account := range accounts {
		permit(t, s, id, account)
	}
	return id, *c.ServiceConfiguration.ServiceName
}

// permit puts an account on the list of those that may connect.
func permit(t *testing.T, s *machine.Site, service, account string) {
	t.Helper()
	_, err := s.AWS.EC2.ModifyVpcEndpointServicePermissions(t.Context(), &ec2.ModifyVpcEndpointServicePermissionsInput{
		ServiceId: &service, AddAllowedPrincipals: []string{"arn:aws:iam::" + account + ":root"},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// connect makes an interface endpoint in a site's subnet, under the VPC's
// default group, and returns its id and address.
func connect(t *testing.T, s *machine.Site, service string) (id, address string) {
	t.Helper()
	e, err := s.AWS.EC2.CreateVpcEndpoint(t.Context(), &ec2.CreateVpcEndpointInput{
		VpcId: &s.VPC, ServiceName: &service, VpcEndpointType: ec2types.VpcEndpointTypeInterface, SubnetIds: []string{s.Subnet},
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.AWS.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: e.VpcEndpoint.NetworkInterfaceIds})
	if err != nil || len(n.NetworkInterfaces) != 1 {
		t.Fatalf("network interfaces of the endpoint: %+v, %v", n, err)
	}
	return *e.VpcEndpoint.VpcEndpointId, *n.NetworkInterfaces[0].PrivateIpAddress
}

// endpointBecomes waits until an endpoint is in a state.
func endpointBecomes(t *testing.T, s *machine.Site, id, state string) {
	t.Helper()
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		e, err := s.AWS.EC2.DescribeVpcEndpoints(t.Context(), &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{id}})
		if err != nil {
			return false, "", err
		}
		got := string(e.VpcEndpoints[0].State)
		return strings.EqualFold(got, state), fmt.Sprintf("%s is %s", id, got), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// addGroup makes a security group without ingress rules.
func addGroup(t *testing.T, s *machine.Site, name string) string {
	t.Helper()
	g, err := s.AWS.EC2.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{
		GroupName: &name, Description: aws.String("group " + name), VpcId: &s.VPC,
	})
	if err != nil {
		t.Fatal(err)
	}
	return *g.GroupId
}

// allow adds an ingress rule, and returns how to revoke it.
func allow(t *testing.T, s *machine.Site, group string, rule ec2types.IpPermission) (revoke func()) {
	t.Helper()
	r, err := s.AWS.EC2.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &group, IpPermissions: []ec2types.IpPermission{rule},
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if _, err := s.AWS.EC2.RevokeSecurityGroupIngress(t.Context(), &ec2.RevokeSecurityGroupIngressInput{
			GroupId: &group, SecurityGroupRuleIds: []string{*r.SecurityGroupRules[0].SecurityGroupRuleId},
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// fromGroup and fromCIDR are rules for ports, or ICMP type and code.
func fromGroup(protocol string, from, to int32, group string) ec2types.IpPermission {
	return ec2types.IpPermission{IpProtocol: &protocol, FromPort: &from, ToPort: &to,
		UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: &group}}}
}

func fromCIDR(protocol string, from, to int32, cidr string) ec2types.IpPermission {
	return ec2types.IpPermission{IpProtocol: &protocol, FromPort: &from, ToPort: &to,
		IpRanges: []ec2types.IpRange{{CidrIp: &cidr}}}
}

// vpcs are the ids of an account's VPCs, sorted.
func vpcs(t *testing.T, a machine.AWS) []string {
	t.Helper()
	list, err := a.EC2.DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, v := range list.Vpcs {
		ids = append(ids, *v.VpcId)
	}
	slices.Sort(ids)
	return ids
}

// interfaceExists asks EC2 for a network interface.
func interfaceExists(t *testing.T, a machine.AWS, id string) bool {
	t.Helper()
	n, err := a.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{
		Filters: []ec2types.Filter{{Name: aws.String("network-interface-id"), Values: []string{id}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return len(n.NetworkInterfaces) == 1
}

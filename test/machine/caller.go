package machine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// ExecuteAPI is the service by which private APIs are called.
const ExecuteAPI = "com.amazonaws." + Region + ".execute-api"

// Caller is a network from which private APIs are called: a VPC 10.0.0.0/16
// with an interface endpoint to execute-api in two zones.
type Caller struct {
	AWS       AWS
	VPC       string
	Subnets   [2]string // 10.0.1.0/24 and 10.0.2.0/24
	Group     string    // of the endpoint: tcp/80 and tcp/443 from the VPC
	Endpoint  string    // vpce-…
	Names     []string  // of the endpoint
	Addresses [2]string // of the endpoint, by subnet
}

// Caller makes such a network, and returns when its endpoint is available.
func (m *Machine) Caller(ctx context.Context, a AWS) (*Caller, error) {
	c := &Caller{AWS: a}
	v, err := a.EC2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	if err != nil {
		return nil, err
	}
	c.VPC = *v.Vpc.VpcId
	if _, err := a.EC2.ModifyVpcAttribute(ctx, &ec2.ModifyVpcAttributeInput{
		VpcId: &c.VPC, EnableDnsHostnames: &ec2types.AttributeBooleanValue{Value: aws.Bool(true)},
	}); err != nil {
		return nil, err
	}
	for i, zone := range []string{"a", "b"} {
		s, err := a.EC2.CreateSubnet(ctx, &ec2.CreateSubnetInput{
			VpcId: &c.VPC, CidrBlock: aws.String(fmt.Sprintf("10.0.%d.0/24", i+1)), AvailabilityZone: aws.String(Region + zone),
		})
		if err != nil {
			return nil, err
		}
		c.Subnets[i] = *s.Subnet.SubnetId
	}
	g, err := a.EC2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName: aws.String("endpoint"), Description: aws.String("the endpoint"), VpcId: &c.VPC,
	})
	if err != nil {
		return nil, err
	}
	c.Group = *g.GroupId
	if _, err := a.EC2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &c.Group, IpPermissions: []ec2types.IpPermission{FromVPC(80), FromVPC(443)},
	}); err != nil {
		return nil, err
	}
	e, err := a.EC2.CreateVpcEndpoint(ctx, &ec2.CreateVpcEndpointInput{
		VpcId: &c.VPC, ServiceName: aws.String(ExecuteAPI), VpcEndpointType: ec2types.VpcEndpointTypeInterface,
		SubnetIds: c.Subnets[:], SecurityGroupIds: []string{c.Group}, PrivateDnsEnabled: aws.Bool(true),
	})
	if err != nil {
		return nil, err
	}
	c.Endpoint = *e.VpcEndpoint.VpcEndpointId
	return c, c.await(ctx)
}

// FromVPC is a rule that lets a caller's VPC in.
func FromVPC(port int32) ec2types.IpPermission {
	return ec2types.IpPermission{
		IpProtocol: aws.String("tcp"), FromPort: &port, ToPort: &port, IpRanges: []ec2types.IpRange{{CidrIp: aws.String("10.0.0.0/16")}},
	}
}

// await waits until the endpoint is available, and reads its names and
// addresses.
func (c *Caller) await(ctx context.Context) error {
	var e ec2types.VpcEndpoint
	if err := Until(ctx, 10*time.Second, func() (bool, string, error) {
		out, err := c.AWS.EC2.DescribeVpcEndpoints(ctx, &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{c.Endpoint}})
		if err != nil {
			return false, "", err
		}
		e = out.VpcEndpoints[0]
		return e.State == "available", fmt.Sprint("endpoint is ", e.State), nil
	}); err != nil {
		return err
	}
	for _, d := range e.DnsEntries {
		c.Names = append(c.Names, *d.DnsName)
	}
	n, err := c.AWS.EC2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: e.NetworkInterfaceIds})
	if err != nil {
		return err
	}
	for _, n := range n.NetworkInterfaces {
		if i := slices.Index(c.Subnets[:], *n.SubnetId); i >= 0 {
			c.Addresses[i] = *n.PrivateIpAddress
		}
	}
	return nil
}

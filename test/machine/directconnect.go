package machine

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/directconnect"
	dxtypes "github.com/aws/aws-sdk-go-v2/service/directconnect/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// OnPremises is the network of every router.
const OnPremises = "192.168.50.0/24"

// Wire is a private virtual interface of Direct Connect between a router and a
// VPC's gateway.
type Wire struct {
	ID               string // dxvif-…
	Amazon, Customer string // addresses of its ends
	vlan             int
}

// Session is what BIRD calls its session over the wire.
func (w Wire) Session() string { return fmt.Sprint("aws", w.vlan) }

// VPNGateway gives a VPC a virtual private gateway, whose routes its main route
// table takes over.
func (a AWS) VPNGateway(ctx context.Context, vpc string) (gateway string, err error) {
	g, err := a.EC2.CreateVpnGateway(ctx, &ec2.CreateVpnGatewayInput{Type: ec2types.GatewayTypeIpsec1})
	if err != nil {
		return "", err
	}
	gateway = *g.VpnGateway.VpnGatewayId
	if _, err := a.EC2.AttachVpnGateway(ctx, &ec2.AttachVpnGatewayInput{VpnGatewayId: &gateway, VpcId: &vpc}); err != nil {
		return "", err
	}
	t, err := a.RouteTable(ctx, vpc)
	if err != nil {
		return "", err
	}
	_, err = a.EC2.EnableVgwRoutePropagation(ctx, &ec2.EnableVgwRoutePropagationInput{GatewayId: &gateway, RouteTableId: t.RouteTableId})
	return gateway, err
}

// RouteTable is a VPC's main route table.
func (a AWS) RouteTable(ctx context.Context, vpc string) (t ec2types.RouteTable, err error) {
	out, err := a.EC2.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: []ec2types.Filter{
		{Name: aws.String("vpc-id"), Values: []string{vpc}}, {Name: aws.String("association.main"), Values: []string{"true"}},
	}})
	if err != nil {
		return t, err
	}
	if len(out.RouteTables) != 1 {
		return t, fmt.Errorf("%s has %d main route tables", vpc, len(out.RouteTables))
	}
	return out.RouteTables[0], nil
}

// Wire makes a virtual interface that leads to a gateway, and puts its other
// end into a router's namespace. Those of one router have different VLANs, from
// 1 to 254, which are part of their addresses.
func (m *Machine) Wire(ctx context.Context, a AWS, gateway string, r *Router, vlan int) (Wire, error) {
	w := Wire{Amazon: fmt.Sprintf("169.254.%d.1", vlan), Customer: fmt.Sprintf("169.254.%d.2", vlan), vlan: vlan}
	c, err := a.Direct.CreateConnection(ctx, &directconnect.CreateConnectionInput{
		Location: aws.String("EqDC2"), Bandwidth: aws.String("1Gbps"), ConnectionName: aws.String("office"),
	})
	if err != nil {
		return w, err
	}
	v, err := a.Direct.CreatePrivateVirtualInterface(ctx, &directconnect.CreatePrivateVirtualInterfaceInput{
		ConnectionId: c.ConnectionId,
		NewPrivateVirtualInterface: &dxtypes.NewPrivateVirtualInterface{
			VirtualInterfaceName: aws.String("office"), Vlan: int32(vlan), Asn: 65000, VirtualGatewayId: &gateway,
			AmazonAddress: aws.String(w.Amazon + "/30"), CustomerAddress: aws.String(w.Customer + "/30"),
		},
	})
	if err != nil {
		return w, err
	}
	w.ID = *v.VirtualInterfaceId
	_, err = Output(m.Isthmus(ctx, "attach", w.ID, "--netns", r.Netns))
	return w, err
}

package vpc

import (
	"fmt"
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// FunctionRange is the range of the network of programs that reach customers'
// VPCs through VPC links. No VPC of a customer's can have it: whatever address
// a program dials is one of the customer's, and never its own. (A virtual
// interface may have addresses there, if a customer asks for them.)
var FunctionRange = netip.MustParsePrefix("169.254.0.0/17")

// CreateFunction makes the two ENIs of a program outside every customer's VPC:
// one with a device, whose security group allows nothing in either direction,
// and on it the provider's side of a NAT, as which the program sends. The
// program reaches what the customer's ENI of the NAT reaches, and nothing
// reaches the program.
func CreateFunction(tx *store.Tx, region, instance, link, customer string) (*resource.NetworkInterface, error) {
	subnet, group, err := functionNetwork(tx, region)
	if err != nil {
		return nil, err
	}
	carrier, source := NewID("eni"), NewID("eni")
	n, err := CreateInterface(tx, InterfaceSpec{
		ID: carrier, Account: subnet.Account, Region: region, Subnet: subnet.ID, Groups: []string{group.ID},
		Description: "Isthmus program " + instance, Requester: "isthmus", Owner: instance,
		Attachment: &resource.Attachment{ID: NewID("eni-attach"), Instance: instance, Source: source},
	})
	if err != nil {
		return nil, err
	}
	_, err = CreateInterface(tx, InterfaceSpec{
		ID: source, Account: subnet.Account, Region: region, Subnet: subnet.ID,
		Description: "Isthmus program " + instance, Type: resource.InterfaceAPIGatewayNAT, Requester: "isthmus", Owner: link,
		NAT: customer, Carrier: carrier,
	})
	return n, err
}

// functionNetwork finds the network of programs in a region, or makes it: a
// VPC of API Gateway's account with one subnet, and a security group without
// rules.
func functionNetwork(tx *store.Tx, region string) (*resource.Subnet, *resource.SecurityGroup, error) {
	const part = "function"
	subnet, known := store.Subnets.Get(tx, serviceID("subnet", region, part))
	group, grouped := store.SecurityGroups.Get(tx, serviceID("sg", region, part))
	if known && grouped {
		return subnet, group, nil
	}
	account := ServiceAccount(region)
	v := newVPC(tx, VPCSpec{
		ID: serviceID("vpc", region, part), Account: account, Region: region, CIDR: FunctionRange,
		Tags: map[string]string{"Name": "isthmus programs"},
	})
	subnet, err := CreateSubnet(tx, SubnetSpec{
		ID: serviceID("subnet", region, part), Account: account, Region: region, VPC: v.ID, CIDR: FunctionRange,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("make network of programs in %s: %w", region, err)
	}
	return subnet, serviceGroup(tx, v, serviceID("sg", region, part), "programs"), nil
}

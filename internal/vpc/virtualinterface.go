package vpc

import (
	"fmt"

	"github.com/isthmus-net/isthmus/internal/bgp/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// ensureBGPGroups makes the security groups of the BGP process and of the nodes
// that stand for virtual interfaces, unless they exist.
//
// As with private APIs, the nodes let nothing in but what comes through a
// virtual interface: a node's address tells whose router it is.
func ensureBGPGroups(tx *store.Tx, network Service) {
	region := network.VPC.Region
	if _, ok := store.SecurityGroups.Get(tx, wireGroup(region)); ok {
		return
	}
	nodes := serviceGroup(tx, network.VPC, wireGroup(region), "virtual-interface-nodes")
	process := serviceGroup(tx, network.VPC, serviceID("sg", region, "bgp"), "bgp")
	AddRule(tx, nodes, &resource.SecurityGroupRule{Egress: true, Protocol: "tcp", From: config.Port, To: config.Port, ReferencedGroup: process.ID})
	AddRule(tx, process, &resource.SecurityGroupRule{Protocol: "tcp", From: config.Port, To: config.Port, ReferencedGroup: nodes.ID})
	network.BGP.Groups = []string{process.ID}
	store.NetworkInterfaces.Put(tx, network.BGP)
}

func wireGroup(region string) string { return serviceID("sg", region, "virtual-interface") }

// CreateVirtualInterface stores a virtual interface and makes what stands for
// it in the data plane.
func CreateVirtualInterface(tx *store.Tx, v *resource.VirtualInterface) error {
	network, ok := ServiceVPC(tx, v.Region)
	if !ok {
		return fmt.Errorf("make node of %s: region %s has no API Gateway network", v.ID, v.Region)
	}
	node, err := CreateInterface(tx, InterfaceSpec{
		Account: network.VPC.Account, Region: v.Region, Subnet: network.Subnets[0].ID, Groups: []string{wireGroup(v.Region)},
		Description: "Isthmus node of " + v.ID, Type: resource.InterfaceNLB, Requester: "isthmus", Owner: v.ID,
	})
	if err != nil {
		return err
	}
	v.Node = node.ID
	v.CustomerNumber, v.AmazonNumber = tx.Next(counterInterface), tx.Next(counterInterface)
	v.RouteTable = tx.Next(counterRouteTable)
	v.MAC = macAddress(v.CustomerNumber)
	store.VirtualInterfaces.Put(tx, v)
	return nil
}

// DeleteVirtualInterface removes a virtual interface and what stands for it.
func DeleteVirtualInterface(tx *store.Tx, v *resource.VirtualInterface) {
	DeleteInterface(tx, v.Node)
	store.BGPSessions.Delete(tx, v.ID)
	store.VirtualInterfaces.Delete(tx, v.ID)
}

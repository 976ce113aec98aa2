package vpc

import (
	"fmt"

	"github.com/isthmus-net/isthmus/internal/dns/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// ensureResolverGroups makes the security groups of the resolver's process and
// of the nodes that stand for VPCs, unless they exist.
//
// As with private APIs, the nodes let nothing in but what comes through a VPC's
// own resolver: a node's address tells which VPC asks.
func ensureResolverGroups(tx *store.Tx, network Service) {
	region := network.VPC.Region
	if _, ok := store.SecurityGroups.Get(tx, resolverGroup(region)); ok {
		return
	}
	nodes := serviceGroup(tx, network.VPC, resolverGroup(region), "resolver-nodes")
	process := serviceGroup(tx, network.VPC, serviceID("sg", region, "dns"), "dns")
	for _, protocol := range []string{"tcp", "udp"} {
		AddRule(tx, nodes, &resource.SecurityGroupRule{
			Egress: true, Protocol: protocol, From: config.Port, To: config.Port, ReferencedGroup: process.ID,
		})
		AddRule(tx, process, &resource.SecurityGroupRule{
			Protocol: protocol, From: config.Port, To: config.Port, ReferencedGroup: nodes.ID,
		})
	}
	network.Resolver.Groups = []string{process.ID}
	store.NetworkInterfaces.Put(tx, network.Resolver)
}

// maxAdded keeps AddResolvers within what etcd takes in one transaction.
const maxAdded = 30

// AddResolvers gives a resolver to VPCs of a region that have none, since they
// were made by an older version. more says that it must be called again.
func AddResolvers(tx *store.Tx, region string) (more bool, err error) {
	network, ok := ServiceVPC(tx, region)
	if !ok {
		return false, fmt.Errorf("add resolvers: region %s has no API Gateway network", region)
	}
	added := 0
	for _, v := range store.VPCs.List(tx) {
		if v.Region != region || v.Resolver != nil || v.Account == network.VPC.Account {
			continue
		}
		if added++; added > maxAdded {
			return true, nil
		}
		if err := addResolver(tx, v, network); err != nil {
			return false, err
		}
		store.VPCs.Put(tx, v)
	}
	return false, nil
}

func resolverGroup(region string) string { return serviceID("sg", region, "resolver") }

// addResolver gives a VPC its resolver; the caller stores the VPC.
func addResolver(tx *store.Tx, v *resource.VPC, network Service) error {
	node, err := CreateInterface(tx, InterfaceSpec{
		Account: network.VPC.Account, Region: v.Region, Subnet: network.Subnets[0].ID, Groups: []string{resolverGroup(v.Region)},
		Description: "Isthmus resolver of " + v.ID, Type: resource.InterfaceNLB, Requester: "isthmus", Owner: v.ID,
	})
	if err != nil {
		return fmt.Errorf("make resolver of %s: %w", v.ID, err)
	}
	v.Resolver = &resource.VPCResolver{
		Interface: StableID("eni", "resolver", v.ID), Number: tx.Next(counterInterface), Node: node.ID,
	}
	return nil
}

// DeleteVPC removes a VPC in which nothing is left but what came with it: the
// main route table, the default security group and the resolver.
func DeleteVPC(tx *store.Tx, v *resource.VPC) {
	for _, t := range store.RouteTables.List(tx) {
		if t.VPC == v.ID {
			store.RouteTables.Delete(tx, t.ID)
		}
	}
	DeleteGroup(tx, v.DefaultGroup)
	if v.Resolver != nil {
		DeleteInterface(tx, v.Resolver.Node)
	}
	store.VPCs.Delete(tx, v.ID)
}

package control

import (
	"errors"
	"slices"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
)

const (
	linkV1Ready    = "Your vpc link is ready for use"
	linkV2Ready    = "VPC link is ready to route traffic"
	linkNLBInUse   = "NLB is already associated with another VPC Endpoint Service"
	natRequester   = "apigateway.amazonaws.com"
	natDescription = "VPC Link Interface "
)

// buildLinks makes what links that were just created consist of, and removes
// links that are to be deleted.
func buildLinks(tx *store.Tx) error {
	for _, l := range store.VPCLinksV1.List(tx) {
		if err := buildV1(tx, l); err != nil {
			return err
		}
	}
	for _, l := range store.VPCLinksV2.List(tx) {
		if err := buildV2(tx, l); err != nil {
			return err
		}
	}
	return nil
}

// linkNeedsBuilding says whether buildLinks would change anything.
func linkNeedsBuilding(r store.Reader) bool {
	for l := range store.VPCLinksV1.Scan(r) {
		if l.Status == resource.VPCLinkDeleting || l.Status == resource.VPCLinkPending && l.Endpoint == "" {
			return true
		}
	}
	for l := range store.VPCLinksV2.Scan(r) {
		if l.Status == resource.VPCLinkDeleting || l.Status == resource.VPCLinkPending && len(l.Interfaces) == 0 {
			return true
		}
	}
	return false
}

// buildV1 makes the endpoint service in the customer's account and the
// interface endpoint in API Gateway's. The connection is accepted because API
// Gateway's account is allow-listed and no acceptance is asked for.
func buildV1(tx *store.Tx, l *resource.VPCLinkV1) error {
	switch {
	case l.Status == resource.VPCLinkDeleting:
		vpc.DeleteEndpoint(tx, l.Endpoint)
		if l.Service != "" {
			if err := vpc.DeleteEndpointService(tx, l.Service); err != nil {
				return nil // somebody else is connected: wait until they are gone
			}
		}
		store.VPCLinksV1.Delete(tx, l.ID)
		return nil
	case l.Status != resource.VPCLinkPending || l.Endpoint != "":
		return nil
	}
	network, ok := vpc.ServiceVPC(tx, l.Region)
	if !ok {
		return failV1(tx, l, "region "+l.Region+" has no API Gateway network")
	}
	if vpc.LoadBalancerInService(tx, l.TargetARNs[0]) {
		return failV1(tx, l, linkNLBInUse)
	}
	service, err := vpc.CreateEndpointService(tx, vpc.ServiceSpec{
		Account: l.Account, Region: l.Region, LoadBalancers: l.TargetARNs,
		AllowedPrincipals: []string{"arn:aws:iam::" + vpc.ServiceAccount(l.Region) + ":root"},
		ManagedBy:         l.ID, Tags: map[string]string{"VpcLinkId": l.ID},
	})
	if err != nil {
		return failV1(tx, l, messageOf(err))
	}
	zones := vpc.ServiceZones(tx, service)
	var subnets []string
	for _, s := range network.Subnets {
		if slices.Contains(zones, s.Zone) {
			subnets = append(subnets, s.ID)
		}
	}
	endpoint, err := vpc.CreateEndpoint(tx, vpc.EndpointSpec{
		Account: network.VPC.Account, Region: l.Region, VPC: network.VPC.ID, ServiceName: service.Name(),
		Subnets: subnets, Groups: []string{network.VPC.DefaultGroup}, ManagedBy: l.ID,
	})
	if err != nil {
		store.EndpointServices.Delete(tx, service.ID)
		return failV1(tx, l, messageOf(err))
	}
	l.Service, l.Endpoint = service.ID, endpoint.ID
	store.VPCLinksV1.Put(tx, l)
	return nil
}

func failV1(tx *store.Tx, l *resource.VPCLinkV1, why string) error {
	l.Status, l.StatusMessage = resource.VPCLinkFailed, why
	store.VPCLinksV1.Put(tx, l)
	return nil
}

// buildV2 makes a pair of ENIs for each subnet: the customer's, under the
// link's security groups, and the provider's, an address of the gateway.
func buildV2(tx *store.Tx, l *resource.VPCLinkV2) error {
	switch {
	case l.Status == resource.VPCLinkDeleting:
		for _, pair := range l.Interfaces {
			vpc.DeleteInterface(tx, pair.Provider)
			vpc.DeleteInterface(tx, pair.Customer)
		}
		store.VPCLinksV2.Delete(tx, l.ID)
		return nil
	case l.Status != resource.VPCLinkPending || len(l.Interfaces) > 0:
		return nil
	}
	network, ok := vpc.ServiceVPC(tx, l.Region)
	customer, known := store.VPCs.Get(tx, l.VPC)
	if !ok || !known {
		return failV2(tx, l, "the VPC of the link's subnets, or API Gateway's network, does not exist")
	}
	groups := l.Groups
	if len(groups) == 0 {
		groups = []string{customer.DefaultGroup}
	}
	for _, id := range l.Subnets {
		pair, err := natPair(tx, l, network, id, groups)
		if err != nil {
			for _, pair := range l.Interfaces {
				vpc.DeleteInterface(tx, pair.Provider)
				vpc.DeleteInterface(tx, pair.Customer)
			}
			l.Interfaces = nil
			return failV2(tx, l, messageOf(err))
		}
		l.Interfaces = append(l.Interfaces, pair)
	}
	store.VPCLinksV2.Put(tx, l)
	return nil
}

func natPair(tx *store.Tx, l *resource.VPCLinkV2, network vpc.Service, subnet string, groups []string) (pair resource.VPCLinkV2Pair, err error) {
	customer, err := vpc.CreateInterface(tx, vpc.InterfaceSpec{
		Account: l.Account, Region: l.Region, Subnet: subnet, Groups: groups,
		Description: natDescription + l.ID, Type: resource.InterfaceAPIGatewayNAT,
		Requester: natRequester, Owner: l.ID,
		Tags: map[string]string{"Owner": natRequester, "VpcLinkId": l.ID},
	})
	if err != nil {
		return pair, err
	}
	provider, err := vpc.CreateInterface(tx, vpc.InterfaceSpec{
		Account: network.VPC.Account, Region: l.Region, Subnet: network.Gateway.Subnet,
		Description: natDescription + l.ID, Type: resource.InterfaceAPIGatewayNAT,
		Requester: natRequester, Owner: l.ID, NAT: customer.ID, Carrier: network.Gateway.ID,
	})
	if err != nil {
		vpc.DeleteInterface(tx, customer.ID)
		return pair, err
	}
	return resource.VPCLinkV2Pair{Customer: customer.ID, Provider: provider.ID}, nil
}

func failV2(tx *store.Tx, l *resource.VPCLinkV2, why string) error {
	l.Status, l.StatusMessage = resource.VPCLinkFailed, why
	store.VPCLinksV2.Put(tx, l)
	return nil
}

// messageOf is an error's text as a client may read it.
func messageOf(err error) string {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

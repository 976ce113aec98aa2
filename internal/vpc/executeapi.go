package vpc

import (
	"fmt"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
)

// ExecuteAPI is the AWS service by which private APIs are invoked. It is
// offered to every VPC as com.amazonaws.REGION.execute-api.
const ExecuteAPI = "execute-api"

func executeAPIService(region string) string { return serviceID("vpce-svc", region, ExecuteAPI) }

// ensureExecuteAPI makes what private APIs need in API Gateway's network,
// unless it exists: the endpoint service, the security group of the nodes that
// stand for the endpoints, and one by which the gateway lets them in.
//
// The nodes let nothing in but what comes through an endpoint: whatever else is
// in API Gateway's VPC could otherwise pass for any of the endpoints.
func ensureExecuteAPI(tx *store.Tx, region string) error {
	id := executeAPIService(region)
	if _, ok := store.EndpointServices.Get(tx, id); ok {
		return nil
	}
	network, ok := ServiceVPC(tx, region)
	if !ok {
		return fmt.Errorf("make endpoint service of %s: region %s has no API Gateway network", ExecuteAPI, region)
	}
	nodes := serviceGroup(tx, network.VPC, nodeGroup(region), "private-api-nodes")
	AddRule(tx, nodes, &resource.SecurityGroupRule{Egress: true, Protocol: "-1", From: -1, To: -1, CIDR: anyIPv4})
	gateway := serviceGroup(tx, network.VPC, serviceID("sg", region, "gateway"), "gateway")
	for _, port := range []int{config.PrivateHTTPPort, config.PrivateHTTPSPort} {
		AddRule(tx, gateway, &resource.SecurityGroupRule{Protocol: "tcp", From: port, To: port, ReferencedGroup: nodes.ID})
	}
	network.Gateway.Groups = append(network.Gateway.Groups, gateway.ID)
	store.NetworkInterfaces.Put(tx, network.Gateway)
	store.EndpointServices.Put(tx, &resource.EndpointService{
		Meta: newMeta(network.VPC.Account, region, nil), ID: id, AWS: ExecuteAPI,
		AllowedPrincipals: []string{"*"}, State: resource.ServiceAvailable,
	})
	return nil
}

// serviceGroup makes a security group without rules in a network of API
// Gateway's.
func serviceGroup(tx *store.Tx, v *resource.VPC, id, name string) *resource.SecurityGroup {
	g := &resource.SecurityGroup{
		Meta: newMeta(v.Account, v.Region, nil), ID: id, VPC: v.ID,
		Name: name, Description: "Isthmus " + name,
	}
	store.SecurityGroups.Put(tx, g)
	return g
}

func nodeGroup(region string) string { return serviceID("sg", region, ExecuteAPI) }

// createNode makes what an endpoint's interface in a zone leads to: an address
// in API Gateway's VPC, which stands for this endpoint alone.
func createNode(tx *store.Tx, e *resource.VPCEndpoint, zone string) (*resource.NetworkInterface, error) {
	network, ok := ServiceVPC(tx, e.Region)
	if !ok {
		return nil, fmt.Errorf("make node of endpoint %s: region %s has no API Gateway network", e.ID, e.Region)
	}
	for _, s := range network.Subnets {
		if s.Zone == zone {
			return CreateInterface(tx, InterfaceSpec{
				Account: network.VPC.Account, Region: e.Region, Subnet: s.ID, Groups: []string{nodeGroup(e.Region)},
				Description: "Isthmus node of " + e.ID, Type: resource.InterfaceNLB, Requester: "isthmus", Owner: e.ID,
			})
		}
	}
	return nil, fmt.Errorf("make node of endpoint %s: API Gateway's network has no subnet in %s", e.ID, zone)
}

// CheckPrivateDNS checks that an endpoint, not counting the one named, may
// have private DNS in a VPC.
func CheckPrivateDNS(r store.Reader, v *resource.VPC, serviceName, aws, except string) error {
	if aws == "" {
		return wire.Errorf(400, "InvalidParameter",
			"Private DNS can't be enabled because the service %s does not provide a private DNS name.", serviceName)
	}
	if !v.EnableDNSSupport || !v.EnableDNSHostnames {
		return wire.Errorf(400, "InvalidParameter",
			"Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for %s", v.ID)
	}
	for e := range store.VPCEndpoints.Scan(r) {
		if e.VPC == v.ID && e.ID != except && e.PrivateDNS && e.AWS == aws && live(e.State) {
			return wire.Errorf(400, "InvalidParameter",
				"private-dns-enabled cannot be set because there is already a conflicting DNS domain for %s in the VPC %s",
				privateNames(aws, v.Region)[0], v.ID)
		}
	}
	return nil
}

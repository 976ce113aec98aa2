package vpc

import (
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
)

// endpointRequester is the account of AWS that makes the ENIs of endpoints.
const endpointRequester = "727180483921"

// EndpointSpec says what interface endpoint to make.
type EndpointSpec struct {
	Account, Region, VPC string
	ServiceName          string
	Subnets              []string // at most one in each zone
	Groups               []string // the VPC's default group if there are none
	Policy               string
	PrivateDNS           bool
	Tags                 map[string]string
	ManagedBy            string // the VPC link that makes it, if one does
}

// CreateEndpoint makes an interface endpoint with its ENIs. It waits for
// acceptance (pendingAcceptance) if the service wants that, else for the data
// plane (pending).
func CreateEndpoint(tx *store.Tx, spec EndpointSpec) (*resource.VPCEndpoint, error) {
	v, err := FindVPC(tx, spec.Account, spec.Region, spec.VPC)
	if err != nil {
		return nil, err
	}
	service, err := FindService(tx, spec.Account, spec.Region, spec.ServiceName)
	if err != nil {
		return nil, err
	}
	if spec.PrivateDNS {
		if err := CheckPrivateDNS(tx, v, service.Name(), service.AWS, ""); err != nil {
			return nil, err
		}
	}
	if len(spec.Groups) == 0 {
		spec.Groups = []string{v.DefaultGroup}
	}
	groups, err := CheckGroups(tx, spec.Account, spec.Region, v.ID, spec.Groups)
	if err != nil {
		return nil, err
	}
	e := &resource.VPCEndpoint{
		Meta:        newMeta(spec.Account, spec.Region, spec.Tags),
		ID:          NewID("vpce"),
		VPC:         v.ID,
		ServiceName: spec.ServiceName,
		Service:     service.ID,
		State:       resource.EndpointPending,
		Groups:      groups,
		Policy:      spec.Policy,
		PrivateDNS:  spec.PrivateDNS,
		AWS:         service.AWS,
		DNSSuffix:   newDNSSuffix(),
		ManagedBy:   spec.ManagedBy,
	}
	if service.AcceptanceRequired {
		e.State = resource.EndpointPendingAcceptance
	}
	if err := AddEndpointSubnets(tx, e, spec.Subnets); err != nil {
		return nil, err
	}
	store.VPCEndpoints.Put(tx, e)
	return e, nil
}

// FindService returns the endpoint service with this name if an account may
// connect to it, or AWS's error that there is none.
func FindService(r store.Reader, account, region, name string) (*resource.EndpointService, error) {
	id, ok := strings.CutPrefix(name, "com.amazonaws.vpce."+region+".")
	if name == "com.amazonaws."+region+"."+ExecuteAPI {
		id, ok = executeAPIService(region), true
	}
	if ok {
		s, ok := store.EndpointServices.Get(r, id)
		if ok && s.Region == region && Allowed(s, account) {
			return s, nil
		}
	}
	return nil, wire.Errorf(400, "InvalidServiceName", "The Vpc Endpoint Service '%s' does not exist", name)
}

// AddEndpointSubnets makes an ENI of the endpoint in each of the subnets, which
// must be in zones of the service where the endpoint has none yet; the caller
// stores the endpoint.
func AddEndpointSubnets(tx *store.Tx, e *resource.VPCEndpoint, subnets []string) error {
	service, ok := store.EndpointServices.Get(tx, e.Service)
	if !ok {
		return wire.Errorf(400, "InvalidServiceName", "The Vpc Endpoint Service '%s' does not exist", e.ServiceName)
	}
	served := ServiceZones(tx, service)
	used := make(map[string]string) // zone to subnet
	for _, id := range e.Subnets {
		if s, ok := store.Subnets.Get(tx, id); ok {
			used[s.Zone] = id
		}
	}
	for _, id := range subnets {
		s, err := FindSubnet(tx, e.Account, e.Region, id)
		if err != nil {
			return err
		}
		switch other, taken := used[s.Zone]; {
		case s.VPC != e.VPC:
			return wire.Errorf(400, "InvalidParameter", "The subnet ID '%s' does not belong to the VPC '%s'", id, e.VPC)
		case other == id:
			continue
		case taken:
			return wire.Errorf(400, "DuplicateSubnetsInSameZone", "Found another VPC endpoint subnet in the availability zone of %s", other)
		case !slices.Contains(served, s.Zone):
			return wire.Errorf(400, "InvalidParameter",
				"The VPC endpoint service %s does not support the availability zone of the subnet: %s.", e.ServiceName, id)
		}
		n, err := CreateInterface(tx, InterfaceSpec{
			Account:     e.Account,
			Region:      e.Region,
			Subnet:      id,
			Groups:      e.Groups,
			Description: "VPC Endpoint Interface " + e.ID,
			Type:        resource.InterfaceEndpoint,
			Requester:   endpointRequester,
			Owner:       e.ID,
		})
		if err != nil {
			return err
		}
		if service.AWS != "" {
			node, err := createNode(tx, e, s.Zone)
			if err != nil {
				return err
			}
			e.Nodes = append(e.Nodes, node.ID)
		}
		used[s.Zone] = id
		e.Subnets = append(e.Subnets, id)
		e.Interfaces = append(e.Interfaces, n.ID)
	}
	return nil
}

// RemoveEndpointSubnets deletes the endpoint's ENIs in these subnets; the
// caller stores the endpoint.
func RemoveEndpointSubnets(tx *store.Tx, e *resource.VPCEndpoint, subnets []string) error {
	for _, id := range subnets {
		i := slices.Index(e.Subnets, id)
		if i < 0 {
			return wire.Errorf(400, "InvalidParameter", "The subnet '%s' is not associated with the VPC endpoint '%s'", id, e.ID)
		}
		DeleteInterface(tx, e.Interfaces[i])
		if e.Nodes != nil {
			DeleteInterface(tx, e.Nodes[i])
			e.Nodes = slices.Delete(e.Nodes, i, i+1)
		}
		e.Subnets = slices.Delete(e.Subnets, i, i+1)
		e.Interfaces = slices.Delete(e.Interfaces, i, i+1)
	}
	return nil
}

// DeleteEndpoint removes an endpoint, if it exists, with its ENIs.
func DeleteEndpoint(tx *store.Tx, id string) {
	e, ok := store.VPCEndpoints.Get(tx, id)
	if !ok {
		return
	}
	for _, n := range slices.Concat(e.Interfaces, e.Nodes) {
		DeleteInterface(tx, n)
	}
	store.VPCEndpoints.Delete(tx, id)
}

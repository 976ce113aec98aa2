package vpc

import (
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
)

// ServiceSpec says what endpoint service to make.
type ServiceSpec struct {
	Account, Region    string
	LoadBalancers      []string // ARNs of Network Load Balancers
	AcceptanceRequired bool
	AllowedPrincipals  []string
	Tags               map[string]string
	ManagedBy          string // the VPC link that makes it, if one does
}

// CreateEndpointService makes an endpoint service over load balancers of the
// same account and region, none of which is in another service.
func CreateEndpointService(tx *store.Tx, spec ServiceSpec) (*resource.EndpointService, error) {
	if len(spec.LoadBalancers) == 0 {
		return nil, wire.Errorf(400, "InvalidParameter",
			"exactly one of network_load_balancer_arn or gateway_load_balancer_arn is a required member")
	}
	s := &resource.EndpointService{
		Meta:               newMeta(spec.Account, spec.Region, spec.Tags),
		ID:                 NewID("vpce-svc"),
		AcceptanceRequired: spec.AcceptanceRequired,
		AllowedPrincipals:  spec.AllowedPrincipals,
		State:              resource.ServiceAvailable,
		ManagedBy:          spec.ManagedBy,
	}
	if err := AddLoadBalancers(tx, s, spec.LoadBalancers); err != nil {
		return nil, err
	}
	store.EndpointServices.Put(tx, s)
	return s, nil
}

// AddLoadBalancers checks that load balancers may be put into a service and
// puts them there; the caller stores it.
func AddLoadBalancers(r store.Reader, s *resource.EndpointService, arns []string) error {
	for _, arn := range arns {
		if !strings.Contains(arn, ":loadbalancer/net/") {
			return wire.Errorf(400, "InvalidParameter", "NLB ARN is malformed")
		}
		lb, ok := store.LoadBalancers.Get(r, arn)
		if !ok || !Owned(lb.Meta, s.Account, s.Region) {
			return wire.Errorf(400, "InvalidLoadBalancerArn.NotFound", "The load balancer '%s' does not exist", arn)
		}
		if other := serviceOf(r, arn); other != nil && other.ID != s.ID {
			return wire.Errorf(400, "InvalidParameter", "LBs are already associated with another VPC Endpoint Service Configuration")
		}
		if !slices.Contains(s.LoadBalancers, arn) {
			s.LoadBalancers = append(s.LoadBalancers, arn)
		}
	}
	return nil
}

// RemoveLoadBalancers takes load balancers from a service, which must keep one;
// the caller stores it. It is refused while endpoints are connected.
func RemoveLoadBalancers(r store.Reader, s *resource.EndpointService, arns []string) error {
	if len(arns) == 0 {
		return nil
	}
	for _, arn := range arns {
		if !slices.Contains(s.LoadBalancers, arn) {
			return wire.Errorf(400, "InvalidLoadBalancerArn.NotFound", "The load balancer '%s' does not exist", arn)
		}
	}
	kept := slices.DeleteFunc(slices.Clone(s.LoadBalancers), func(arn string) bool { return slices.Contains(arns, arn) })
	if len(kept) == 0 {
		return wire.Errorf(400, "InvalidParameter", "A VPC endpoint service must have at least one load balancer")
	}
	if connected(r, s.ID) {
		return errConnected
	}
	s.LoadBalancers = kept
	return nil
}

// serviceOf returns the endpoint service that a load balancer is in, read-only;
// nil if none.
func serviceOf(r store.Reader, arn string) *resource.EndpointService {
	for s := range store.EndpointServices.Scan(r) {
		if slices.Contains(s.LoadBalancers, arn) {
			return s
		}
	}
	return nil
}

// LoadBalancerInService says whether a load balancer is in an endpoint
// service, which keeps it from being deleted.
func LoadBalancerInService(r store.Reader, arn string) bool { return serviceOf(r, arn) != nil }

// DeleteEndpointService removes a service, unless endpoints are connected to
// it or wait for that. Deleting one that does not exist is no error.
func DeleteEndpointService(tx *store.Tx, id string) error {
	if connected(tx, id) {
		return errConnected
	}
	store.EndpointServices.Delete(tx, id)
	return nil
}

var errConnected = wire.Errorf(400, "ExistingVpcEndpointConnections",
	"Service has existing active VPC Endpoint connections!")

// connected says whether endpoints are connected to a service or wait for that.
func connected(r store.Reader, service string) bool {
	for e := range store.VPCEndpoints.Scan(r) {
		if e.Service == service && live(e.State) {
			return true
		}
	}
	return false
}

// live says whether an endpoint in this state holds on to its service.
func live(s resource.EndpointState) bool {
	switch s {
	case resource.EndpointPendingAcceptance, resource.EndpointPending, resource.EndpointAvailable:
		return true
	}
	return false
}

// ServiceZones returns the names of the zones in which a service can be
// reached, sorted: those of its load balancers, all for an AWS service.
func ServiceZones(r store.Reader, s *resource.EndpointService) []string {
	var zones []string
	if s.AWS != "" {
		for _, z := range Zones(s.Region) {
			zones = append(zones, z.Name)
		}
	}
	for _, arn := range s.LoadBalancers {
		lb, ok := store.LoadBalancers.Get(r, arn)
		if !ok {
			continue
		}
		for _, z := range lb.Zones {
			zones = append(zones, z.Zone)
		}
	}
	slices.Sort(zones)
	return slices.Compact(zones)
}

// Allowed says whether an account may see a service and connect to it: a
// principal of the service is "*" or belongs to the account.
func Allowed(s *resource.EndpointService, account string) bool {
	for _, p := range s.AllowedPrincipals {
		if p == "*" {
			return true
		}
		// arn:aws:iam::123456789012:root
		if f := strings.SplitN(p, ":", 6); len(f) == 6 && f[4] == account {
			return true
		}
	}
	return false
}

package resource

// ServiceState is the state of an endpoint service, as on the wire.
type ServiceState string

const (
	ServiceAvailable ServiceState = "Available"
	ServiceDeleting  ServiceState = "Deleting"
)

// EndpointService offers the load balancers of one account to other accounts
// (AWS PrivateLink).
type EndpointService struct {
	Meta
	ID                 string   `json:"id"` // vpce-svc-…
	LoadBalancers      []string `json:"loadBalancers"`
	AcceptanceRequired bool     `json:"acceptanceRequired"`
	// AllowedPrincipals are ARNs (arn:aws:iam::123456789012:root, a user, a
	// role) or "*".
	AllowedPrincipals []string     `json:"allowedPrincipals,omitempty"`
	State             ServiceState `json:"state"`
	// ManagedBy is the VPC link that made the service, if one did.
	ManagedBy string `json:"managedBy,omitempty"`
	// AWS is the name of the AWS service ("execute-api") that the endpoint
	// service leads to, if it does; there are no load balancers then.
	AWS string `json:"aws,omitempty"`
}

// Key is the service's id.
func (s *EndpointService) Key() string { return s.ID }

// Name is the service name that consumers use.
func (s *EndpointService) Name() string {
	if s.AWS != "" {
		return "com.amazonaws." + s.Region + "." + s.AWS
	}
	return "com.amazonaws.vpce." + s.Region + "." + s.ID
}

// EndpointState is the state of an interface endpoint and of its connection to
// the service, as on the wire.
type EndpointState string

const (
	EndpointPendingAcceptance EndpointState = "pendingAcceptance"
	EndpointPending           EndpointState = "pending"
	EndpointAvailable         EndpointState = "available"
	EndpointRejected          EndpointState = "rejected"
	EndpointFailed            EndpointState = "failed"
	EndpointDeleting          EndpointState = "deleting"
	EndpointDeleted           EndpointState = "deleted"
)

// VPCEndpoint is an interface endpoint: the consumer's side of PrivateLink.
type VPCEndpoint struct {
	Meta
	ID          string        `json:"id"` // vpce-…
	VPC         string        `json:"vpc"`
	ServiceName string        `json:"serviceName"`
	Service     string        `json:"service"` // vpce-svc-…
	State       EndpointState `json:"state"`
	Subnets     []string      `json:"subnets"`
	Groups      []string      `json:"groups"`
	Interfaces  []string      `json:"interfaces"` // eni-…, one a subnet, in the order of Subnets
	Policy      string        `json:"policy,omitempty"`
	PrivateDNS  bool          `json:"privateDns,omitempty"`
	DNSSuffix   string        `json:"dnsSuffix"` // eight random characters of the endpoint's names
	// Nodes are the network interfaces (eni-…) in API Gateway's VPC that the
	// interfaces of an endpoint to an AWS service lead to, in the same order.
	// The address of a node stands for its endpoint.
	Nodes []string `json:"nodes,omitempty"`
	// AWS is the name of the AWS service that the endpoint leads to, if it
	// does ("execute-api").
	AWS string `json:"aws,omitempty"`
	// ManagedBy is the VPC link that made the endpoint, if one did.
	ManagedBy string `json:"managedBy,omitempty"`
}

// Name is the endpoint's regional name.
func (e *VPCEndpoint) Name() string { return e.ID + "-" + e.DNSSuffix + "." + e.domain() }

// ZonalName is the name of the endpoint's interface in a zone.
func (e *VPCEndpoint) ZonalName(zone string) string {
	return e.ID + "-" + e.DNSSuffix + "-" + zone + "." + e.domain()
}

func (e *VPCEndpoint) domain() string {
	service := e.Service
	if e.AWS != "" {
		service = e.AWS
	}
	return EndpointDomain(service, e.Region)
}

// EndpointDomain is what the names of a service's endpoints end with.
func EndpointDomain(service, region string) string {
	return service + "." + region + ".vpce.amazonaws.com"
}

// AWSDomain is the name of an AWS service in a region, which an endpoint with
// private DNS takes over in its VPC, with all names under it.
func AWSDomain(service, region string) string { return service + "." + region + ".amazonaws.com" }

// Key is the endpoint's id.
func (e *VPCEndpoint) Key() string { return e.ID }

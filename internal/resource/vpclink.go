package resource

// VPCLinkStatus is the state of a VPC link of either version, as on the wire.
type VPCLinkStatus string

const (
	VPCLinkPending   VPCLinkStatus = "PENDING"
	VPCLinkAvailable VPCLinkStatus = "AVAILABLE"
	VPCLinkDeleting  VPCLinkStatus = "DELETING"
	VPCLinkFailed    VPCLinkStatus = "FAILED"
)

// VPCLinkV1 leads from API Gateway's VPC to one Network Load Balancer by
// PrivateLink: an endpoint service in the customer's account, and an interface
// endpoint to it in API Gateway's.
type VPCLinkV1 struct {
	Meta
	ID            string        `json:"id"` // six lower-case alphanumerics
	Name          string        `json:"name"`
	Description   string        `json:"description,omitempty"`
	TargetARNs    []string      `json:"targetArns"`
	Status        VPCLinkStatus `json:"status"`
	StatusMessage string        `json:"statusMessage"`
	Service       string        `json:"service,omitempty"`  // vpce-svc-…
	Endpoint      string        `json:"endpoint,omitempty"` // vpce-… in API Gateway's VPC
}

// Key is the link's id.
func (l *VPCLinkV1) Key() string { return l.ID }

// VPCLinkV2 leads from API Gateway's VPC to any address in the customer's VPC
// by VPC-to-VPC NAT: one pair of ENIs a subnet.
type VPCLinkV2 struct {
	Meta
	ID            string          `json:"id"`
	Name          string          `json:"name"`
	Subnets       []string        `json:"subnets"`
	Groups        []string        `json:"groups,omitempty"`
	VPC           string          `json:"vpc"`
	Status        VPCLinkStatus   `json:"status"`
	StatusMessage string          `json:"statusMessage"`
	Interfaces    []VPCLinkV2Pair `json:"interfaces,omitempty"` // in the order of Subnets
}

// VPCLinkV2Pair is the two ends of a NAT.
type VPCLinkV2Pair struct {
	Customer string `json:"customer"` // eni-… in the customer's subnet
	Provider string `json:"provider"` // eni-… in API Gateway's VPC
}

// Key is the link's id.
func (l *VPCLinkV2) Key() string { return l.ID }

package resource

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Types of Cloud Map namespaces and services, as on the wire.
const (
	NamespaceHTTP       = "HTTP"
	NamespaceDNSPrivate = "DNS_PRIVATE"
	ServiceHTTP         = "HTTP"
	ServiceDNSHTTP      = "DNS_HTTP"
)

// CloudMapNamespace is a set of named services. One of type DNS_PRIVATE is
// also a DNS zone of a VPC.
type CloudMapNamespace struct {
	Meta
	ID             string `json:"id"` // ns-…
	Name           string `json:"name"`
	Type           string `json:"type"`
	Description    string `json:"description,omitempty"`
	CreatorRequest string `json:"creatorRequest,omitempty"`
	Operation      string `json:"operation"`        // by which it was made
	VPC            string `json:"vpc,omitempty"`    // DNS_PRIVATE
	SOATTL         int64  `json:"soaTtl,omitempty"` // seconds; DNS_PRIVATE
}

// Key is the namespace's id.
func (n *CloudMapNamespace) Key() string { return n.ID }

// ARN is the namespace's ARN.
func (n *CloudMapNamespace) ARN() string {
	return cloudMapARN(n.Account, n.Region, "namespace/"+n.ID)
}

// CloudMapService is a name under which instances are registered.
type CloudMapService struct {
	Meta
	ID             string       `json:"id"` // srv-…
	Namespace      string       `json:"namespace"`
	Name           string       `json:"name"`
	Type           string       `json:"type"`
	Description    string       `json:"description,omitempty"`
	CreatorRequest string       `json:"creatorRequest,omitempty"`
	DNS            *CloudMapDNS `json:"dns,omitempty"`
	// CustomHealth says that the owner tells which instances are healthy.
	// Without it all count as healthy.
	CustomHealth bool `json:"customHealth,omitempty"`
	// Revision grows whenever an instance is registered or deregistered.
	Revision int64 `json:"revision"`
}

// Key is the service's id.
func (s *CloudMapService) Key() string { return s.ID }

// ARN is the service's ARN.
func (s *CloudMapService) ARN() string { return cloudMapARN(s.Account, s.Region, "service/"+s.ID) }

// CloudMapDNS is the records that each instance of a service has.
type CloudMapDNS struct {
	RoutingPolicy string           `json:"routingPolicy"` // "MULTIVALUE" or "WEIGHTED"
	Records       []CloudMapRecord `json:"records"`
}

// CloudMapRecord is a type of DNS record.
type CloudMapRecord struct {
	Type string `json:"type"` // "A", "AAAA", "SRV" or "CNAME"
	TTL  int64  `json:"ttl"`  // seconds
}

// CloudMapInstance is one place where a service is found.
type CloudMapInstance struct {
	Service        string            `json:"service"`
	ID             string            `json:"id"`
	CreatorRequest string            `json:"creatorRequest,omitempty"`
	Attributes     map[string]string `json:"attributes"`
	// Unhealthy is what was said last of its health, if the service has custom
	// health.
	Unhealthy bool `json:"unhealthy,omitempty"`
}

// Key is the service's id and the instance's, which may hold slashes.
func (i *CloudMapInstance) Key() string { return i.Service + "/" + i.ID }

// Matches says whether the instance has all of the attributes.
func (i *CloudMapInstance) Matches(attributes map[string]string) bool {
	for k, v := range attributes {
		if have, ok := i.Attributes[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// Attributes of instances that have a meaning.
const (
	AttributeAlias        = "AWS_ALIAS_DNS_NAME"
	AttributeEC2Instance  = "AWS_EC2_INSTANCE_ID"
	AttributeInitHealth   = "AWS_INIT_HEALTH_STATUS"
	AttributeInstanceName = "AWS_INSTANCE_CNAME"
	AttributeInstanceIPv4 = "AWS_INSTANCE_IPV4"
	AttributeInstanceIPv6 = "AWS_INSTANCE_IPV6"
	AttributeInstancePort = "AWS_INSTANCE_PORT"
)

// Address is where the instance is reached, if its attributes tell both an
// IPv4 address and a port.
func (i *CloudMapInstance) Address() (netip.AddrPort, bool) {
	a, err := netip.ParseAddrPort(i.Attributes[AttributeInstanceIPv4] + ":" + i.Attributes[AttributeInstancePort])
	return a, err == nil && a.Addr().Is4() && a.Port() != 0
}

// Status of a Cloud Map operation, as on the wire.
const (
	OperationSubmitted = "SUBMITTED"
	OperationSuccess   = "SUCCESS"
)

// CloudMapOperation tells when a change that was asked for is in force.
type CloudMapOperation struct {
	Account string            `json:"account"`
	Region  string            `json:"region"`
	ID      string            `json:"id"`   // 32 characters, "-", and the time as 8 characters
	Type    string            `json:"type"` // "CREATE_NAMESPACE", "REGISTER_INSTANCE" …
	Status  string            `json:"status"`
	Created time.Time         `json:"created"`
	Updated time.Time         `json:"updated"`
	Targets map[string]string `json:"targets"` // ids by "NAMESPACE", "SERVICE", "INSTANCE"
}

// Key sorts the operations of an account and region by time.
func (o *CloudMapOperation) Key() string { return CloudMapOperationKey(o.Account, o.Region, o.ID) }

// CloudMapOperationKey is the key of an operation's row.
func CloudMapOperationKey(account, region, id string) string {
	name, at, _ := strings.Cut(id, "-")
	return account + "/" + region + "/" + at + "/" + name
}

func cloudMapARN(account, region, tail string) string {
	return "arn:aws:servicediscovery:" + region + ":" + account + ":" + tail
}

// CloudMapTarget is a Cloud Map service as the target of an integration:
// ARN?key=value&…
type CloudMapTarget struct {
	Account, Region, Service string
	// Attributes that an instance must have, all of them.
	Attributes map[string]string
}

var cloudMapServiceARN = regexp.MustCompile(`^arn:aws:servicediscovery:([a-z0-9-]+):(\d{12}):service/(srv-[a-z0-9]+)$`)

// ParseCloudMapTarget reads the URI of an integration. It returns false for
// what is no Cloud Map service, and for filters that are malformed or name an
// attribute twice.
func ParseCloudMapTarget(uri string) (CloudMapTarget, bool) {
	arn, query, _ := strings.Cut(uri, "?")
	m := cloudMapServiceARN.FindStringSubmatch(arn)
	if m == nil {
		return CloudMapTarget{}, false
	}
	t := CloudMapTarget{Region: m[1], Account: m[2], Service: m[3], Attributes: map[string]string{}}
	filters, err := url.ParseQuery(query)
	if err != nil {
		return CloudMapTarget{}, false
	}
	for k, v := range filters {
		if k == "" || len(v) != 1 {
			return CloudMapTarget{}, false
		}
		t.Attributes[k] = v[0]
	}
	return t, true
}

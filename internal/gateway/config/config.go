package config

import "github.com/isthmus-net/isthmus/internal/proxy/way"

import "net/netip"

// Config is everything that the gateway of one region serves.
type Config struct {
	Region string `json:"region"`
	APIs   []API  `json:"apis,omitempty"` // sorted by ID
	// Upstreams are the ways through VPC links, by Upstream.Key. Integrations
	// that use the same link, load balancer and port share one.
	Upstreams map[string]way.Upstream `json:"upstreams,omitempty"`
	// Endpoints are the interface endpoints through which private APIs are
	// called, by the address that stands for each in API Gateway's VPC.
	Endpoints map[netip.Addr]Endpoint `json:"endpoints,omitempty"`
	// Certificates are those of the gateway, of which a client is shown the first
	// that has the name that it asks for.
	Certificates []Certificate `json:"certificates,omitempty"`
	// Authority (PEM) issues certificates of load balancers, and is trusted
	// behind VPC links only.
	Authority string `json:"authority,omitempty"`
}

// Certificate is a certificate with its key, both PEM. The chain ends before
// the authority's own certificate.
type Certificate struct {
	Chain string `json:"chain"`
	Key   string `json:"key"`
}

// Where the gateway listens in API Gateway's VPC for what comes through
// endpoints, at whose own ports 80 and 443 callers connect.
const (
	PrivateHTTPPort  = 8081
	PrivateHTTPSPort = 8443
)

// Endpoint is an interface endpoint to execute-api.
type Endpoint struct {
	ID      string `json:"id"` // vpce-…
	VPC     string `json:"vpc"`
	Account string `json:"account"`
	Policy  string `json:"policy,omitempty"` // JSON; empty allows everything
}

// Kind tells REST APIs from HTTP APIs, whose request chains differ.
type Kind string

// The kinds of API.
const (
	REST Kind = "REST"
	HTTP Kind = "HTTP"
)

// API is one API with its deployed stages.
type API struct {
	ID           string `json:"id"` // ten lower-case alphanumerics, the first label of its host name
	Account      string `json:"account"`
	Kind         Kind   `json:"kind"`
	Name         string `json:"name"`
	EndpointType string `json:"endpointType"` // "EDGE", "REGIONAL", "PRIVATE"
	// VPCEndpoints of a PRIVATE API are those (vpce-…) whose ids may follow
	// the API's in its host name.
	VPCEndpoints []string `json:"vpcEndpoints,omitempty"`
	// DisableExecuteAPIEndpoint refuses requests to the API's own host name.
	DisableExecuteAPIEndpoint bool    `json:"disableExecuteApiEndpoint,omitempty"`
	Stages                    []Stage `json:"stages,omitempty"` // sorted by Name
}

// DefaultStage is the stage of an HTTP API that adds no path segment.
const DefaultStage = "$default"

// Stage is a deployment under a name.
type Stage struct {
	Name       string            `json:"name"`
	Deployment string            `json:"deployment"` // id
	Variables  map[string]string `json:"variables,omitempty"`
	// Policy is the resource policy (JSON) of a REST API, empty if it has none.
	Policy string `json:"policy,omitempty"`
	// BinaryMediaTypes are the media types that are not text to a REST API's
	// templates.
	BinaryMediaTypes []string `json:"binaryMediaTypes,omitempty"`
	CORS             *CORS    `json:"cors,omitempty"` // HTTP APIs
	// AccessLog is nil if the stage has none.
	AccessLog *AccessLog `json:"accessLog,omitempty"`
	Routes    []Route    `json:"routes,omitempty"`
}

// AccessLog says what a stage logs of each request, and where.
type AccessLog struct {
	Format string `json:"format"` // text with $context variables; see package accesslog
	Path   string `json:"path"`   // below the gateway's directory of access logs
}

// CORS is how an HTTP API answers cross-origin requests by itself.
type CORS struct {
	AllowCredentials bool     `json:"allowCredentials,omitempty"`
	AllowHeaders     []string `json:"allowHeaders,omitempty"`
	AllowMethods     []string `json:"allowMethods,omitempty"`
	AllowOrigins     []string `json:"allowOrigins,omitempty"`
	ExposeHeaders    []string `json:"exposeHeaders,omitempty"`
	MaxAgeSeconds    *int     `json:"maxAgeSeconds,omitempty"`
}

// AnyMethod is the method of a route that takes what no other route takes.
const AnyMethod = "ANY"

// DefaultRoute is the path (and key) of the route of an HTTP API that takes
// what no other route takes; its method is AnyMethod.
const DefaultRoute = "$default"

// Route is one method of a path.
type Route struct {
	// ID is the resource's id (REST) or the route's (HTTP).
	ID string `json:"id"`
	// Key is HTTP's route key ("GET /pets", "$default") and the same form of a
	// REST method.
	Key    string `json:"key"`
	Method string `json:"method"` // "GET" … or AnyMethod
	// Path is "/pets/{id}" or "/files/{proxy+}": literal segments, segments
	// that match one, and a last one that matches one or more. DefaultRoute
	// for the default route of an HTTP API.
	Path              string `json:"path"`
	AuthorizationType string `json:"authorizationType,omitempty"` // "NONE", "AWS_IAM", …
	APIKeyRequired    bool   `json:"apiKeyRequired,omitempty"`
	// RequestParameters of a REST method: "method.request.querystring.x" and
	// whether it is required.
	RequestParameters map[string]bool `json:"requestParameters,omitempty"`
	// MethodResponses of a REST method. A status that is not among them can't
	// be answered by an integration of type HTTP or MOCK.
	MethodResponses []MethodResponse `json:"methodResponses,omitempty"`
	// Integration is nil if a route of an HTTP API has no target.
	Integration *Integration `json:"integration,omitempty"`
}

// MethodResponse is one answer that a REST method may give.
type MethodResponse struct {
	StatusCode int `json:"statusCode"`
	// ResponseParameters: "method.response.header.x" and whether it is required.
	ResponseParameters map[string]bool `json:"responseParameters,omitempty"`
}

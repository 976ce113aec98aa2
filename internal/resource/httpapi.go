package resource

import "time"

// HTTPAPI is an HTTP API of API Gateway's second version. Its routes,
// integrations, stages and deployments are rows of their own.
type HTTPAPI struct {
	Meta
	ID                        string `json:"id"` // ten lower-case alphanumerics
	Name                      string `json:"name"`
	Description               string `json:"description,omitempty"`
	Version                   string `json:"version,omitempty"`
	CORS                      *CORS  `json:"cors,omitempty"`
	DisableExecuteAPIEndpoint bool   `json:"disableExecuteApiEndpoint,omitempty"`
	// IPAddressType is "ipv4" or "dualstack".
	IPAddressType string `json:"ipAddressType"`
}

// Key is the API's id.
func (a *HTTPAPI) Key() string { return a.ID }

// CORS is how an HTTP API answers cross-origin requests by itself.
type CORS struct {
	AllowCredentials *bool    `json:"allowCredentials,omitempty"`
	AllowHeaders     []string `json:"allowHeaders,omitempty"`
	AllowMethods     []string `json:"allowMethods,omitempty"`
	AllowOrigins     []string `json:"allowOrigins,omitempty"`
	ExposeHeaders    []string `json:"exposeHeaders,omitempty"`
	MaxAgeSeconds    *int64   `json:"maxAgeSeconds,omitempty"`
}

// HTTPRoute leads what matches its key to an integration.
type HTTPRoute struct {
	API                 string   `json:"api"`
	ID                  string   `json:"id"`
	RouteKey            string   `json:"routeKey"` // "GET /pets/{id}", "ANY /{proxy+}" or "$default"
	OperationName       string   `json:"operationName,omitempty"`
	AuthorizationType   string   `json:"authorizationType"`
	AuthorizationScopes []string `json:"authorizationScopes,omitempty"`
	// Integration is the target's id; empty if the route has none.
	Integration string `json:"integration,omitempty"`
	Managed     bool   `json:"managed,omitempty"` // made by quick create
}

// Key is the API's id and the route's.
func (r *HTTPRoute) Key() string { return r.API + "/" + r.ID }

// HTTPIntegration is a backend of an HTTP API, of type HTTP_PROXY.
type HTTPIntegration struct {
	API                  string            `json:"api"`
	ID                   string            `json:"id"`
	Description          string            `json:"description,omitempty"`
	Method               string            `json:"method"`         // that the backend is called with; "ANY" for the client's
	ConnectionType       string            `json:"connectionType"` // "INTERNET" or "VPC_LINK"
	ConnectionID         string            `json:"connectionId,omitempty"`
	URI                  string            `json:"uri"` // a URL (INTERNET) or a listener's ARN (VPC_LINK)
	PayloadFormatVersion string            `json:"payloadFormatVersion"`
	RequestParameters    map[string]string `json:"requestParameters,omitempty"`
	// ResponseParameters are mappings by the backend's status code.
	ResponseParameters map[string]map[string]string `json:"responseParameters,omitempty"`
	TimeoutMillis      int64                        `json:"timeoutMillis"`
	// ServerNameToVerify makes the connection TLS (VPC_LINK).
	ServerNameToVerify string `json:"serverNameToVerify,omitempty"`
	Managed            bool   `json:"managed,omitempty"` // made by quick create
}

// Key is the API's id and the integration's.
func (i *HTTPIntegration) Key() string { return i.API + "/" + i.ID }

// HTTPDeployment is an immutable snapshot of an HTTP API: what stages serve.
type HTTPDeployment struct {
	Meta
	API          string             `json:"api"`
	ID           string             `json:"id"`
	Description  string             `json:"description,omitempty"`
	Auto         bool               `json:"auto,omitempty"`
	CORS         *CORS              `json:"cors,omitempty"`
	Routes       []*HTTPRoute       `json:"routes"`       // sorted by RouteKey
	Integrations []*HTTPIntegration `json:"integrations"` // those that routes lead to, sorted by ID
}

// Key is the API's id and the deployment's.
func (d *HTTPDeployment) Key() string { return d.API + "/" + d.ID }

// HTTPStage serves a deployment under a name; "$default" adds no path segment.
type HTTPStage struct {
	Meta
	API                   string                        `json:"api"`
	Name                  string                        `json:"name"`
	Deployment            string                        `json:"deployment,omitempty"` // id; empty until the first one
	Description           string                        `json:"description,omitempty"`
	AutoDeploy            bool                          `json:"autoDeploy,omitempty"`
	Variables             map[string]string             `json:"variables,omitempty"`
	AccessLog             *AccessLog                    `json:"accessLog,omitempty"`
	ClientCertificate     string                        `json:"clientCertificate,omitempty"`
	DefaultRouteSettings  HTTPRouteSettings             `json:"defaultRouteSettings"`
	RouteSettings         map[string]*HTTPRouteSettings `json:"routeSettings,omitempty"` // by route key
	LastDeploymentMessage string                        `json:"lastDeploymentMessage,omitempty"`
	Managed               bool                          `json:"managed,omitempty"` // made by quick create
	Updated               time.Time                     `json:"updated"`
}

// Key is the API's id and the stage's name.
func (s *HTTPStage) Key() string { return s.API + "/" + s.Name }

// HTTPRouteSettings is how a stage serves a route.
type HTTPRouteSettings struct {
	DataTraceEnabled       *bool    `json:"dataTraceEnabled,omitempty"`
	DetailedMetricsEnabled *bool    `json:"detailedMetricsEnabled,omitempty"`
	LoggingLevel           *string  `json:"loggingLevel,omitempty"`
	ThrottlingBurstLimit   *int64   `json:"throttlingBurstLimit,omitempty"`
	ThrottlingRateLimit    *float64 `json:"throttlingRateLimit,omitempty"` // requests a second
}

package resource

import "time"

// RestAPI is an API of API Gateway's first version. Its resources, stages and
// deployments are rows of their own.
type RestAPI struct {
	Meta
	ID                        string   `json:"id"` // ten lower-case alphanumerics
	Name                      string   `json:"name"`
	Description               string   `json:"description,omitempty"`
	Version                   string   `json:"version,omitempty"`
	APIKeySource              string   `json:"apiKeySource"`  // "HEADER" or "AUTHORIZER"
	EndpointType              string   `json:"endpointType"`  // "EDGE", "REGIONAL" or "PRIVATE"
	IPAddressType             string   `json:"ipAddressType"` // "ipv4" or "dualstack"
	VPCEndpoints              []string `json:"vpcEndpoints,omitempty"`
	Policy                    string   `json:"policy,omitempty"` // JSON
	BinaryMediaTypes          []string `json:"binaryMediaTypes,omitempty"`
	MinimumCompressionSize    *int64   `json:"minimumCompressionSize,omitempty"` // bytes
	DisableExecuteAPIEndpoint bool     `json:"disableExecuteApiEndpoint,omitempty"`
	RootResource              string   `json:"rootResource"`
}

// Key is the API's id.
func (a *RestAPI) Key() string { return a.ID }

// RestResource is one path of a REST API, with its methods.
type RestResource struct {
	API      string `json:"api"`
	ID       string `json:"id"`
	Parent   string `json:"parent,omitempty"`   // empty for the root
	PathPart string `json:"pathPart,omitempty"` // empty for the root
	Path     string `json:"path"`               // "/", "/pets/{id}"
	// Methods by HTTP method or "ANY".
	Methods map[string]*RestMethod `json:"methods,omitempty"`
}

// Key is the API's id and the resource's.
func (r *RestResource) Key() string { return r.API + "/" + r.ID }

// RestMethod is what a client may call. In the maps here and below nil and
// empty are told apart, as AWS's answers do.
type RestMethod struct {
	AuthorizationType   string                         `json:"authorizationType"`
	AuthorizationScopes []string                       `json:"authorizationScopes"`
	APIKeyRequired      bool                           `json:"apiKeyRequired"`
	OperationName       string                         `json:"operationName,omitempty"`
	RequestParameters   map[string]bool                `json:"requestParameters"`
	RequestModels       map[string]string              `json:"requestModels"`
	Responses           map[string]*RestMethodResponse `json:"responses,omitempty"` // by status code
	Integration         *RestIntegration               `json:"integration,omitempty"`
}

// RestMethodResponse is one answer that a method may give.
type RestMethodResponse struct {
	ResponseParameters map[string]bool   `json:"responseParameters"`
	ResponseModels     map[string]string `json:"responseModels"`
}

// RestIntegration is a method's backend.
type RestIntegration struct {
	Type                string            `json:"type"`             // "HTTP", "HTTP_PROXY" or "MOCK"
	Method              string            `json:"method,omitempty"` // that the backend is called with
	URI                 string            `json:"uri,omitempty"`
	ConnectionType      string            `json:"connectionType,omitempty"` // "INTERNET" or "VPC_LINK"
	ConnectionID        string            `json:"connectionId,omitempty"`   // a VPC link or ${stageVariables.name}
	Target              string            `json:"target,omitempty"`         // load balancer or listener ARN (links of version 2)
	Credentials         string            `json:"credentials,omitempty"`
	RequestParameters   map[string]string `json:"requestParameters"`
	RequestTemplates    map[string]string `json:"requestTemplates"`
	PassthroughBehavior string            `json:"passthroughBehavior"`
	CacheNamespace      string            `json:"cacheNamespace"`
	CacheKeyParameters  []string          `json:"cacheKeyParameters"`
	ContentHandling     string            `json:"contentHandling,omitempty"`
	TransferMode        string            `json:"transferMode"` // "BUFFERED" or "STREAM"
	TimeoutMillis       int64             `json:"timeoutMillis"`
	// InsecureSkipVerification is nil when no TLS configuration was given.
	InsecureSkipVerification *bool                               `json:"insecureSkipVerification,omitempty"`
	Responses                map[string]*RestIntegrationResponse `json:"responses,omitempty"` // by status code
}

// RestIntegrationResponse maps answers of the backend to a method response.
type RestIntegrationResponse struct {
	SelectionPattern   *string           `json:"selectionPattern,omitempty"`
	ResponseParameters map[string]string `json:"responseParameters"`
	ResponseTemplates  map[string]string `json:"responseTemplates"`
	ContentHandling    string            `json:"contentHandling,omitempty"`
}

// RestDeployment is an immutable snapshot of a REST API: what stages serve.
type RestDeployment struct {
	Meta
	API              string          `json:"api"`
	ID               string          `json:"id"`
	Description      string          `json:"description,omitempty"`
	Policy           string          `json:"policy,omitempty"`
	BinaryMediaTypes []string        `json:"binaryMediaTypes,omitempty"`
	Resources        []*RestResource `json:"resources"` // those with methods, sorted by path
}

// Key is the API's id and the deployment's.
func (d *RestDeployment) Key() string { return d.API + "/" + d.ID }

// RestStage serves a deployment under a name.
type RestStage struct {
	Meta
	API                  string                        `json:"api"`
	Name                 string                        `json:"name"`
	Deployment           string                        `json:"deployment"` // id
	Description          string                        `json:"description,omitempty"`
	Variables            map[string]string             `json:"variables"`
	MethodSettings       map[string]*RestMethodSetting `json:"methodSettings,omitempty"` // by "path/METHOD" or "*/*"
	AccessLog            *AccessLog                    `json:"accessLog,omitempty"`
	CacheClusterEnabled  bool                          `json:"cacheClusterEnabled,omitempty"`
	CacheClusterSize     string                        `json:"cacheClusterSize,omitempty"`
	ClientCertificate    string                        `json:"clientCertificate,omitempty"`
	DocumentationVersion string                        `json:"documentationVersion,omitempty"`
	TracingEnabled       bool                          `json:"tracingEnabled,omitempty"`
	Updated              time.Time                     `json:"updated"`
}

// Key is the API's id and the stage's name.
func (s *RestStage) Key() string { return s.API + "/" + s.Name }

// AccessLog says what a stage logs of each request, and where.
type AccessLog struct {
	Format      string `json:"format"`
	Destination string `json:"destination"` // ARN
}

// RestMethodSetting is how a stage serves some of its methods.
type RestMethodSetting struct {
	MetricsEnabled           bool    `json:"metricsEnabled"`
	LoggingLevel             string  `json:"loggingLevel"` // "OFF", "ERROR", "INFO"
	DataTraceEnabled         bool    `json:"dataTraceEnabled"`
	ThrottlingBurstLimit     int64   `json:"throttlingBurstLimit"`
	ThrottlingRateLimit      float64 `json:"throttlingRateLimit"` // requests a second
	CachingEnabled           bool    `json:"cachingEnabled"`
	CacheTTLSeconds          int64   `json:"cacheTtlSeconds"`
	CacheDataEncrypted       bool    `json:"cacheDataEncrypted"`
	CacheControlNeedsAuth    bool    `json:"cacheControlNeedsAuth"`
	UnauthorizedCacheControl string  `json:"unauthorizedCacheControl"`
}

// APIGatewayAccount is the settings of API Gateway for one account and region.
type APIGatewayAccount struct {
	Account       string `json:"account"`
	Region        string `json:"region"`
	CloudWatchARN string `json:"cloudWatchArn,omitempty"` // role that writes logs
}

// Key is the account and the region.
func (a *APIGatewayAccount) Key() string { return a.Account + "/" + a.Region }

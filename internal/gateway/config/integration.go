package config

import "strconv"

// IntegrationType says how a request is turned into the backend's and back.
type IntegrationType string

// The types of integration.
const (
	HTTPProxy IntegrationType = "HTTP_PROXY" // passed through
	HTTPPlain IntegrationType = "HTTP"       // REST: mapped by templates, both ways
	Mock      IntegrationType = "MOCK"       // REST: answered without a backend
)

// Integration is the backend of a route.
type Integration struct {
	// ID is the integration's id (HTTP); REST integrations have none.
	ID   string          `json:"id,omitempty"`
	Type IntegrationType `json:"type"`
	// Method is the method sent to the backend; AnyMethod sends the client's.
	Method string `json:"method,omitempty"`
	// URI is nil for MOCK, and for HTTP APIs with a load balancer listener as
	// target: there the path (with the stage), query and Host are the client's.
	URI *URI `json:"uri,omitempty"`
	// Upstream is a key of Config.Upstreams; empty means the internet
	// (connectionType INTERNET): dial URI's host by name.
	Upstream string `json:"upstream,omitempty"`
	// TLS is nil for plain HTTP.
	TLS *TLS `json:"tls,omitempty"`
	// TimeoutMillis limits the time to the last byte of the answer's header.
	TimeoutMillis int `json:"timeoutMillis"`
	// Error, if set, says why the integration can't be used whatever the
	// request, such as a stage variable that makes no valid URI. URI and
	// Upstream are not set then.
	Error string `json:"error,omitempty"`

	// RequestParameters are mappings as AWS writes them. REST:
	// "integration.request.header.x" = "method.request.querystring.y",
	// "context.…", "stageVariables.…" or "'literal'". HTTP: "append:header.x",
	// "overwrite:path" … = "$request.path", "${…}" text.
	RequestParameters map[string]string `json:"requestParameters,omitempty"`
	// RequestTemplates by media type (REST, types HTTP and MOCK).
	RequestTemplates map[string]string `json:"requestTemplates,omitempty"`
	// PassthroughBehavior is "WHEN_NO_MATCH", "WHEN_NO_TEMPLATES" or "NEVER"
	// (REST).
	PassthroughBehavior string `json:"passthroughBehavior,omitempty"`
	// ContentHandling is "", "CONVERT_TO_BINARY" or "CONVERT_TO_TEXT" (REST).
	ContentHandling string `json:"contentHandling,omitempty"`
	// Responses of a REST integration of type HTTP or MOCK.
	Responses []IntegrationResponse `json:"responses,omitempty"`
	// ResponseParameters of HTTP APIs: by status code, mappings such as
	// "overwrite:header.x" or "overwrite:statuscode".
	ResponseParameters map[string]map[string]string `json:"responseParameters,omitempty"`
}

// IntegrationResponse maps a backend's answer to a method response.
type IntegrationResponse struct {
	StatusCode int `json:"statusCode"`
	// SelectionPattern is a regular expression on the backend's status code;
	// empty for the default response.
	SelectionPattern   string            `json:"selectionPattern,omitempty"`
	ResponseParameters map[string]string `json:"responseParameters,omitempty"`
	ResponseTemplates  map[string]string `json:"responseTemplates,omitempty"`
	ContentHandling    string            `json:"contentHandling,omitempty"`
}

// URI is an integration's URI with its stage variables substituted. Host and
// Path may still hold "{name}" places, which are filled per request from the
// "integration.request.path.name" mappings (REST) or the path parameters of
// the route (HTTP).
type URI struct {
	Scheme string `json:"scheme"` // "http" or "https"
	Host   string `json:"host"`   // without the port; an IPv6 address in brackets
	Port   int    `json:"port"`   // never zero
	Path   string `json:"path"`   // escaped; may be empty
	Query  string `json:"query,omitempty"`
}

// Authority is the Host header: host, and the port unless it is the scheme's own.
func (u *URI) Authority() string {
	if u.Scheme == "http" && u.Port == 80 || u.Scheme == "https" && u.Port == 443 {
		return u.Host
	}
	return u.Host + ":" + strconv.Itoa(u.Port)
}

// TLS is how the backend's certificate is verified.
type TLS struct {
	// ServerName is sent as SNI and compared with the certificate; if empty,
	// the URI's host as filled for the request.
	ServerName string `json:"serverName,omitempty"`
	// InsecureSkipVerification accepts issuers that are not publicly trusted;
	// expiry and name are still checked (REST).
	InsecureSkipVerification bool `json:"insecureSkipVerification,omitempty"`
}

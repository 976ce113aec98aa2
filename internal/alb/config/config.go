package config

import "net/netip"

// Config is everything that one node serves.
type Config struct {
	ENI          string `json:"eni"`          // eni-…, the node's own
	LoadBalancer string `json:"loadBalancer"` // ARN
	Zone         string `json:"zone"`
	// Address is the ENI's, on whose ports the node listens.
	Address   netip.Addr `json:"address"`
	Listeners []Listener `json:"listeners,omitempty"` // sorted by Port
	// TargetGroups by ARN: those that the listeners' actions name.
	TargetGroups map[string]TargetGroup `json:"targetGroups,omitempty"`
	Attributes   Attributes             `json:"attributes"`
	// CookieKey seals stickiness cookies: CookieKeySize bytes, the same for all
	// nodes of the balancer, and for as long as it exists.
	CookieKey []byte `json:"cookieKey"`
	// IdentityKeys are those of sessions; the first is in use, the others are of
	// sessions that have not ended. There is one if an action authenticates.
	IdentityKeys []IdentityKey `json:"identityKeys,omitempty"`
	// Resolver is the VPC's, which is asked for identity providers.
	Resolver netip.AddrPort `json:"resolver,omitzero"`
	// Authorities (PEM) are believed about identity providers besides the
	// system's: that of Certificate Manager.
	Authorities string `json:"authorities,omitempty"`
}

// CookieKeySize is the length of Config.CookieKey: AES-256.
const CookieKeySize = 32

// Attributes are the balancer's, as far as they change what a node does.
type Attributes struct {
	// IdleTimeoutSeconds (idle_timeout.timeout_seconds) ends connections, to
	// both sides, on which nothing is sent.
	IdleTimeoutSeconds int `json:"idleTimeoutSeconds"`
	// ClientKeepAliveSeconds (client_keep_alive.seconds) is how old a client's
	// connection may become.
	ClientKeepAliveSeconds int `json:"clientKeepAliveSeconds"`
	// XForwardedFor (routing.http.xff_header_processing.mode); XFFClientPort
	// (routing.http.xff_client_port.enabled) adds the client's port to it.
	XForwardedFor XForwardedFor `json:"xForwardedFor"`
	XFFClientPort bool          `json:"xffClientPort,omitempty"`
	// PreserveHost (routing.http.preserve_host_header.enabled) passes the Host
	// field on as it came; otherwise it has the listener's port, unless that
	// is 80 or 443, and no other.
	PreserveHost bool `json:"preserveHost,omitempty"`
	// DropInvalidHeaders (routing.http.drop_invalid_header_fields.enabled)
	// leaves out fields with names of other than letters, digits and hyphens.
	DropInvalidHeaders bool `json:"dropInvalidHeaders,omitempty"`
	// TLSHeaders (routing.http.x_amzn_tls_version_and_cipher_suite.enabled)
	// tells targets what was negotiated with the client.
	TLSHeaders bool `json:"tlsHeaders,omitempty"`
	// HTTP1Only (routing.http2.enabled is false) offers no HTTP/2 to clients.
	HTTP1Only bool `json:"http1Only,omitempty"`
}

// XForwardedFor says what becomes of the field X-Forwarded-For.
type XForwardedFor string

// The modes of X-Forwarded-For.
const (
	XFFAppend   XForwardedFor = "append" // the client's address after what is there
	XFFPreserve XForwardedFor = "preserve"
	XFFRemove   XForwardedFor = "remove"
)

// Listener is an HTTP or an HTTPS listener.
type Listener struct {
	ARN  string `json:"arn"`
	Port uint16 `json:"port"`
	TLS  *TLS   `json:"tls,omitempty"` // of an HTTPS listener
	// Rules in the order of their priorities, without the default one.
	Rules   []Rule `json:"rules,omitempty"`
	Default Action `json:"default"`
	// OmitServer (routing.http.response.server.enabled is false) leaves the
	// Server field out of responses.
	OmitServer bool `json:"omitServer,omitempty"`
	// Headers are set in all responses, in the place of a target's.
	Headers []Header `json:"headers,omitempty"`
}

// Rule is chosen if all of its conditions hold.
type Rule struct {
	ARN        string      `json:"arn"`
	Priority   int         `json:"priority"`
	Conditions []Condition `json:"conditions,omitempty"`
	// HostRewrite and URLRewrite change the request before the action; the URL
	// is the path with the query.
	HostRewrite *Rewrite `json:"hostRewrite,omitempty"`
	URLRewrite  *Rewrite `json:"urlRewrite,omitempty"`
	Action      Action   `json:"action"`
}

// Rewrite replaces the first match of a regular expression. "$0" to "$9" in the
// replacement are what was matched, and its groups.
type Rewrite struct {
	Regex   string `json:"regex"`
	Replace string `json:"replace"`
}

// Field is what a condition looks at.
type Field string

// The fields of conditions, as AWS names them.
const (
	HostHeader    Field = "host-header"
	PathPattern   Field = "path-pattern"
	HTTPHeader    Field = "http-header"
	RequestMethod Field = "http-request-method"
	QueryString   Field = "query-string"
	SourceIP      Field = "source-ip"
)

// Condition holds if one of its values matches.
type Condition struct {
	Field Field `json:"field"`
	// Values are patterns, in which "*" is any text, "?" one character and "\"
	// takes the meaning of the next away; methods are compared as they are.
	Values []string `json:"values,omitempty"`
	// Regex are regular expressions, for HostHeader, PathPattern and HTTPHeader.
	Regex []string `json:"regex,omitempty"`
	// HeaderName is the name of the header field (HTTPHeader).
	HeaderName string      `json:"headerName,omitempty"`
	Query      []QueryPair `json:"query,omitempty"` // QueryString
	// Sources are of the connection's peer (SourceIP), not of X-Forwarded-For.
	Sources []netip.Prefix `json:"sources,omitempty"`
}

// QueryPair is a parameter of the query; both are patterns. An empty key means
// any.
type QueryPair struct {
	Key   string `json:"key,omitempty"`
	Value string `json:"value"`
}

package config

// HeaderField is a header field and the attribute of listeners that changes it
// ("HTTP header modification" in the user guide).
type HeaderField struct{ Attribute, Name string }

// RequestFields tell targets of TLS; their attributes give them other names.
// They are sorted by attribute.
var RequestFields = []HeaderField{
	{"routing.http.request.x_amzn_mtls_clientcert.header_name", ClientCert},
	{"routing.http.request.x_amzn_mtls_clientcert_issuer.header_name", ClientCertIssuer},
	{"routing.http.request.x_amzn_mtls_clientcert_leaf.header_name", ClientCertLeaf},
	{"routing.http.request.x_amzn_mtls_clientcert_serial_number.header_name", ClientCertSerialNumber},
	{"routing.http.request.x_amzn_mtls_clientcert_subject.header_name", ClientCertSubject},
	{"routing.http.request.x_amzn_mtls_clientcert_validity.header_name", ClientCertValidity},
	{"routing.http.request.x_amzn_tls_cipher_suite.header_name", TLSCipherSuite},
	{"routing.http.request.x_amzn_tls_version.header_name", TLSVersion},
}

// The names of RequestFields if they have no other.
const (
	ClientCert             = "X-Amzn-Mtls-Clientcert"
	ClientCertIssuer       = "X-Amzn-Mtls-Clientcert-Issuer"
	ClientCertLeaf         = "X-Amzn-Mtls-Clientcert-Leaf"
	ClientCertSerialNumber = "X-Amzn-Mtls-Clientcert-Serial-Number"
	ClientCertSubject      = "X-Amzn-Mtls-Clientcert-Subject"
	ClientCertValidity     = "X-Amzn-Mtls-Clientcert-Validity"
	TLSCipherSuite         = "X-Amzn-Tls-Cipher-Suite"
	TLSVersion             = "X-Amzn-Tls-Version"
)

// ResponseFields are set in all responses of a listener. They are sorted by
// attribute.
var ResponseFields = []HeaderField{
	{"routing.http.response.access_control_allow_credentials.header_value", "Access-Control-Allow-Credentials"},
	{"routing.http.response.access_control_allow_headers.header_value", "Access-Control-Allow-Headers"},
	{"routing.http.response.access_control_allow_methods.header_value", "Access-Control-Allow-Methods"},
	{"routing.http.response.access_control_allow_origin.header_value", "Access-Control-Allow-Origin"},
	{"routing.http.response.access_control_expose_headers.header_value", "Access-Control-Expose-Headers"},
	{"routing.http.response.access_control_max_age.header_value", "Access-Control-Max-Age"},
	{"routing.http.response.content_security_policy.header_value", "Content-Security-Policy"},
	{"routing.http.response.strict_transport_security.header_value", "Strict-Transport-Security"},
	{"routing.http.response.x_content_type_options.header_value", "X-Content-Type-Options"},
	{"routing.http.response.x_frame_options.header_value", "X-Frame-Options"},
}

// Header is a field of a response.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

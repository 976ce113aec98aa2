package wire

import (
	"net/http"
	"net/url"
	"strings"
)

// A scope is what a signature of version 4 says about its request, beside the
// signature.
type scope struct {
	accessKey string
	region    string // empty if the signature is for several regions (4A)
	service   string // the signing name
}

// Errors of requests without a usable signature, as AWS words them.
var (
	errNoSignature = &Error{Code: "MissingAuthenticationToken", Status: http.StatusForbidden,
		Message: "Request is missing Authentication Token"}
	errBadSignature = &Error{Code: "IncompleteSignature", Status: http.StatusBadRequest,
		Message: "Authorization header or presigned query is not a complete Signature Version 4: " +
			"it needs Credential=KEY/DATE/REGION/SERVICE/aws4_request, SignedHeaders and Signature."}
)

// parseScope finds the scope in the Authorization header or, of a presigned
// request, the query. Nothing is verified.
func parseScope(authorization string, query url.Values) (scope, *Error) {
	if authorization != "" {
		return parseAuthorization(authorization)
	}
	if !query.Has("X-Amz-Credential") {
		return scope{}, errNoSignature
	}
	if query.Get("X-Amz-Signature") == "" || query.Get("X-Amz-SignedHeaders") == "" {
		return scope{}, errBadSignature
	}
	return parseCredential(query.Get("X-Amz-Algorithm"), query.Get("X-Amz-Credential"))
}

func parseAuthorization(header string) (scope, *Error) {
	algorithm, rest, _ := strings.Cut(header, " ")
	fields := make(map[string]string)
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	if fields["SignedHeaders"] == "" || fields["Signature"] == "" {
		return scope{}, errBadSignature
	}
	return parseCredential(algorithm, fields["Credential"])
}

// parseCredential reads KEY/DATE/REGION/SERVICE/aws4_request; version 4A has
// no region. A key may contain slashes.
func parseCredential(algorithm, credential string) (scope, *Error) {
	parts := strings.Split(credential, "/")
	after := 4 // parts after the key
	switch algorithm {
	case "AWS4-HMAC-SHA256":
	case "AWS4-ECDSA-P256-SHA256":
		after = 3
	default:
		return scope{}, errBadSignature
	}
	n := len(parts) - after
	if n < 1 || parts[len(parts)-1] != "aws4_request" {
		return scope{}, errBadSignature
	}
	s := scope{
		accessKey: strings.Join(parts[:n], "/"),
		service:   parts[len(parts)-2],
	}
	if after == 4 {
		s.region = parts[n+1]
		if !plainName(s.region) {
			return scope{}, errBadSignature
		}
	}
	if s.accessKey == "" || !plainName(s.service) {
		return scope{}, errBadSignature
	}
	return s, nil
}

// plainName tells whether s can be the name of a region or service: it ends up
// in keys, ARNs and logs.
func plainName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

// account returns the account that an access key stands for: a key of 12
// digits is the account itself.
func account(accessKey, standard string) string {
	if len(accessKey) != 12 || strings.Trim(accessKey, "0123456789") != "" {
		return standard
	}
	return accessKey
}

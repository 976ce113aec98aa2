package mapping

import (
	"fmt"
	"strings"
)

// reservedHTTP tells whether an HTTP API's mapping may not touch a header, in
// requests or in responses.
func reservedHTTP(name string) bool {
	name = strings.ToLower(name)
	for _, prefix := range []string{"access-control-", "apigw-", "x-amz-", "x-amzn-", "proxy-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return reservedNames[name]
}

var reservedNames = map[string]bool{
	"authorization": true, "connection": true, "content-encoding": true,
	"content-length": true, "content-location": true, "forwarded": true,
	"keep-alive": true, "origin": true, "te": true, "trailers": true,
	"transfer-encoding": true, "upgrade": true, "x-forwarded-for": true,
	"x-forwarded-host": true, "x-forwarded-proto": true, "via": true,
}

// CheckRESTHeader refuses what a REST API's mapping may not set as a header of
// the integration's request.
func CheckRESTHeader(name string) error {
	switch strings.ToLower(name) {
	case "content-length", "transfer-encoding", "x-amzn-trace-id", "x-amzn-apigateway-api-id":
		return fmt.Errorf("the header %s is reserved", name)
	}
	return checkHeaderName(name)
}

// CheckRESTResponseHeader refuses what a REST API's mapping may not set as a
// header of the method's response, because it frames the message.
func CheckRESTResponseHeader(name string) error {
	switch strings.ToLower(name) {
	case "content-length", "transfer-encoding", "connection", "trailer", "upgrade":
		return fmt.Errorf("the header %s is reserved", name)
	}
	return checkHeaderName(name)
}

// checkHeaderName refuses what can't be the name of a header.
func checkHeaderName(name string) error {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return fmt.Errorf("%q is not a header's name", name)
		}
	}
	if name == "" {
		return fmt.Errorf("a header's name is empty")
	}
	return nil
}

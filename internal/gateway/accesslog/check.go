package accesslog

import (
	"fmt"
	"regexp"
	"strings"
)

// CheckREST tells what API Gateway has against a REST API's format. Variables
// that it does not know are let in, and are never set.
func CheckREST(format string) error {
	line := strings.TrimSuffix(strings.TrimSuffix(format, "\n"), "\r")
	if strings.ContainsAny(line, "\r\n") {
		return fmt.Errorf("Access Log format must be single line, new line character is allowed only at end of the format: '%s'", format) //lint:ignore ST1005 the text is AWS's
	}
	return check(format)
}

// CheckHTTP tells what API Gateway has against an HTTP API's format.
func CheckHTTP(format string) error {
	if strings.ContainsAny(format, "\r\n") {
		return fmt.Errorf("Access Log format must be single line: '%s'", format) //lint:ignore ST1005 the text is AWS's
	}
	var unknown []string
	for _, name := range variables(format) {
		if !http[name] && !strings.HasPrefix(name, "authorizer.") {
			unknown = append(unknown, reference+name)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("The following context variables are not supported: [%s]", strings.Join(unknown, ", ")) //lint:ignore ST1005 the text is AWS's
	}
	return check(format)
}

// maxFormat is AWS's quota of an access log's template.
const maxFormat = 3 << 10

// check is what both kinds have in common.
func check(format string) error {
	if len(format) > maxFormat {
		return fmt.Errorf("Access Log format must have at most %d bytes; it has %d", maxFormat, len(format)) //lint:ignore ST1005 as AWS's texts
	}
	for _, name := range variables(format) {
		if name == "requestId" || name == "extendedRequestId" {
			return nil
		}
	}
	return fmt.Errorf("Access Log format must include either $context.requestId or $context.extendedRequestId : '%s'", format) //lint:ignore ST1005 the text is AWS's
}

// http are the variables of HTTP APIs. resourcePath is in no list of AWS's but
// in many formats.
var http = map[string]bool{
	"accountId": true, "apiId": true, "awsEndpointRequestId": true, "awsEndpointRequestId2": true,
	"customDomain.basePathMatched": true, "dataProcessed": true, "domainName": true, "domainPrefix": true,
	"error.message": true, messageString: true, "error.responseType": true, "extendedRequestId": true, "httpMethod": true,
	"identity.accountId": true, "identity.caller": true,
	"identity.clientCert.clientCertPem": true, "identity.clientCert.issuerDN": true,
	"identity.clientCert.serialNumber": true, "identity.clientCert.subjectDN": true,
	"identity.clientCert.validity.notAfter": true, "identity.clientCert.validity.notBefore": true,
	"identity.cognitoAuthenticationProvider": true, "identity.cognitoAuthenticationType": true,
	"identity.cognitoIdentityId": true, "identity.cognitoIdentityPoolId": true,
	"identity.principalOrgId": true, "identity.sourceIp": true, "identity.user": true,
	"identity.userAgent": true, "identity.userArn": true,
	"integration.error": true, "integration.integrationStatus": true, "integration.latency": true,
	"integration.requestId": true, "integration.status": true,
	"integrationErrorMessage": true, "integrationLatency": true, "integrationStatus": true,
	"path": true, "protocol": true, "requestId": true, "requestTime": true, "requestTimeEpoch": true,
	"resourcePath": true, "responseLatency": true, "responseLength": true, "routeKey": true, "stage": true, "status": true,
}

var logGroup = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)

// Group is the name of the log group that an ARN names, in an account and
// region, with or without the ":*" for all of its streams.
func Group(arn, region, account string) (string, error) {
	if !strings.HasPrefix(arn, "arn:") {
		return "", fmt.Errorf("Invalid ARN specified in the request. ARNs must start with 'arn:': %s", arn) //lint:ignore ST1005 the text is AWS's
	}
	fields := strings.SplitN(arn, ":", 6)
	if len(fields) == 6 && fields[2] == "firehose" {
		return "", fmt.Errorf("delivery streams are not supported as destinations of access logs; name a log group")
	}
	if len(fields) == 6 && fields[2] == "logs" && fields[3] == region && fields[4] == account {
		name, ok := strings.CutPrefix(strings.TrimSuffix(fields[5], ":*"), "log-group:")
		if ok && logGroup.MatchString(name) {
			for segment := range strings.SplitSeq(name, "/") {
				if len(segment) > maxSegment {
					return "", fmt.Errorf("the log group's lines are kept in a file of its name, in which there may be at most %d characters between slashes: %s", maxSegment, name)
				}
			}
			return name, nil
		}
	}
	//lint:ignore ST1005 the text is AWS's
	return "", fmt.Errorf("Invalid ARN specified in the request. The ARN must be a valid CloudWatch Logs log group or Kinesis Data Firehose delivery stream ARN.")
}

// Path is where the lines of a log group are kept, below the directory of access
// logs. The slashes of its name make directories; whether it begins with one
// makes no difference. Segments that would lead elsewhere, or that a file's name
// might be, have a "%", which occurs in no name.
func Path(account, group string) string {
	segments := strings.Split(strings.TrimPrefix(group, "/"), "/")
	last := len(segments) - 1
	for i, s := range segments {
		switch {
		case s == "" || s == "." || s == "..":
			segments[i] = "%" + s
		case i < last && strings.HasSuffix(s, suffix):
			segments[i] = s + "%"
		}
	}
	return account + "/" + strings.Join(segments, "/") + suffix
}

const suffix = ".log"

// maxSegment bounds a segment so that with the suffix it is a file's name.
const maxSegment = 255 - len(suffix)

package apigatewayv2

// Partly says what of the supported operations is refused, or has no effect.
var Partly = map[string]string{
	"CreateApi":         "HTTP APIs only, no WebSocket APIs",
	"CreateRoute":       "no authorizers; the gateway refuses calls to routes that want AWS_IAM",
	"UpdateRoute":       "no authorizers; the gateway refuses calls to routes that want AWS_IAM",
	"CreateIntegration": "HTTP_PROXY with payload format 1.0 only, no functions and no AWS services",
	"UpdateIntegration": "HTTP_PROXY with payload format 1.0 only, no functions and no AWS services",
	"CreateStage":       "access logs go to files, of log groups' names, in the directory of isthmus serve --access-log-dir; no delivery streams; throttling and client certificate are kept, and have no effect",
	"UpdateStage":       "as CreateStage",
}

package apigatewayv2

// Partly says what of the supported operations is refused, or has no effect.
var Partly = map[string]string{
	"CreateApi":         "HTTP APIs only, no WebSocket APIs",
	"CreateRoute":       "no authorizers; the gateway refuses calls to routes that want AWS_IAM",
	"UpdateRoute":       "no authorizers; the gateway refuses calls to routes that want AWS_IAM",
	"CreateIntegration": "HTTP_PROXY with payload format 1.0 only, no functions and no AWS services",
	"UpdateIntegration": "HTTP_PROXY with payload format 1.0 only, no functions and no AWS services",
	"CreateStage":       "access log, throttling and client certificate are kept, and have no effect",
	"UpdateStage":       "access log, throttling and client certificate are kept, and have no effect",
}

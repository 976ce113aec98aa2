package apigateway

// Partly says what of the supported operations is refused, or has no effect.
var Partly = map[string]string{
	"CreateRestApi":          "no cloneFrom; edge-optimized APIs are served like regional ones; nothing is compressed",
	"UpdateRestApi":          "minimumCompressionSize and apiKeySource are kept, and have no effect",
	"PutMethod":              "no authorizers, no validators; the gateway refuses calls to methods that want AWS_IAM or an API key",
	"UpdateMethod":           "no authorizers, no validators; the gateway refuses calls to methods that want AWS_IAM or an API key",
	"PutIntegration":         "types HTTP, HTTP_PROXY and MOCK, not AWS, AWS_PROXY; templates without VTL; the gateway answers 500 where contentHandling is set; cache settings have no effect",
	"UpdateIntegration":      "as PutIntegration",
	"PutIntegrationResponse": "templates without VTL; the gateway answers 500 where contentHandling is set",
	"CreateDeployment":       "no canaries",
	"CreateStage":            "no canaries; cache and tracing settings are kept, and have no effect",
	"UpdateStage":            "access logs go to files, of log groups' names, in the directory of isthmus serve --access-log-dir; no delivery streams; cache, throttling, execution logging and tracing settings are kept, and have no effect",
	"UpdateAccount":          "the role for logs is kept, and has no effect",
}

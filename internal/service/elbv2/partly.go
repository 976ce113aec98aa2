package elbv2

// Partly says what of the supported operations is refused, or has no effect.
var Partly = map[string]string{
	"CreateLoadBalancer":           "internal Application and Network Load Balancers over IPv4 only",
	"SetIpAddressType":             "to ipv4 only",
	"ModifyLoadBalancerAttributes": "no logs, no client routing policy, no secondary addresses",
	"CreateTargetGroup":            "of instances, IPv4 addresses and Application Load Balancers, for HTTP, HTTPS, TCP, UDP and TCP_UDP only",
	"ModifyTargetGroupAttributes":  "PROXY protocol for TCP only; for TCP and UDP no stickiness and no thresholds of health",
	"CreateListener":               "HTTP and HTTPS; TCP, UDP and TCP_UDP, forwarding to one target group; no TLS, no authentication by Cognito",
	"ModifyListener":               "HTTP and HTTPS; TCP, UDP and TCP_UDP, forwarding to one target group; no TLS, no authentication by Cognito",
	"CreateRule":                   "no authentication by Cognito",
	"ModifyRule":                   "no authentication by Cognito",
	"CreateTrustStore":             "of files (isthmus serve --s3-dir), without versions",
	"ModifyTrustStore":             "of files (isthmus serve --s3-dir), without versions",
	"AddTrustStoreRevocations":     "of files (isthmus serve --s3-dir), without versions, up to 1 MiB a trust store, signed by one of its authorities",
	"DescribeSSLPolicies":          "none for FIPS; suites with CBC and SHA384, and AES256-SHA256, are shown and never chosen",
}

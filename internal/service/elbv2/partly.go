package elbv2

// Partly says what of the supported operations is refused, or has no effect.
var Partly = map[string]string{
	"CreateLoadBalancer":           "internal Network Load Balancers over IPv4 only",
	"SetIpAddressType":             "to ipv4 only",
	"ModifyLoadBalancerAttributes": "no access logs, no client routing policy, no zonal shift, no secondary addresses",
	"CreateTargetGroup":            "of instances and IPv4 addresses, for TCP, UDP and TCP_UDP only",
	"ModifyTargetGroupAttributes":  "no PROXY protocol, no stickiness, no thresholds of health",
	"CreateListener":               "TCP, UDP and TCP_UDP, forwarding to one target group; no TLS",
	"ModifyListener":               "TCP, UDP and TCP_UDP, forwarding to one target group; no TLS",
	"DescribeRules":                "shows the default rule, which is the only one",
	"DescribeListenerCertificates": "there are none",
}

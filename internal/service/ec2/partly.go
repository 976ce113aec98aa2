package ec2

// Partly says what of the supported operations is refused, or has no effect.
var Partly = map[string]string{
	"CreateVpc":                "no IPv6, no IPAM pools, no dedicated tenancy",
	"ModifyVpcAttribute":       "no metrics of network address usage",
	"DescribeVpcAttribute":     "metrics of network address usage are always off",
	"CreateSubnet":             "no IPv6, no Outposts, no IPAM pools",
	"ModifySubnetAttribute":    "only MapPublicIpOnLaunch can be turned on, and has no effect: there are no public addresses",
	"CreateNetworkInterface":   "no IPv6, no prefixes, no types but the ordinary one",
	"AssignPrivateIpAddresses": "single addresses only, no prefixes",

	"AuthorizeSecurityGroupIngress": "no prefix lists; rules for IPv6 are kept, and nothing matches them",
	"AuthorizeSecurityGroupEgress":  "no prefix lists; rules for IPv6 are kept, and nothing matches them",
	"ModifySecurityGroupRules":      "no prefix lists; rules for IPv6 are kept, and nothing matches them",

	"CreateRoute":           "to IPv4 ranges by virtual private gateways, and by internet gateways, through which nothing passes",
	"ReplaceRoute":          "to IPv4 ranges by virtual private gateways and internet gateways, and not of local routes",
	"AssociateRouteTable":   "with subnets only, not with gateways",
	"CreateInternetGateway": "a gateway can be attached and routed to; nothing passes it",
	"DescribeNetworkAcls":   "shows the default network ACL, which lets everything pass",
	"DescribeDhcpOptions":   "shows the default options, which all VPCs have",
	"DescribePrefixLists":   "there are none",
	"DescribeInstances":     "shows the programs that isthmus run has started",

	"CreateVpcEndpointServiceConfiguration": "for Network Load Balancers over IPv4 only; no private DNS names",
	"ModifyVpcEndpointServiceConfiguration": "for Network Load Balancers over IPv4 only; no private DNS names",
	"CreateVpcEndpoint":                     "of type Interface over IPv4 only; addresses cannot be chosen; of AWS's own services there is execute-api only",
	"ModifyVpcEndpoint":                     "over IPv4 only; addresses cannot be chosen",
}

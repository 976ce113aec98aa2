package store

import "github.com/isthmus-net/isthmus/internal/resource"

// The tables. Their names are part of what is stored.
var (
	VPCs               = NewTable[resource.VPC]("vpcs")
	Subnets            = NewTable[resource.Subnet]("subnets")
	RouteTables        = NewTable[resource.RouteTable]("route-tables")
	InternetGateways   = NewTable[resource.InternetGateway]("internet-gateways")
	SecurityGroups     = NewTable[resource.SecurityGroup]("security-groups")
	SecurityGroupRules = NewTable[resource.SecurityGroupRule]("security-group-rules")
	NetworkInterfaces  = NewTable[resource.NetworkInterface]("network-interfaces")
	Instances          = NewTable[resource.Instance]("instances")
	EndpointServices   = NewTable[resource.EndpointService]("endpoint-services")
	VPCEndpoints       = NewTable[resource.VPCEndpoint]("vpc-endpoints")
	LoadBalancers      = NewTable[resource.LoadBalancer]("load-balancers")
	Listeners          = NewTable[resource.Listener]("listeners")
	ListenerRules      = NewTable[resource.ListenerRule]("listener-rules")
	TargetGroups       = NewTable[resource.TargetGroup]("target-groups")
	TargetHealth       = NewTable[resource.TargetHealth]("target-health")
	VPCLinksV1         = NewTable[resource.VPCLinkV1]("vpc-links-v1")
	VPCLinksV2         = NewTable[resource.VPCLinkV2]("vpc-links-v2")
	Authorities        = NewTable[resource.Authority]("authorities")

	RestAPIs           = NewTable[resource.RestAPI]("rest-apis")
	RestResources      = NewTable[resource.RestResource]("rest-resources")
	RestDeployments    = NewTable[resource.RestDeployment]("rest-deployments")
	RestStages         = NewTable[resource.RestStage]("rest-stages")
	APIGatewayAccounts = NewTable[resource.APIGatewayAccount]("api-gateway-accounts")
	HTTPAPIs           = NewTable[resource.HTTPAPI]("http-apis")
	HTTPRoutes         = NewTable[resource.HTTPRoute]("http-routes")
	HTTPIntegrations   = NewTable[resource.HTTPIntegration]("http-integrations")
	HTTPDeployments    = NewTable[resource.HTTPDeployment]("http-deployments")
	HTTPStages         = NewTable[resource.HTTPStage]("http-stages")

	CloudMapNamespaces = NewTable[resource.CloudMapNamespace]("cloud-map-namespaces")
	CloudMapServices   = NewTable[resource.CloudMapService]("cloud-map-services")
	CloudMapInstances  = NewTable[resource.CloudMapInstance]("cloud-map-instances")
	CloudMapOperations = NewTable[resource.CloudMapOperation]("cloud-map-operations")
)

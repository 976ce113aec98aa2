package article

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/servicediscovery"
	sdtypes "github.com/aws/aws-sdk-go-v2/service/servicediscovery/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// application is a site with a second backend, "app" at 10.0.1.11, that is
// known to Cloud Map and is let in by the link's group only; and a version 2
// link with an HTTP API, whose route "ANY /app" leads to it, and whose others
// lead to the load balancer.
type application struct {
	*machine.Site
	links, apps string // security groups
	link, eni   string // the link, and the address of its interface
	service     string // ARN of the Cloud Map service
	api, url    string
}

func newApplication(t *testing.T, w *world, account string) *application {
	t.Helper()
	a := &application{Site: newSite(t, w, account)}
	a.links, a.apps = a.group(t, "links"), a.group(t, "apps")
	must(a.AWS.EC2.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &a.apps, IpPermissions: []ec2types.IpPermission{fromGroup(80, a.links)},
	}))(t)
	backend(t, w, a.Site, a.apps, "app", "10.0.1.11")
	a.service = cloudMap(t, a.AWS, "10.0.1.11")
	a.link = must(a.LinkV2(t.Context(), a.links))(t)
	if err := a.WaitV2(t.Context(), a.link); err != nil {
		t.Fatal(err)
	}
	a.eni = a.linkAddress(t)
	api, _, err := a.HTTP(t.Context(), a.link)
	a.api = must(api, err)(t)
	must(a.Route(t.Context(), a.api, "ANY /app", a.link, a.service))(t)
	a.url = "http://" + a.api + ".execute-api.localhost:8080"
	return a
}

func (a *application) group(t *testing.T, name string) string {
	t.Helper()
	return *must(a.AWS.EC2.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{
		GroupName: &name, Description: aws.String("group " + name), VpcId: &a.VPC,
	}))(t).GroupId
}

// linkAddress is that of the link's only interface, in the site's subnet.
func (a *application) linkAddress(t *testing.T) string {
	t.Helper()
	n := must(a.AWS.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: aws.String("tag:VpcLinkId"), Values: []string{a.link}},
	}}))(t).NetworkInterfaces
	if len(n) != 1 || *n[0].SubnetId != a.Subnet || !aws.ToBool(n[0].RequesterManaged) || *n[0].Groups[0].GroupId != a.links {
		t.Fatalf("the link's interfaces: %+v", n)
	}
	return *n[0].PrivateIpAddress
}

// cloudMap registers an instance at port 80 of an address, in a new service,
// whose ARN it returns.
func cloudMap(t *testing.T, a machine.AWS, address string) string {
	t.Helper()
	name := aws.String("app")
	o := must(a.Map.CreateHttpNamespace(t.Context(), &servicediscovery.CreateHttpNamespaceInput{Name: name}))(t)
	targets := must(a.Map.GetOperation(t.Context(), &servicediscovery.GetOperationInput{OperationId: o.OperationId}))(t).Operation.Targets
	s := must(a.Map.CreateService(t.Context(), &servicediscovery.CreateServiceInput{
		Name: name, NamespaceId: aws.String(targets[string(sdtypes.OperationTargetTypeNamespace)]),
	}))(t).Service
	must(a.Map.RegisterInstance(t.Context(), &servicediscovery.RegisterInstanceInput{
		ServiceId: s.Id, InstanceId: name, Attributes: map[string]string{"AWS_INSTANCE_IPV4": address, "AWS_INSTANCE_PORT": "80"},
	}))(t)
	return *s.Arn
}

func (a *application) calls(t *testing.T, w *world, path string) func() string {
	return func() string { return call(t, w.m, a.url+path) }
}

// TestArticleV2LinkNeedsNoEndpointService: "VPC links for HTTP APIs do not
// require the creation of VPC endpoint services so a Network Load Balancer is
// not necessary. With VPC Links for HTTP APIs, you can now use an ALB or an AWS
// Cloud Map service to target private resources."
func TestArticleV2LinkNeedsNoEndpointService(t *testing.T) {
	w := theWorld(t)
	a := newApplication(t, w, "431111111111")
	becomes(t, "200 app "+a.eni, a.calls(t, w, "/app"))
	s := must(a.AWS.EC2.DescribeVpcEndpointServiceConfigurations(t.Context(), &ec2.DescribeVpcEndpointServiceConfigurationsInput{}))(t)
	if len(s.ServiceConfigurations) != 0 {
		t.Errorf("endpoint services %+v", s.ServiceConfigurations)
	}
}

// TestArticleV2LinkHasManyDestinations: "a single VPC link for HTTP APIs can be
// associated with multiple backend endpoints without additional configuration".
func TestArticleV2LinkHasManyDestinations(t *testing.T) {
	w := theWorld(t)
	a := newApplication(t, w, "432222222222")
	becomes(t, answer(a.Site, a.Node, "/x"), a.calls(t, w, "/x"))
	becomes(t, "200 app "+a.eni, a.calls(t, w, "/app"))

	backend(t, w, a.Site, a.Group, "third", "10.0.1.12")
	listener := listen(t, a.Site, a.LoadBalancer, 8082, "third", "10.0.1.12")
	must(a.Route(t.Context(), a.api, "ANY /third", a.link, listener))(t)
	becomes(t, "200 third "+a.Node, a.calls(t, w, "/third"))
	if now := a.linkAddress(t); now != a.eni {
		t.Errorf("the link's interface was %s, and is %s", a.eni, now)
	}
	api, _, err := a.HTTP(t.Context(), a.link) // and many APIs use one link
	second := must(api, err)(t)
	becomes(t, answer(a.Site, a.Node, "/x"), func() string { return call(t, w.m, "http://"+second+".execute-api.localhost:8080/x") })
}

// TestArticleV2LinkToApplicationLoadBalancers: "with the new VPC link, customers
// with containerized applications can use ALBs instead of NLBs and take
// advantage of layer-7 load-balancing capabilities […]. As a result, a single
// VPC link can integrate with multiple Application Load Balancers, Network Load
// Balancers, or resources registered with an AWS Cloud Map service on the
// customer side".
func TestArticleV2LinkToApplicationLoadBalancers(t *testing.T) {
	w := theWorld(t)
	a := newApplication(t, w, "437777777777")
	// The balancers are in the link's group, whose members reach each other.
	must(a.AWS.EC2.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &a.links, IpPermissions: []ec2types.IpPermission{fromGroup(80, a.links)},
	}))(t)
	second := must(a.AWS.EC2.CreateSubnet(t.Context(), &ec2.CreateSubnetInput{
		VpcId: &a.VPC, CidrBlock: aws.String("10.0.2.0/24"), AvailabilityZone: aws.String(machine.Region + "b"),
	}))(t).Subnet.SubnetId
	elb := a.AWS.ELB
	g := must(elb.CreateTargetGroup(t.Context(), &elbv2.CreateTargetGroupInput{
		Name: aws.String("app"), Protocol: elbtypes.ProtocolEnumHttp, Port: aws.Int32(80), TargetType: elbtypes.TargetTypeEnumIp, VpcId: &a.VPC,
		HealthCheckIntervalSeconds: aws.Int32(5), HealthCheckTimeoutSeconds: aws.Int32(2),
	}))(t).TargetGroups[0].TargetGroupArn
	must(elb.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{
		TargetGroupArn: g, Targets: []elbtypes.TargetDescription{{Id: aws.String("10.0.1.11")}},
	}))(t)
	for _, name := range []string{"one", "two"} {
		lb := must(elb.CreateLoadBalancer(t.Context(), &elbv2.CreateLoadBalancerInput{
			Name: &name, Type: elbtypes.LoadBalancerTypeEnumApplication, Scheme: elbtypes.LoadBalancerSchemeEnumInternal,
			Subnets: []string{a.Subnet, *second}, SecurityGroups: []string{a.links},
		}))(t).LoadBalancers[0].LoadBalancerArn
		action := elbtypes.Action{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: g}
		if name == "two" { // a group can have one balancer only; this one answers itself
			action = elbtypes.Action{Type: elbtypes.ActionTypeEnumFixedResponse, FixedResponseConfig: &elbtypes.FixedResponseActionConfig{
				StatusCode: aws.String("200"), ContentType: aws.String("text/plain"), MessageBody: &name,
			}}
		}
		l := must(elb.CreateListener(t.Context(), &elbv2.CreateListenerInput{
			LoadBalancerArn: lb, Protocol: elbtypes.ProtocolEnumHttp, Port: aws.Int32(80), DefaultActions: []elbtypes.Action{action},
		}))(t).Listeners[0].ListenerArn
		must(elb.CreateRule(t.Context(), &elbv2.CreateRuleInput{
			ListenerArn: l, Priority: aws.Int32(1),
			Conditions: []elbtypes.RuleCondition{{Field: aws.String("path-pattern"), Values: []string{"/*/rule"}}},
			Actions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumFixedResponse, FixedResponseConfig: &elbtypes.FixedResponseActionConfig{
				StatusCode: aws.String("200"), ContentType: aws.String("text/plain"), MessageBody: aws.String("rule of " + name),
			}}},
		}))(t)
		must(a.Route(t.Context(), a.api, "ANY /"+name+"/{proxy+}", a.link, *l))(t)
	}
	becomes(t, "200 rule of one", a.calls(t, w, "/one/rule"))
	becomes(t, "200 rule of two", a.calls(t, w, "/two/rule"))
	becomes(t, "200 two", a.calls(t, w, "/two/x"))
	startsWith(t, "200 app 10.0.", a.calls(t, w, "/one/x")) // from a node in either zone
	becomes(t, answer(a.Site, a.Node, "/x"), a.calls(t, w, "/x"))
	becomes(t, "200 app "+a.eni, a.calls(t, w, "/app"))
	if now := a.linkAddress(t); now != a.eni {
		t.Errorf("the link's interface was %s, and is %s", a.eni, now)
	}
}

// startsWith is becomes for what an answer begins with.
func startsWith(t *testing.T, want string, ask func() string) {
	t.Helper()
	becomes(t, want, func() string {
		got := ask()
		if strings.HasPrefix(got, want) {
			return want
		}
		return got
	})
}

// TestArticleV2LinkReachesAddressesDirectly: "API Gateway has direct
// connectivity to these elastic network interfaces and can reach the resources
// in the VPC directly from their own VPC."
func TestArticleV2LinkReachesAddressesDirectly(t *testing.T) {
	w := theWorld(t)
	a := newApplication(t, w, "433333333333")
	becomes(t, "200 app "+a.eni, a.calls(t, w, "/app")) // no balancer is between
}

// TestArticleV2TunnelBeginsAtTheProvider: "This tunnel allows a service hosted
// in the provider's VPC (API Gateway) to initiate communications to resources in
// a consumer's VPC." The other way nothing can be initiated.
func TestArticleV2TunnelBeginsAtTheProvider(t *testing.T) {
	w := theWorld(t)
	a := newApplication(t, w, "434444444444")
	becomes(t, "200 app "+a.eni, a.calls(t, w, "/app"))
	for _, port := range []string{"80", "8080"} {
		nobody(t, "the link's interface, port "+port, curl(t, w.m, a.AWS.Account, a.Subnet, "-m", "1", "http://"+a.eni+":"+port+"/"))
	}
}

// TestArticleV2SecurityGroups: "Connections are permitted according to the
// configuration of the security groups attached to the elastic network
// interfaces in the customer side."
func TestArticleV2SecurityGroups(t *testing.T) {
	w := theWorld(t)
	a := newApplication(t, w, "435555555555")
	const unavailable = `503 {"message":"Service Unavailable"}`
	becomes(t, "200 app "+a.eni, a.calls(t, w, "/app"))

	all := []ec2types.IpPermission{{IpProtocol: aws.String("-1"), IpRanges: []ec2types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}}
	must(a.AWS.EC2.RevokeSecurityGroupEgress(t.Context(), &ec2.RevokeSecurityGroupEgressInput{GroupId: &a.links, IpPermissions: all}))(t)
	becomes(t, unavailable, a.calls(t, w, "/app"))
	becomes(t, unavailable, a.calls(t, w, "/x"))
	w.m.Logged(t, "sg-egress: "+a.links)

	must(a.AWS.EC2.AuthorizeSecurityGroupEgress(t.Context(), &ec2.AuthorizeSecurityGroupEgressInput{
		GroupId: &a.links, IpPermissions: []ec2types.IpPermission{fromGroup(80, a.apps)},
	}))(t)
	becomes(t, "200 app "+a.eni, a.calls(t, w, "/app"))
	becomes(t, unavailable, a.calls(t, w, "/x")) // the load balancer is not in that group

	must(a.AWS.EC2.RevokeSecurityGroupIngress(t.Context(), &ec2.RevokeSecurityGroupIngressInput{
		GroupId: &a.apps, IpPermissions: []ec2types.IpPermission{fromGroup(80, a.links)},
	}))(t)
	becomes(t, unavailable, a.calls(t, w, "/app"))
	w.m.Logged(t, "sg-ingress: "+a.apps)
}

// TestArticleLikeFunctions: "This approach is similar to the way that other
// services such as Lambda access resources inside customer VPCs."
func TestArticleLikeFunctions(t *testing.T) {
	w := theWorld(t)
	a := newApplication(t, w, "436666666666")
	becomes(t, "200 app "+a.eni, a.calls(t, w, "/app"))
	run := func(address string) (string, error) {
		return machine.Output(w.m.Isthmus(t.Context(), "run", "--account", a.AWS.Account, "--link", a.link, "--",
			"curl", "-sS", "-m", "3", "http://"+address+"/"))
	}
	if got := must(run("10.0.1.11"))(t); got != "app "+a.eni {
		t.Errorf("the backend answers %q", got)
	}
	if got, err := run(machine.BackendAddress); err != nil || got != a.AWS.Account+" "+a.eni+" /\n" {
		t.Errorf("the other backend answers %q, %v", got, err)
	}
}

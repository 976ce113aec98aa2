package article

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
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
	logged(t, w.m, "sg-egress: "+a.links)

	must(a.AWS.EC2.AuthorizeSecurityGroupEgress(t.Context(), &ec2.AuthorizeSecurityGroupEgressInput{
		GroupId: &a.links, IpPermissions: []ec2types.IpPermission{fromGroup(80, a.apps)},
	}))(t)
	becomes(t, "200 app "+a.eni, a.calls(t, w, "/app"))
	becomes(t, unavailable, a.calls(t, w, "/x")) // the load balancer is not in that group

	must(a.AWS.EC2.RevokeSecurityGroupIngress(t.Context(), &ec2.RevokeSecurityGroupIngressInput{
		GroupId: &a.apps, IpPermissions: []ec2types.IpPermission{fromGroup(80, a.links)},
	}))(t)
	becomes(t, unavailable, a.calls(t, w, "/app"))
	logged(t, w.m, "sg-ingress: "+a.apps)
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

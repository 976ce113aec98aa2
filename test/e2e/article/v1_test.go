package article

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	resttypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestArticlePrivateIntegration: "A private integration means that the backend
// endpoint resides within a VPC and it's not publicly accessible. With a private
// integration, API Gateway service can access the backend endpoint in the VPC
// without exposing the resources to the public internet."
func TestArticlePrivateIntegration(t *testing.T) {
	w := theWorld(t)
	for _, api := range []machine.API{w.v1, w.v2} {
		becomes(t, answer(w.site, w.site.Node, "/x"), func() string { return call(t, w.m, api.URL+"/x") })
	}
	for _, address := range []string{machine.BackendAddress, w.site.Node} {
		if out, err := machine.Output(w.m.Command(t.Context(), "curl", "-sS", "-m", "2", "http://"+address+"/")); err == nil {
			t.Errorf("%s answers the machine's own network: %s", address, out)
		}
		nobody(t, address+" from another VPC", w.other.curl(t, "http://"+address+"/", "-m", "1"))
	}
}

// serviceOf is the only endpoint service of an account.
func serviceOf(t *testing.T, a machine.AWS) ec2types.ServiceConfiguration {
	t.Helper()
	s := must(a.EC2.DescribeVpcEndpointServiceConfigurations(t.Context(), &ec2.DescribeVpcEndpointServiceConfigurationsInput{}))(t).ServiceConfigurations
	if len(s) != 1 {
		t.Fatalf("%s has %d endpoint services, want one", a.Account, len(s))
	}
	return s[0]
}

// TestArticleV1LinkMakesEndpointService: "When you create a VPC link for a REST
// API, a VPC endpoint service is also created, making the AWS account a service
// provider. The service consumer in this case is API Gateway's account. The API
// Gateway service creates an interface VPC endpoint in their account […]. The
// target of the VPC endpoint service and the VPC link is a Network Load
// Balancer, which forwards requests to the target endpoints".
func TestArticleV1LinkMakesEndpointService(t *testing.T) {
	w := theWorld(t)
	service := serviceOf(t, w.site.AWS)
	if !slices.Equal(service.NetworkLoadBalancerArns, []string{w.site.LoadBalancer}) {
		t.Errorf("the service leads to %v", service.NetworkLoadBalancerArns)
	}
	c := must(w.site.AWS.EC2.DescribeVpcEndpointConnections(t.Context(), &ec2.DescribeVpcEndpointConnectionsInput{
		Filters: []ec2types.Filter{{Name: aws.String("service-id"), Values: []string{*service.ServiceId}}},
	}))(t).VpcEndpointConnections
	if len(c) != 1 || *c[0].VpcEndpointOwner != apiGateway {
		t.Errorf("the consumers are %+v", c)
	}
	becomes(t, answer(w.site, w.site.Node, "/x"), func() string { return call(t, w.m, w.v1.URL+"/x") })
}

// TestArticleV1LinkIsApprovedAutomatically: "Requests from the API Gateway
// accounts are automatically approved in the VPC link creation process. This is
// because the AWS accounts that serve API Gateway for each Region are
// allow-listed in the VPC endpoint service."
func TestArticleV1LinkIsApprovedAutomatically(t *testing.T) {
	w := theWorld(t)
	service := serviceOf(t, w.site.AWS)
	p := must(w.site.AWS.EC2.DescribeVpcEndpointServicePermissions(t.Context(), &ec2.DescribeVpcEndpointServicePermissionsInput{ServiceId: service.ServiceId}))(t)
	if len(p.AllowedPrincipals) != 1 || *p.AllowedPrincipals[0].Principal != "arn:aws:iam::"+apiGateway+":root" {
		t.Errorf("allowed are %+v", p.AllowedPrincipals)
	}
	c := must(w.site.AWS.EC2.DescribeVpcEndpointConnections(t.Context(), &ec2.DescribeVpcEndpointConnectionsInput{
		Filters: []ec2types.Filter{{Name: aws.String("service-id"), Values: []string{*service.ServiceId}}},
	}))(t).VpcEndpointConnections
	if len(c) != 1 || c[0].VpcEndpointState != "available" {
		t.Errorf("connections %+v", c)
	}
	stranger := must(newNetwork(t.Context(), w.m, strangers))(t)
	refused(t, stranger.connect(t.Context(), *service.ServiceName, 80), "InvalidServiceName")
}

// TestArticleTargetsSeeTheLoadBalancer: "When a Network Load Balancer is
// associated with an endpoint service, the traffic to the targets is sourced
// from the NLB. The targets receive the private IP addresses of the NLB, not the
// IP addresses of the service consumers." That holds where targets are to see
// the client, too.
func TestArticleTargetsSeeTheLoadBalancer(t *testing.T) {
	w := theWorld(t)
	s := must(w.m.Site(t.Context(), w.m.AWS("421111111111"), machine.SiteOptions{PreserveClient: true}))(t)
	_, name := offer(t, s, false, callers)
	n := consumer(t, w.m, callers, name)
	becomes(t, answer(s, s.Node, "/"), func() string { return n.curl(t, "http://"+n.addresses[0]+"/") })
	// A host of the provider's own VPC does appear under its own address.
	out := must(machine.Output(w.m.Run(t.Context(), s.AWS.Account, s.Subnet, "", []string{"--private-ip", "10.0.1.77"},
		"curl", "-sS", "-m", "3", "http://"+s.Node+"/")))(t)
	if want := s.AWS.Account + " 10.0.1.77 /\n"; out != want {
		t.Errorf("in the VPC: %q, want %q", out, want)
	}
}

// TestArticleLoadBalancerWithoutGroups: "NLB's elastic network interfaces do not
// have any security groups attached. This means that they cannot be used as a
// source in the security groups of the targets." That is so for load balancers
// that were created without security groups, and for these it stays so; today
// one can be created with groups, which targets can then name.
func TestArticleLoadBalancerWithoutGroups(t *testing.T) {
	w := theWorld(t)
	s := newSite(t, w, "422222222222")
	n := must(s.AWS.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: aws.String("interface-type"), Values: []string{"network_load_balancer"}},
	}}))(t).NetworkInterfaces
	if len(n) != 1 || len(n[0].Groups) != 0 {
		t.Errorf("the load balancer's interfaces: %+v", n)
	}
	group := *must(s.AWS.EC2.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{
		GroupName: aws.String("lb"), Description: aws.String("a load balancer"), VpcId: &s.VPC,
	}))(t).GroupId
	_, err := s.AWS.ELB.SetSecurityGroups(t.Context(), &elbv2.SetSecurityGroupsInput{LoadBalancerArn: &s.LoadBalancer, SecurityGroups: []string{group}})
	refused(t, err, "InvalidConfigurationRequest")

	lb := must(s.AWS.ELB.CreateLoadBalancer(t.Context(), &elbv2.CreateLoadBalancerInput{
		Name: aws.String("with-groups"), Type: elbtypes.LoadBalancerTypeEnumNetwork, Scheme: elbtypes.LoadBalancerSchemeEnumInternal,
		Subnets: []string{s.Subnet}, SecurityGroups: []string{group},
	}))(t).LoadBalancers[0].LoadBalancerArn
	listen(t, s, *lb, 80, "with-groups", machine.BackendAddress)
	must(s.AWS.EC2.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &group, IpPermissions: []ec2types.IpPermission{fromCIDR(80, "10.0.0.0/16")},
	}))(t)
	node := *must(s.AWS.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: aws.String("group-id"), Values: []string{group}},
	}}))(t).NetworkInterfaces[0].PrivateIpAddress
	ask := func() string { return curl(t, w.m, s.AWS.Account, s.Subnet, "http://"+node+"/") }
	becomes(t, answer(s, node, "/"), ask)
	if err := s.Revoke(t.Context()); err != nil { // the subnet's addresses
		t.Fatal(err)
	}
	becomes(t, "", ask)
	must(s.AWS.EC2.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &s.Group, IpPermissions: []ec2types.IpPermission{fromGroup(80, group)},
	}))(t)
	becomes(t, answer(s, node, "/"), ask)
}

// listen gives a load balancer a listener that leads to port 80 of an address by
// a target group of its own; it returns the listener's ARN.
func listen(t *testing.T, s *machine.Site, balancer string, port int32, name, target string) string {
	t.Helper()
	g := must(s.AWS.ELB.CreateTargetGroup(t.Context(), &elbv2.CreateTargetGroupInput{
		Name: &name, Protocol: elbtypes.ProtocolEnumTcp, Port: aws.Int32(80), TargetType: elbtypes.TargetTypeEnumIp, VpcId: &s.VPC,
		HealthCheckIntervalSeconds: aws.Int32(5),
	}))(t).TargetGroups[0].TargetGroupArn
	must(s.AWS.ELB.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{
		TargetGroupArn: g, Targets: []elbtypes.TargetDescription{{Id: &target}},
	}))(t)
	l := must(s.AWS.ELB.CreateListener(t.Context(), &elbv2.CreateListenerInput{
		LoadBalancerArn: &balancer, Protocol: elbtypes.ProtocolEnumTcp, Port: &port,
		DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: g}},
	}))(t)
	return *l.Listeners[0].ListenerArn
}

// backend runs nginx at port 80 of an address of a site's subnet, under the
// site's group; it answers with its name and the caller's address.
func backend(t *testing.T, w *world, s *machine.Site, group, name, address string) {
	t.Helper()
	dir := must(os.MkdirTemp(w.m.Dir, name))(t)
	conf := strings.NewReplacer("DIR", dir, "NAME", name).Replace(`daemon off; worker_processes 1; pid DIR/pid; error_log DIR/error.log;
events {}
http {
  access_log off;
  client_body_temp_path DIR/1; proxy_temp_path DIR/2; fastcgi_temp_path DIR/3; uwsgi_temp_path DIR/4; scgi_temp_path DIR/5;
  server { listen 80; location / { return 200 "NAME $remote_addr"; } }
}
`)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	c := w.m.Run(ctx, s.AWS.Account, s.Subnet, group, []string{"--private-ip", address}, "nginx", "-c", filepath.Join(dir, "nginx.conf"))
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		c.Wait() // its status is that of a program that was stopped
	})
}

// TestArticleV1LinkHasOneLoadBalancer: "VPC links for REST APIs can be
// associated only with a single NLB. Configuring multiple backend endpoints
// requires some workarounds such as using multiple listeners on the NLB,
// associated with different target groups."
func TestArticleV1LinkHasOneLoadBalancer(t *testing.T) {
	w := theWorld(t)
	s := newSite(t, w, "423333333333")
	rest := s.AWS.REST
	_, err := rest.CreateVpcLink(t.Context(), &apigateway.CreateVpcLinkInput{Name: aws.String("two"), TargetArns: []string{s.LoadBalancer, s.LoadBalancer}})
	refused(t, err, "BadRequestException")

	backend(t, w, s, s.Group, "second", "10.0.1.11")
	listen(t, s, s.LoadBalancer, 8081, "second", "10.0.1.11")
	link := must(s.LinkV1(t.Context()))(t)
	if err := s.WaitV1(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	api := must(rest.CreateRestApi(t.Context(), &apigateway.CreateRestApiInput{Name: aws.String("two")}))(t)
	for part, port := range map[string]int{"first": 80, "second": 8081} {
		r := must(rest.CreateResource(t.Context(), &apigateway.CreateResourceInput{RestApiId: api.Id, ParentId: api.RootResourceId, PathPart: &part}))(t)
		must(rest.PutMethod(t.Context(), &apigateway.PutMethodInput{
			RestApiId: api.Id, ResourceId: r.Id, HttpMethod: aws.String("GET"), AuthorizationType: aws.String("NONE"),
		}))(t)
		must(rest.PutIntegration(t.Context(), &apigateway.PutIntegrationInput{
			RestApiId: api.Id, ResourceId: r.Id, HttpMethod: aws.String("GET"), Type: resttypes.IntegrationTypeHttpProxy,
			IntegrationHttpMethod: aws.String("GET"), ConnectionType: resttypes.ConnectionTypeVpcLink, ConnectionId: &link,
			Uri: aws.String(fmt.Sprintf("http://backend.internal:%d/", port)),
		}))(t)
	}
	must(rest.CreateDeployment(t.Context(), &apigateway.CreateDeploymentInput{RestApiId: api.Id, StageName: aws.String("prod")}))(t)
	url := "http://" + *api.Id + ".execute-api.localhost:8080/prod"
	becomes(t, answer(s, s.Node, "/"), func() string { return call(t, w.m, url+"/first") })
	becomes(t, "200 second "+s.Node, func() string { return call(t, w.m, url+"/second") })
}

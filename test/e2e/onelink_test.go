package e2e

import (
	"fmt"
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

// TestOneLink: one version 2 link leads to two Application Load Balancers, a
// Network Load Balancer and a Cloud Map service at once, from several HTTP APIs
// and a REST API, and is never changed. Over version 1, several backends are
// listeners of the one balancer, chosen by the port of the uri.
func TestOneLink(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{})
	links, balancers, apps := addGroup(t, a, "links"), addGroup(t, a, "balancers"), addGroup(t, a, "apps")
	allow(t, a, balancers, fromGroup("tcp", 80, 80, links))
	allow(t, a, apps, fromGroup("tcp", 8080, 8080, balancers))
	allow(t, a, apps, fromGroup("tcp", 8080, 8080, links))
	orders, users, mapped := addApp(t, m, a, apps, "orders"), addApp(t, m, a, apps, "users"), addApp(t, m, a, apps, "mapped")
	second, err := a.AWS.EC2.CreateSubnet(t.Context(), &ec2.CreateSubnetInput{
		VpcId: &a.VPC, CidrBlock: aws.String("10.0.2.0/24"), AvailabilityZone: aws.String(machine.Region + "b"),
	})
	if err != nil {
		t.Fatal(err)
	}
	subnets := []string{a.Subnet, *second.Subnet.SubnetId}
	first := newApplication(t, a, "orders", subnets, balancers, orders)
	other := newApplication(t, a, "users", subnets, balancers, users)
	cm := newCloudMap(t, a)
	cm.register(t, "mapped", mapped.address, "blue")

	api := overV2(t, a, links) // its $default route leads to the Network Load Balancer
	before := linkState(t, a, api.Link)
	for key, target := range map[string]string{
		"ANY /orders/{proxy+}": first.listener, "ANY /users/{proxy+}": other.listener, "ANY /map/{proxy+}": cm.arn,
	} {
		if _, err := a.Route(t.Context(), api.ID, key, api.Link, target); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("one link leads to all", func(t *testing.T) {
		answers(t, m, api.URL+"/x", 200, accountA)
		answers(t, m, api.URL+"/orders/x", 200, "orders ")
		answers(t, m, api.URL+"/users/x", 200, "users ")
		answers(t, m, api.URL+"/map/x", 200, "mapped "+before[len(before)-1]+" /map/x")
	})
	t.Run("the target sees the balancer's node", func(t *testing.T) {
		_, body := get(t, m.Client(), api.URL+"/orders/x")
		if want := first.nodes(t, a); !slices.ContainsFunc(want, func(node string) bool { return body == fmt.Sprintf("orders %s /orders/x\n", node) }) {
			t.Errorf("answer %q; the nodes are %v", body, want)
		}
	})
	t.Run("another API shares the link", func(t *testing.T) {
		id, _, err := a.HTTP(t.Context(), api.Link)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Route(t.Context(), id, "GET /u", api.Link, other.listener); err != nil {
			t.Fatal(err)
		}
		answers(t, m, fmt.Sprintf("http://%s.execute-api.localhost:8080/u", id), 200, "users ")
	})
	t.Run("a REST API names the balancer as its integration's target", func(t *testing.T) {
		url := restOverV2(t, a, api.Link, map[string]string{"orders": first.arn, "users": other.arn, "network": a.LoadBalancer})
		answers(t, m, url+"/orders", 200, "orders ")
		answers(t, m, url+"/users", 200, "users ")
		answers(t, m, url+"/network", 200, accountA)
	})
	t.Run("rules of the listener choose", func(t *testing.T) {
		rule, err := a.AWS.ELB.CreateRule(t.Context(), &elbv2.CreateRuleInput{
			ListenerArn: &first.listener, Priority: aws.Int32(1),
			Conditions: []elbtypes.RuleCondition{{Field: aws.String("path-pattern"), Values: []string{"/orders/teapot"}}},
			Actions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumFixedResponse, FixedResponseConfig: &elbtypes.FixedResponseActionConfig{
				StatusCode: aws.String("418"), ContentType: aws.String("text/plain"), MessageBody: aws.String("short and stout"),
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		answers(t, m, api.URL+"/orders/teapot", 418, "short and stout")
		answers(t, m, api.URL+"/orders/x", 200, "orders ")
		if _, err := a.AWS.ELB.DeleteRule(t.Context(), &elbv2.DeleteRuleInput{RuleArn: rule.Rules[0].RuleArn}); err != nil {
			t.Fatal(err)
		}
		answers(t, m, api.URL+"/orders/teapot", 200, "orders ")
	})
	t.Run("security groups of the link, the balancer and the target decide", func(t *testing.T) {
		everything := fromCIDR("-1", -1, -1, "0.0.0.0/0")
		if _, err := a.AWS.EC2.RevokeSecurityGroupEgress(t.Context(), &ec2.RevokeSecurityGroupEgressInput{GroupId: &links, IpPermissions: permissions(everything)}); err != nil {
			t.Fatal(err)
		}
		answers(t, m, api.URL+"/users/x", 503, "")
		m.Logged(t, "sg-egress: "+links)
		if _, err := a.AWS.EC2.AuthorizeSecurityGroupEgress(t.Context(), &ec2.AuthorizeSecurityGroupEgressInput{GroupId: &links, IpPermissions: permissions(everything)}); err != nil {
			t.Fatal(err)
		}
		answers(t, m, api.URL+"/users/x", 200, "users ")

		if _, err := a.AWS.EC2.RevokeSecurityGroupIngress(t.Context(), &ec2.RevokeSecurityGroupIngressInput{GroupId: &balancers, IpPermissions: permissions(fromGroup("tcp", 80, 80, links))}); err != nil {
			t.Fatal(err)
		}
		answers(t, m, api.URL+"/users/x", 503, "")
		m.Logged(t, "sg-ingress: "+balancers)
		answers(t, m, api.URL+"/map/x", 200, "mapped ") // no balancer is in the way
		allow(t, a, balancers, fromGroup("tcp", 80, 80, links))
		answers(t, m, api.URL+"/users/x", 200, "users ")

		if _, err := a.AWS.EC2.RevokeSecurityGroupIngress(t.Context(), &ec2.RevokeSecurityGroupIngressInput{GroupId: &apps, IpPermissions: permissions(fromGroup("tcp", 8080, 8080, balancers))}); err != nil {
			t.Fatal(err)
		}
		answers(t, m, api.URL+"/users/x", 504, "")
		allow(t, a, apps, fromGroup("tcp", 8080, 8080, balancers))
		answers(t, m, api.URL+"/users/x", 200, "users ")
	})
	t.Run("a target that stops fails its checks", func(t *testing.T) {
		orders.stop()
		first.health(t, a, "")
		answers(t, m, api.URL+"/orders/x", 503, "")
		answers(t, m, api.URL+"/users/x", 200, "users ")
	})
	if after := linkState(t, a, api.Link); !slices.Equal(after, before) {
		t.Errorf("the link was %v and is %v", before, after)
	}

	t.Run("over version 1 the port of the uri chooses among listeners", func(t *testing.T) {
		allow(t, a, apps, fromCIDR("tcp", 8080, 8080, "10.0.1.0/24")) // the balancer has no groups
		group := newGroup(t, a, "network", elbtypes.ProtocolEnumTcp, users.address)
		listen(t, a, a.LoadBalancer, elbtypes.ProtocolEnumTcp, 8081, group)
		link, err := a.LinkV1(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := a.WaitV1(t.Context(), link); err != nil {
			t.Fatal(err)
		}
		url := restOverV1(t, a, link, map[string]int{"site": 80, "users": 8081})
		answers(t, m, url+"/site", 200, accountA)
		answers(t, m, url+"/users", 200, "users ")
	})
}

func permissions[T any](p ...T) []T { return p }

// application is an Application Load Balancer with one HTTP listener on port 80
// and one target.
type application struct{ arn, listener, group string }

// newApplication makes one whose target is the instance of an app, and returns
// when it is active and the target healthy.
func newApplication(t *testing.T, s *machine.Site, name string, subnets []string, group string, target app) application {
	t.Helper()
	lb, err := s.AWS.ELB.CreateLoadBalancer(t.Context(), &elbv2.CreateLoadBalancerInput{
		Name: &name, Scheme: elbtypes.LoadBalancerSchemeEnumInternal, Subnets: subnets, SecurityGroups: []string{group},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := application{arn: *lb.LoadBalancers[0].LoadBalancerArn}
	a.group = newGroup(t, s, name, elbtypes.ProtocolEnumHttp, target.instance)
	a.listener = listen(t, s, a.arn, elbtypes.ProtocolEnumHttp, 80, a.group)
	err = machine.Until(t.Context(), patience, func() (bool, string, error) {
		d, err := s.AWS.ELB.DescribeLoadBalancers(t.Context(), &elbv2.DescribeLoadBalancersInput{LoadBalancerArns: []string{a.arn}})
		if err != nil {
			return false, "", err
		}
		state := d.LoadBalancers[0].State.Code
		return state == elbtypes.LoadBalancerStateEnumActive, fmt.Sprint("the balancer is ", state), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a.health(t, s, elbtypes.TargetHealthStateEnumHealthy)
	return a
}

// health waits until the balancer's target is in a state; for "", until it is
// registered no more or unhealthy.
func (a application) health(t *testing.T, s *machine.Site, want elbtypes.TargetHealthStateEnum) {
	t.Helper()
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		d, err := s.AWS.ELB.DescribeTargetHealth(t.Context(), &elbv2.DescribeTargetHealthInput{TargetGroupArn: &a.group})
		if err != nil {
			return false, "", err
		}
		if want == "" && len(d.TargetHealthDescriptions) == 0 {
			return true, "", nil
		}
		h := d.TargetHealthDescriptions[0].TargetHealth
		return h.State == want, fmt.Sprint("the target is ", h.State, " ", aws.ToString(h.Description)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// nodes are the addresses of the balancer's nodes.
func (a application) nodes(t *testing.T, s *machine.Site) (addresses []string) {
	t.Helper()
	_, name, _ := strings.Cut(a.arn, ":loadbalancer/")
	list, err := s.AWS.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: aws.String("description"), Values: []string{"ELB " + name}},
	}})
	if err != nil || len(list.NetworkInterfaces) != 2 {
		t.Fatalf("interfaces of %s: %+v, %v", a.arn, list, err)
	}
	for _, n := range list.NetworkInterfaces {
		if aws.ToString(n.RequesterId) != "amazon-elb" || !aws.ToBool(n.RequesterManaged) {
			t.Errorf("interface %+v", n)
		}
		addresses = append(addresses, *n.PrivateIpAddress)
	}
	return addresses
}

// newGroup makes a target group with one target on port 8080: an instance, or
// an address for the TCP protocol.
func newGroup(t *testing.T, s *machine.Site, name string, protocol elbtypes.ProtocolEnum, target string) string {
	t.Helper()
	in := &elbv2.CreateTargetGroupInput{
		Name: &name, Protocol: protocol, Port: aws.Int32(8080), VpcId: &s.VPC,
		HealthCheckIntervalSeconds: aws.Int32(5), HealthyThresholdCount: aws.Int32(2),
	}
	if protocol == elbtypes.ProtocolEnumTcp {
		in.TargetType = elbtypes.TargetTypeEnumIp
	}
	g, err := s.AWS.ELB.CreateTargetGroup(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	arn := *g.TargetGroups[0].TargetGroupArn
	if _, err := s.AWS.ELB.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{
		TargetGroupArn: &arn, Targets: []elbtypes.TargetDescription{{Id: &target}},
	}); err != nil {
		t.Fatal(err)
	}
	return arn
}

// listen makes a listener that forwards to a group.
func listen(t *testing.T, s *machine.Site, balancer string, protocol elbtypes.ProtocolEnum, port int32, group string) string {
	t.Helper()
	l, err := s.AWS.ELB.CreateListener(t.Context(), &elbv2.CreateListenerInput{
		LoadBalancerArn: &balancer, Protocol: protocol, Port: &port,
		DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: &group}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return *l.Listeners[0].ListenerArn
}

// restOverV2 makes a REST API with a path for each balancer over a version 2
// link, and returns the URL of its stage.
func restOverV2(t *testing.T, s *machine.Site, link string, balancers map[string]string) string {
	t.Helper()
	paths := map[string]apigateway.PutIntegrationInput{}
	for path, arn := range balancers {
		paths[path] = apigateway.PutIntegrationInput{IntegrationTarget: aws.String(arn), Uri: aws.String("http://backend.internal/" + path)}
	}
	return restThrough(t, s, link, paths)
}

// restOverV1 makes one with a path for each port of the balancer of a version 1
// link.
func restOverV1(t *testing.T, s *machine.Site, link string, ports map[string]int) string {
	t.Helper()
	paths := map[string]apigateway.PutIntegrationInput{}
	for path, port := range ports {
		paths[path] = apigateway.PutIntegrationInput{Uri: aws.String(fmt.Sprintf("http://backend.internal:%d/%s", port, path))}
	}
	return restThrough(t, s, link, paths)
}

func restThrough(t *testing.T, s *machine.Site, link string, paths map[string]apigateway.PutIntegrationInput) string {
	t.Helper()
	rest := s.AWS.REST
	api, err := rest.CreateRestApi(t.Context(), &apigateway.CreateRestApiInput{Name: aws.String("rest")})
	if err != nil {
		t.Fatal(err)
	}
	for path, in := range paths {
		r, err := rest.CreateResource(t.Context(), &apigateway.CreateResourceInput{RestApiId: api.Id, ParentId: api.RootResourceId, PathPart: &path})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rest.PutMethod(t.Context(), &apigateway.PutMethodInput{
			RestApiId: api.Id, ResourceId: r.Id, HttpMethod: aws.String("GET"), AuthorizationType: aws.String("NONE"),
		}); err != nil {
			t.Fatal(err)
		}
		in.RestApiId, in.ResourceId, in.HttpMethod, in.IntegrationHttpMethod = api.Id, r.Id, aws.String("GET"), aws.String("GET")
		in.Type, in.ConnectionType, in.ConnectionId = resttypes.IntegrationTypeHttpProxy, resttypes.ConnectionTypeVpcLink, &link
		if _, err := rest.PutIntegration(t.Context(), &in); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rest.CreateDeployment(t.Context(), &apigateway.CreateDeploymentInput{RestApiId: api.Id, StageName: aws.String("prod")}); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("http://%s.execute-api.localhost:8080/prod", *api.Id)
}

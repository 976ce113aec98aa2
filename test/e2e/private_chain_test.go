package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	resttypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestPrivateAPIAcrossAccounts: a private API over links of both versions to a
// balancer of its own account, one listener of which leads to a backend there,
// and another by PrivateLink on to a third account's; callers are in a fourth
// network. All networks have the same addresses.
func TestPrivateAPIAcrossAccounts(t *testing.T) {
	m := start(t)
	a := newCallerVPC(t, m, accountA)
	b, c := site(t, m, accountB, machine.SiteOptions{}), site(t, m, accountC, machine.SiteOptions{})
	service, name := offer(t, c, false, accountB)
	endpoint, address := connect(t, b, name)
	if _, err := b.AWS.EC2.ModifyVpcEndpoint(t.Context(), &ec2.ModifyVpcEndpointInput{
		VpcEndpointId: &endpoint, AddSecurityGroupIds: []string{b.Group}, // lets the subnet in on port 80
	}); err != nil {
		t.Fatal(err)
	}
	endpointBecomes(t, b, endpoint, "available")
	group := listenOn(t, b, 8081, address)
	becomesHealthy(t, b, group)

	first := overV1(t, b)
	second, err := b.REST(t.Context(), first.Link)
	if err != nil {
		t.Fatal(err)
	}
	linkTwo := linkV2(t, b)
	for _, x := range []struct {
		kind, api, link string
		target          *string
	}{{"version 1", first.ID, first.Link, nil}, {"version 2", second, linkTwo, &b.LoadBalancer}} {
		t.Run(x.kind, func(t *testing.T) {
			url := "https://" + x.api + ".execute-api.us-east-1.amazonaws.com/prod"
			patch(t, b.AWS, x.api, "/endpointConfiguration/types/0", "PRIVATE", "/policy", policyOf(allowAll(), denyIf("StringNotEquals", "aws:SourceVpc", a.vpc)))
			lead := func(port int) {
				t.Helper()
				integrate(t, b.AWS, x.api, x.link, x.target, fmt.Sprintf("http://backend.internal:%d/{proxy}", port))
				deploy(t, b.AWS, x.api)
			}
			want := func(answer string) {
				t.Helper()
				if err := machine.Until(t.Context(), patience, func() (bool, string, error) {
					got := a.call(t, m, 0, "10.0.1.77", url+"/pets")
					return strings.HasPrefix(got, answer), got, nil
				}); err != nil {
					t.Errorf("want %q: %v", answer, err)
				}
			}
			path := "/pets"
			if x.target != nil {
				path = "/prod/pets" // over version 2 the backend sees the stage
			}
			lead(80)
			want(fmt.Sprintf("200 %s %s %s", accountB, b.Node, path))
			lead(8081)
			want(fmt.Sprintf("200 %s %s %s", accountC, c.Node, path))
			// A rule of the third account shows at the next request, though the
			// kept connection would go on.
			if err := c.Revoke(t.Context()); err != nil {
				t.Fatal(err)
			}
			want("50")
			if err := c.Allow(t.Context()); err != nil {
				t.Fatal(err)
			}
			want(fmt.Sprintf("200 %s %s %s", accountC, c.Node, path))
		})
	}
	t.Run("the third account refuses", func(t *testing.T) {
		if _, err := c.AWS.EC2.RejectVpcEndpointConnections(t.Context(), &ec2.RejectVpcEndpointConnectionsInput{
			ServiceId: &service, VpcEndpointIds: []string{endpoint},
		}); err != nil {
			t.Fatal(err)
		}
		for _, api := range []string{first.ID, second} {
			if err := machine.Until(t.Context(), patience, func() (bool, string, error) {
				got := a.call(t, m, 0, "10.0.1.77", "https://"+api+".execute-api.us-east-1.amazonaws.com/prod/pets")
				return strings.HasPrefix(got, "50"), got, nil
			}); err != nil {
				t.Error(err)
			}
		}
		m.Logged(t, "not-accepted: the connection of endpoint "+endpoint)
	})
}

// listenOn adds a listener to a site's balancer, whose only target is an
// address of the VPC, on port 80, and returns the target group.
func listenOn(t *testing.T, s *machine.Site, port int32, target string) (group string) {
	t.Helper()
	g, err := s.AWS.ELB.CreateTargetGroup(t.Context(), &elbv2.CreateTargetGroupInput{
		Name: aws.String(fmt.Sprint("port-", port)), Protocol: elbtypes.ProtocolEnumTcp, Port: aws.Int32(80),
		TargetType: elbtypes.TargetTypeEnumIp, VpcId: &s.VPC,
		HealthCheckIntervalSeconds: aws.Int32(5), HealthyThresholdCount: aws.Int32(2), HealthCheckTimeoutSeconds: aws.Int32(2),
	})
	if err != nil {
		t.Fatal(err)
	}
	group = *g.TargetGroups[0].TargetGroupArn
	if _, err := s.AWS.ELB.ModifyTargetGroupAttributes(t.Context(), &elbv2.ModifyTargetGroupAttributesInput{
		TargetGroupArn: &group,
		Attributes:     []elbtypes.TargetGroupAttribute{{Key: aws.String("preserve_client_ip.enabled"), Value: aws.String("false")}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AWS.ELB.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{
		TargetGroupArn: &group, Targets: []elbtypes.TargetDescription{{Id: &target}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AWS.ELB.CreateListener(t.Context(), &elbv2.CreateListenerInput{
		LoadBalancerArn: &s.LoadBalancer, Protocol: elbtypes.ProtocolEnumTcp, Port: &port,
		DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: &group}},
	}); err != nil {
		t.Fatal(err)
	}
	return group
}

// becomesHealthy waits for the only target of a group.
func becomesHealthy(t *testing.T, s *machine.Site, group string) {
	t.Helper()
	if err := machine.Until(t.Context(), 2*patience, func() (bool, string, error) {
		states := health(t, s, group)
		return len(states) == 1 && states[0] == "healthy", fmt.Sprint("targets are ", states), nil
	}); err != nil {
		t.Fatal(err)
	}
}

// integrate leads an API that machine.Site.REST made through a link to a
// backend that uri and, over a version 2 link, target name.
func integrate(t *testing.T, a machine.AWS, api, link string, target *string, uri string) {
	t.Helper()
	resources, err := a.REST.GetResources(t.Context(), &apigateway.GetResourcesInput{RestApiId: &api})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range resources.Items {
		if aws.ToString(r.PathPart) != "{proxy+}" {
			continue
		}
		if _, err := a.REST.PutIntegration(t.Context(), &apigateway.PutIntegrationInput{
			RestApiId: &api, ResourceId: r.Id, HttpMethod: aws.String("ANY"),
			Type: resttypes.IntegrationTypeHttpProxy, IntegrationHttpMethod: aws.String("ANY"),
			ConnectionType: resttypes.ConnectionTypeVpcLink, ConnectionId: &link, IntegrationTarget: target, Uri: &uri,
			RequestParameters: map[string]string{"integration.request.path.proxy": "method.request.path.proxy"},
		}); err != nil {
			t.Fatal(err)
		}
	}
}

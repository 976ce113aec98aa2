package e2e

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// rewritesAndHeaders: rules by regular expressions, with transforms, and fields
// that a listener sets.
func (b *balancer) rewritesAndHeaders(t *testing.T, client *host, group string) {
	at := "http://" + b.nodes[0].address
	_, err := b.site.AWS.ELB.CreateRule(t.Context(), &elbv2.CreateRuleInput{
		ListenerArn: &b.listener, Priority: aws.Int32(50), Actions: []elbtypes.Action{forwardTo(group)},
		Conditions: []elbtypes.RuleCondition{
			{Field: aws.String("path-pattern"), PathPatternConfig: &elbtypes.PathPatternConditionConfig{RegexValues: []string{`^/v[0-9]+/`}}},
			{Field: aws.String("host-header"), RegexValues: []string{`^(shop|store)\.example`}},
		},
		Transforms: []elbtypes.RuleTransform{
			{Type: elbtypes.TransformTypeEnumHostHeaderRewrite, HostHeaderRewriteConfig: &elbtypes.HostHeaderRewriteConfig{Rewrites: []elbtypes.RewriteConfig{{Regex: aws.String(`^(\w+)\.example$`), Replace: aws.String("$1.internal")}}}},
			{Type: elbtypes.TransformTypeEnumUrlRewrite, UrlRewriteConfig: &elbtypes.UrlRewriteConfig{Rewrites: []elbtypes.RewriteConfig{{Regex: aws.String(`^/v(\d+)/([^?]*)`), Replace: aws.String("/$2;version=$1")}}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.answers(t, client, "host=store.internal uri=/pets;version=2?limit=5 ", []string{at + "/v2/pets?limit=5", "-H", "Host: store.example"})
	b.answers(t, client, "host=other.example uri=/v2/pets ", []string{at + "/v2/pets", "-H", "Host: other.example"})
	if _, err := b.site.AWS.ELB.ModifyListenerAttributes(t.Context(), &elbv2.ModifyListenerAttributesInput{ListenerArn: &b.listener, Attributes: []elbtypes.ListenerAttribute{
		{Key: aws.String("routing.http.response.x_frame_options.header_value"), Value: aws.String("DENY")},
		{Key: aws.String("routing.http.response.server.enabled"), Value: aws.String("false")},
	}}); err != nil {
		t.Fatal(err)
	}
	b.answers(t, client, "X-Frame-Options: DENY", []string{at + "/", "-D", "-", "-o", "/dev/null"})
	if out := output(t, client.curl(t.Context(), at+"/", "-D", "-", "-o", "/dev/null")); strings.Contains(out, "Server:") {
		t.Errorf("the server is named: %s", out)
	}
}

// behindNetwork: a Network Load Balancer whose target is this balancer. The
// client's address is kept on the whole way.
func (b *balancer) behindNetwork(t *testing.T, m *machine.Machine, client *host) {
	elb := b.site.AWS.ELB
	g, err := elb.CreateTargetGroup(t.Context(), &elbv2.CreateTargetGroupInput{
		Name: aws.String("balancer"), TargetType: elbtypes.TargetTypeEnumAlb, Protocol: elbtypes.ProtocolEnumTcp, Port: aws.Int32(80), VpcId: &b.site.VPC,
		HealthCheckPath: aws.String("/healthy"), HealthCheckIntervalSeconds: aws.Int32(5),
	})
	if err != nil {
		t.Fatal(err)
	}
	group := g.TargetGroups[0].TargetGroupArn
	if _, err := elb.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{TargetGroupArn: group, Targets: []elbtypes.TargetDescription{{Id: &b.arn}}}); err != nil {
		t.Fatal(err)
	}
	l, err := elb.CreateListener(t.Context(), &elbv2.CreateListenerInput{
		LoadBalancerArn: &b.site.LoadBalancer, Protocol: elbtypes.ProtocolEnumTcp, Port: aws.Int32(8000), DefaultActions: []elbtypes.Action{forwardTo(*group)},
	})
	if err != nil {
		t.Fatal(err)
	}
	becomesHealthy(t, b.site, *group)
	b.answers(t, client, "from="+b.nodes[0].address+" host="+b.site.Node+" uri=/x xff="+client.address+" ", []string{"http://" + b.site.Node + ":8000/x"})
	out := output(t, m.Isthmus(t.Context(), "trace", "--from", client.eni, "--to", b.site.Node+":8000"))
	if !strings.Contains(out, b.nodes[0].eni) {
		t.Errorf("the trace does not arrive at the node:\n%s", out)
	}
	if _, err := elb.DeleteLoadBalancer(t.Context(), &elbv2.DeleteLoadBalancerInput{LoadBalancerArn: &b.arn}); err == nil || !strings.Contains(err.Error(), "ResourceInUse") {
		t.Errorf("a balancer that is a target was deleted: %v", err)
	}
	if _, err := elb.DeleteListener(t.Context(), &elbv2.DeleteListenerInput{ListenerArn: l.Listeners[0].ListenerArn}); err != nil {
		t.Error(err)
	}
	if _, err := elb.DeleteTargetGroup(t.Context(), &elbv2.DeleteTargetGroupInput{TargetGroupArn: group}); err != nil {
		t.Error(err)
	}
}

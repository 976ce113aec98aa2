package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestTraceBalancer: a trace follows a request through an Application Load
// Balancer, by the rule that it meets to the targets, and names what stops it
// in the words of the balancer's log.
func TestTraceBalancer(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{})
	b := newBalancer(t, a)
	red, green := b.addTarget(t, m, "red"), b.addTarget(t, m, "green")
	reds, greens := b.group(t, "red", red), b.group(t, "green", green)
	client := addHost(t, m, accountA, a.Subnet, "", nil)
	at := "http://" + b.nodes[0].address
	b.listen(t, elbtypes.Action{Type: elbtypes.ActionTypeEnumForward, ForwardConfig: &elbtypes.ForwardActionConfig{TargetGroups: []elbtypes.TargetGroupTuple{
		{TargetGroupArn: &reds, Weight: aws.Int32(3)}, {TargetGroupArn: &greens, Weight: aws.Int32(1)},
	}}})
	path := func(pattern string) elbtypes.RuleCondition {
		return elbtypes.RuleCondition{Field: aws.String("path-pattern"), Values: []string{pattern}}
	}
	b.rule(t, 10, path("/green/*"), forwardTo(greens))
	b.rule(t, 20, path("/old"), elbtypes.Action{Type: elbtypes.ActionTypeEnumRedirect, RedirectConfig: &elbtypes.RedirectActionConfig{
		StatusCode: elbtypes.RedirectActionStatusCodeEnumHttp301, Path: aws.String("/new"),
	}})
	b.rule(t, 30, elbtypes.RuleCondition{Field: aws.String("http-header"), HttpHeaderConfig: &elbtypes.HttpHeaderConditionConfig{
		HttpHeaderName: aws.String("X-Color"), Values: []string{"blue"},
	}}, elbtypes.Action{Type: elbtypes.ActionTypeEnumFixedResponse, FixedResponseConfig: &elbtypes.FixedResponseActionConfig{StatusCode: aws.String("404")}})
	b.rule(t, 40, path("/empty"), forwardTo(b.group(t, "empty")))
	strange := b.group(t, "strange") // its target is nobody's address, and never healthy
	b.rule(t, 50, path("/strange"), forwardTo(strange))
	if _, err := a.AWS.ELB.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{
		TargetGroupArn: &strange, Targets: []elbtypes.TargetDescription{{Id: aws.String("10.0.1.99")}},
	}); err != nil {
		t.Fatal(err)
	}
	lb, err := a.AWS.ELB.DescribeLoadBalancers(t.Context(), &elbv2.DescribeLoadBalancersInput{LoadBalancerArns: []string{b.arn}})
	if err != nil {
		t.Fatal(err)
	}
	name := *lb.LoadBalancers[0].DNSName
	link := linkV2(t, a)
	a.Listener = b.listener
	api, _, err := a.HTTP(t.Context(), link)
	if err != nil {
		t.Fatal(err)
	}
	becomesHealthy(t, a, reds)
	becomesHealthy(t, a, greens)
	answers(t, m, "http://"+api+".execute-api.localhost:8080/green/7", 200, "green ")

	from := func(to ...string) []string { return append([]string{"--from", client.eni, "--to"}, to...) }
	ways := map[string]func(path string, header ...string) []string{
		"an API's route": func(path string, header ...string) []string {
			return append(header, "--from", "api:"+api, "GET", path)
		},
		"the balancer's name": func(path string, header ...string) []string {
			return append(header, from("web:80", "GET", path)...)
		},
		"a URL": func(path string, header ...string) []string {
			return append(header, from("http://"+name+path)...)
		},
	}
	for kind, way := range ways {
		t.Run("from "+kind, func(t *testing.T) {
			traced(t, m, true, []string{"rule of priority 10 (path-pattern /green/*): forward", "target group green, weight 1 of 1: one target is healthy",
				green.eni, "arrives from 10.0."}, way("/green/7")...)
			traced(t, m, true, []string{"the default rule: forward", "target group red, weight 3 of 4: one target is healthy", "target group green, weight 1 of 4",
				"8080 of red, healthy (chosen)", red.eni, green.eni}, way("/x")...)
			traced(t, m, true, []string{"rule of priority 20 (path-pattern /old): redirect", "answers 301, Location: http://", ":80/new"}, way("/old")...)
			traced(t, m, true, []string{"rule of priority 30 (http-header X-Color blue): fixed-response", "answers 404 by itself"}, way("/x", "-H", "X-Color: blue")...)
		})
	}
	t.Run("a request's host", func(t *testing.T) {
		traced(t, m, true, []string{"GET /, Host: " + name}, from("web:80", "GET", "/")...)
		traced(t, m, true, []string{"GET /, Host: shop.example"}, append([]string{"-H", "Host: shop.example"}, from("web:80", "GET", "/")...)...)
		traced(t, m, true, []string{"POST /, Host: " + b.nodes[0].address}, from(at+"/", "POST")...)
	})
	t.Run("packets alone end at the node", func(t *testing.T) {
		traced(t, m, true, []string{b.nodes[0].eni, "targets of red:", "targets of green:"}, from("web:80")...)
		allow(t, a, b.ownGroup, fromCIDR("tcp", 79, 79, "10.0.0.0/16"))
		traced(t, m, false, []string{"no-listener: web has no listener at port 79"}, from("web:79", "GET", "/")...)
	})

	// stops has a request fail, and waits until a trace says why, as the log does.
	stops := func(t *testing.T, path, layer string) {
		t.Helper()
		if out, err := machine.Output(client.curl(t.Context(), at+path, "--no-fail", "-o", "/dev/null", "-w", "%{http_code}")); err != nil || !strings.HasPrefix(out, "50") {
			t.Errorf("%s: answered %q, %v", path, out, err)
		}
		cause := balancerCause(t, m, path)
		if !strings.HasPrefix(cause, layer+": ") {
			t.Errorf("%s: the log says %q", path, cause)
		}
		for kind, way := range ways {
			want := cause
			if kind == "an API's route" { // whose gateway may take the node of the other zone
				want = layer
			}
			traced(t, m, false, []string{"stopped: " + want}, way(path)...)
		}
	}
	t.Run("no target", func(t *testing.T) { stops(t, "/empty", "no-healthy-target") })
	t.Run("a target that nobody is", func(t *testing.T) {
		stops(t, "/strange", "no-address")
		traced(t, m, false, []string{"target group strange, weight 1 of 1: 0 of 1 targets are healthy, so that all are given requests"}, ways["a URL"]("/strange")...)
	})
	t.Run("one target of two", func(t *testing.T) {
		if _, err := a.AWS.ELB.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{
			TargetGroupArn: &strange, Targets: []elbtypes.TargetDescription{{Id: &green.address, Port: aws.Int32(8081)}}, // where nobody listens
		}); err != nil {
			t.Fatal(err)
		}
		allow(t, a, b.targetsGroup, fromGroup("tcp", 8081, 8081, b.ownGroup))
		traced(t, m, true, []string{"no-address: ", "1 of 2 targets can't be reached"}, ways["a URL"]("/strange")...)
	})
	t.Run("the target's rules", func(t *testing.T) {
		b.revokeTargets()
		stops(t, "/green/ingress", "sg-ingress")
		b.revokeTargets = allow(t, a, b.targetsGroup, fromGroup("tcp", 8080, 8080, b.ownGroup))
		b.answers(t, client, "green ", []string{at + "/green/again"})
	})
	t.Run("the balancer's rules", func(t *testing.T) {
		all := []ec2types.IpPermission{{IpProtocol: aws.String("-1"), IpRanges: []ec2types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}}
		if _, err := a.AWS.EC2.RevokeSecurityGroupEgress(t.Context(), &ec2.RevokeSecurityGroupEgressInput{GroupId: &b.ownGroup, IpPermissions: all}); err != nil {
			t.Fatal(err)
		}
		stops(t, "/green/egress", "sg-egress")
	})
}

var balancerError = regexp.MustCompile(` error="([^"]+)"`)

// balancerCause is the cause that a load balancer's log names for a path.
func balancerCause(t *testing.T, m *machine.Machine, path string) (cause string) {
	t.Helper()
	if err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		for line := range strings.Lines(m.Log()) {
			if !strings.Contains(line, `request="GET `+path+`"`) {
				continue
			}
			if found := balancerError.FindStringSubmatch(line); found != nil {
				cause = found[1]
			}
		}
		return cause != "", "the log names no cause", nil
	}); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return cause
}

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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

// TestALB: an Application Load Balancer between a client and nginx, in one VPC.
func TestALB(t *testing.T) {
	logs := logDir(t)
	m := start(t, "--alb-access-log", logs, "--metrics", "127.0.0.1:9464")
	a := site(t, m, accountA, machine.SiteOptions{})
	b := newBalancer(t, a)
	red, green := b.addTarget(t, m, "red"), b.addTarget(t, m, "green")
	both := b.group(t, "both", red, green)
	groups := map[string]string{"red": b.group(t, "red", red), "green": b.group(t, "green", green)}
	b.listen(t, forwardTo(both))
	client := addHost(t, m, accountA, a.Subnet, "", nil)
	at := "http://" + b.nodes[0].address

	t.Run("both targets are in service", func(t *testing.T) {
		seen := map[string]bool{}
		becomes(t, true, client.curlTo(t, b.nodes[0].address))
		for range 20 {
			name, _, _ := strings.Cut(output(t, client.curl(t.Context(), at+"/")), " ")
			seen[name] = true
		}
		if len(seen) != 2 {
			t.Errorf("answers came from %v", seen)
		}
	})
	t.Run("metrics", func(t *testing.T) {
		_, name, _ := strings.Cut(both, ":targetgroup/")
		becomesTrue(t, "the requests are counted", func() (bool, string) {
			counted := map[string]float64{}
			for _, line := range strings.Split(output(t, m.Command(t.Context(), "curl", "-sSf", "http://127.0.0.1:9464/metrics")), "\n") {
				var value float64
				if key, number, ok := strings.Cut(line, "} "); ok && strings.Contains(key, `target_group="targetgroup/`+name) {
					fmt.Sscan(number, &value)
					metric, _, _ := strings.Cut(key, "{")
					counted[metric] += value
				}
			}
			return counted["isthmus_alb_requests_total"] >= 20 && counted["isthmus_alb_target_response_time_seconds_count"] >= 20 &&
				counted["isthmus_alb_healthy_hosts"] == float64(2*len(b.nodes)), fmt.Sprint(counted)
		})
	})
	t.Run("what a target sees", func(t *testing.T) {
		out := output(t, client.curl(t.Context(), at+"/a%2Fb?c=d", "-H", "X-Forwarded-For: 192.0.2.1", "-H", "Host: shop.example.com"))
		want := regexp.MustCompile(`^(red|green) from=` + b.nodes[0].address + ` host=shop\.example\.com uri=/a%2Fb\?c=d xff=192\.0\.2\.1, ` +
			regexp.QuoteMeta(client.address) + ` proto=http port=80 trace=Root=1-[0-9a-f]{8}-[0-9a-f]{24}$`)
		if !want.MatchString(out) {
			t.Errorf("nginx was sent %q", out)
		}
	})
	t.Run("rules", func(t *testing.T) {
		is := func(field string, c elbtypes.RuleCondition) elbtypes.RuleCondition {
			c.Field = &field
			return c
		}
		rules := []struct {
			condition elbtypes.RuleCondition
			yes, no   []string
		}{
			{is("host-header", elbtypes.RuleCondition{HostHeaderConfig: &elbtypes.HostHeaderConditionConfig{Values: []string{"*.green.example"}}}),
				[]string{at + "/", "-H", "Host: A.Green.example"}, []string{at + "/", "-H", "Host: green.example"}},
			{is("path-pattern", elbtypes.RuleCondition{PathPatternConfig: &elbtypes.PathPatternConditionConfig{Values: []string{"/green/*"}}}),
				[]string{at + "/green/x?y"}, []string{at + "/Green/x"}},
			{is("http-header", elbtypes.RuleCondition{HttpHeaderConfig: &elbtypes.HttpHeaderConditionConfig{HttpHeaderName: aws.String("X-Color"), Values: []string{"gre?n"}}}),
				[]string{at + "/", "-H", "x-color: GREEN"}, []string{at + "/", "-H", "x-color: greeen"}},
			{is("http-request-method", elbtypes.RuleCondition{HttpRequestMethodConfig: &elbtypes.HttpRequestMethodConditionConfig{Values: []string{"OPTIONS"}}}),
				[]string{at + "/", "-X", "OPTIONS"}, []string{at + "/"}},
			{is("query-string", elbtypes.RuleCondition{QueryStringConfig: &elbtypes.QueryStringConditionConfig{Values: []elbtypes.QueryStringKeyValuePair{{Key: aws.String("color"), Value: aws.String("green")}}}}),
				[]string{at + "/?x=1&color=green"}, []string{at + "/?x=green"}},
			{is("source-ip", elbtypes.RuleCondition{SourceIpConfig: &elbtypes.SourceIpConditionConfig{Values: []string{client.address + "/32"}}}),
				[]string{at + "/"}, nil},
		}
		b.modify(t, forwardTo(groups["red"]))
		for i, r := range rules {
			remove := b.rule(t, 10+i, r.condition, forwardTo(groups["green"]))
			b.answers(t, client, "green ", r.yes)
			if r.no != nil {
				b.answers(t, client, "red ", r.no)
			}
			remove()
			b.answers(t, client, "red ", r.yes)
		}
	})
	t.Run("weights", func(t *testing.T) {
		b.modify(t, elbtypes.Action{Type: elbtypes.ActionTypeEnumForward, ForwardConfig: &elbtypes.ForwardActionConfig{TargetGroups: []elbtypes.TargetGroupTuple{
			{TargetGroupArn: aws.String(groups["red"]), Weight: aws.Int32(0)}, {TargetGroupArn: aws.String(groups["green"]), Weight: aws.Int32(5)},
		}}})
		b.answers(t, client, "green ", []string{at + "/"})
		for range 10 {
			b.answers(t, client, "green ", []string{at + "/"})
		}
	})
	t.Run("redirect and fixed response", func(t *testing.T) {
		b.modify(t, elbtypes.Action{Type: elbtypes.ActionTypeEnumRedirect, RedirectConfig: &elbtypes.RedirectActionConfig{
			StatusCode: elbtypes.RedirectActionStatusCodeEnumHttp301, Protocol: aws.String("HTTPS"), Port: aws.String("443"), Path: aws.String("/new/#{path}"),
		}})
		b.answers(t, client, "301 https://shop.example:443/new/a?b=c", []string{at + "/a?b=c", "-H", "Host: shop.example", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}"})
		b.modify(t, elbtypes.Action{Type: elbtypes.ActionTypeEnumFixedResponse, FixedResponseConfig: &elbtypes.FixedResponseActionConfig{
			StatusCode: aws.String("200"), ContentType: aws.String("application/json"), MessageBody: aws.String(`{"fixed":true}`),
		}})
		b.answers(t, client, `{"fixed":true} 200 application/json`, []string{at + "/", "-w", " %{http_code} %{content_type}"})
	})
	t.Run("a cookie keeps a client with its target", func(t *testing.T) {
		attributes(t, a, both, "stickiness.enabled", "true", "stickiness.type", "lb_cookie", "stickiness.lb_cookie.duration_seconds", "60")
		b.modify(t, forwardTo(both))
		dir, err := os.MkdirTemp(m.Dir, "jar")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o777); err != nil { // curl is nobody
			t.Fatal(err)
		}
		jar := filepath.Join(dir, "jar")
		becomes(t, true, client.curlTo(t, b.nodes[0].address))
		b.answers(t, client, "AWSALB=", []string{at + "/", "-D", "-", "-o", "/dev/null"})
		first, _, _ := strings.Cut(output(t, client.curl(t.Context(), at+"/", "-c", jar)), " ")
		for range 10 {
			if now, _, _ := strings.Cut(output(t, client.curl(t.Context(), at+"/", "-b", jar)), " "); now != first {
				t.Fatalf("went to %s, is bound to %s", now, first)
			}
		}
		attributes(t, a, both, "stickiness.enabled", "false")
	})
	t.Run("access log", func(t *testing.T) {
		b.modify(t, forwardTo(both))
		b.answers(t, client, "uri=/logged", []string{at + "/logged"})
		line := regexp.MustCompile(`(?m)^http \S+Z app/web/\w+ ` + regexp.QuoteMeta(client.address) + `:\d+ 10\.0\.1\.\d+:8080 .* 200 200 .*"GET http://` + b.nodes[0].address + `:80/logged HTTP/1\.1" .*"forward"`)
		err := machine.Until(t.Context(), patience, func() (bool, string, error) {
			text, err := os.ReadFile(filepath.Join(logs, b.nodes[0].eni+".log"))
			return line.Match(text), string(text), err
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("rewrites and headers", func(t *testing.T) { b.rewritesAndHeaders(t, client, groups["green"]) })
	t.Run("behind a Network Load Balancer", func(t *testing.T) { b.behindNetwork(t, m, client) })
	t.Run("a group without targets", func(t *testing.T) {
		b.modify(t, forwardTo(b.group(t, "empty")))
		b.answers(t, client, "<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n503", []string{at + "/", "--no-fail", "-w", "%{http_code}"})
	})
	t.Run("a request that outlasts its target's deregistration", func(t *testing.T) { b.deregistration(t, m, client) })
	t.Run("the other target takes over", func(t *testing.T) {
		b.modify(t, forwardTo(both))
		becomes(t, true, client.curlTo(t, b.nodes[0].address))
		green.stop()
		err := machine.Until(t.Context(), patience, func() (bool, string, error) {
			for i := range 10 {
				if out, err := machine.Output(client.curl(t.Context(), at+"/")); err != nil || !strings.HasPrefix(out, "red ") {
					return false, fmt.Sprintf("request %d: %q, %v", i, out, err), nil
				}
			}
			return true, "", nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("a revoked rule is the named cause", func(t *testing.T) {
		b.revokeTargets()
		b.answers(t, client, "504", []string{at + "/revoked", "--no-fail", "-o", "/dev/null", "-w", "%{http_code}"})
		m.Logged(t, "sg-ingress: "+b.targetsGroup)
		b.revokeTargets = allow(t, a, b.targetsGroup, fromGroup("tcp", 8080, 8080, b.ownGroup))
		b.answers(t, client, "red ", []string{at + "/"})
	})
	t.Run("through an API and a link", func(t *testing.T) {
		link := linkV2(t, a)
		a.Listener = b.listener
		api, _, err := a.HTTP(t.Context(), link)
		if err != nil {
			t.Fatal(err)
		}
		answers(t, m, "http://"+api+".execute-api.localhost:8080/over", 200, "uri=/over")
	})
	t.Run("its processes have no privileges, and come back", func(t *testing.T) {
		users := map[int]bool{}
		for _, n := range b.nodes {
			pid := nodeProcess(t, m, n.eni)
			p := confined(t, pid)
			if uid := p.user(t); uid < 0x70000000 || users[uid] {
				t.Errorf("the node %s runs as user %d", n.eni, uid)
			} else {
				users[uid] = true
			}
			if p["CapBnd"] != none {
				t.Errorf("the node %s can gain capabilities %s", n.eni, p["CapBnd"])
			}
			feed := filepath.Join(m.Dir, "run", "feed", "feed.sock")
			as(t, p.user(t), p.ids(t, "Gid"), func() {
				for _, other := range b.nodes {
					want := "refused"
					if other == n {
						want = "update"
					}
					if kind, err := subscribe(feed, "alb/"+other.eni); err != nil || kind != want {
						t.Errorf("%s as %s: %q, %v", n.eni, other.eni, kind, err)
					}
				}
			})
			kill(t, n.eni, pid)
			becomes(t, true, client.curlTo(t, n.address))
			if again := nodeProcess(t, m, n.eni); again == pid {
				t.Errorf("the node %s was not killed", n.eni)
			}
		}
	})
	t.Run("they serve on while isthmus serve is away, and are adopted", func(t *testing.T) {
		before, inside := nodeProcess(t, m, b.nodes[0].eni), namespaceOf(t, m, client)
		killServe(t, m)
		if out, err := machine.Output(m.Command(t.Context(), "nsenter", "--net="+inside, "curl", "-sSf", at+"/")); err != nil || !strings.HasPrefix(out, "red ") {
			t.Errorf("%q, %v", out, err)
		}
		if err := m.Serve(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		if after := nodeProcess(t, m, b.nodes[0].eni); after != before {
			t.Errorf("process %d was replaced by %d", before, after)
		}
		b.answers(t, client, "red ", []string{at + "/"})
	})
	t.Run("they go with the balancer", func(t *testing.T) {
		if _, err := a.AWS.ELB.DeleteLoadBalancer(t.Context(), &elbv2.DeleteLoadBalancerInput{LoadBalancerArn: &b.arn}); err != nil {
			t.Fatal(err)
		}
		err := machine.Until(t.Context(), patience, func() (bool, string, error) {
			for _, p := range status(t, m).Processes {
				if strings.HasPrefix(p.Role, "alb-") {
					return false, p.Role + " runs", nil
				}
			}
			return true, "", nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// balancer is an Application Load Balancer with a node in each of two zones.
type balancer struct {
	site          *machine.Site
	arn, listener string
	nodes         []albNode
	// ownGroup is the balancer's security group, targetsGroup allows it to
	// reach the targets, which revokeTargets ends.
	ownGroup, targetsGroup string
	revokeTargets          func()
}

type albNode struct{ eni, address string }

func newBalancer(t *testing.T, s *machine.Site) *balancer {
	t.Helper()
	b := &balancer{site: s, ownGroup: addGroup(t, s, "balancer"), targetsGroup: addGroup(t, s, "targets")}
	allow(t, s, b.ownGroup, fromCIDR("tcp", 80, 80, "10.0.0.0/16"))
	b.revokeTargets = allow(t, s, b.targetsGroup, fromGroup("tcp", 8080, 8080, b.ownGroup))
	second, err := s.AWS.EC2.CreateSubnet(t.Context(), &ec2.CreateSubnetInput{VpcId: &s.VPC, CidrBlock: aws.String("10.0.2.0/24"), AvailabilityZone: aws.String(machine.Region + "b")})
	if err != nil {
		t.Fatal(err)
	}
	lb, err := s.AWS.ELB.CreateLoadBalancer(t.Context(), &elbv2.CreateLoadBalancerInput{
		Name: aws.String("web"), Type: elbtypes.LoadBalancerTypeEnumApplication, Scheme: elbtypes.LoadBalancerSchemeEnumInternal,
		Subnets: []string{s.Subnet, *second.Subnet.SubnetId}, SecurityGroups: []string{b.ownGroup},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.arn = *lb.LoadBalancers[0].LoadBalancerArn
	_, name, _ := strings.Cut(b.arn, ":loadbalancer/")
	n, err := s.AWS.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: aws.String("description"), Values: []string{"ELB " + name}},
	}})
	if err != nil || len(n.NetworkInterfaces) != 2 {
		t.Fatalf("interfaces of the balancer: %+v, %v", n, err)
	}
	for _, i := range n.NetworkInterfaces {
		node := albNode{*i.NetworkInterfaceId, *i.PrivateIpAddress}
		if *i.SubnetId == s.Subnet { // the clients' zone first
			b.nodes = append([]albNode{node}, b.nodes...)
		} else {
			b.nodes = append(b.nodes, node)
		}
	}
	return b
}

// addTarget starts an nginx that tells its name and what it was sent.
func (b *balancer) addTarget(t *testing.T, m *machine.Machine, name string) *host {
	t.Helper()
	dir, err := os.MkdirTemp(m.Dir, name)
	if err != nil {
		t.Fatal(err)
	}
	conf := strings.NewReplacer("DIR", dir, "NAME", name).Replace(`daemon off; worker_processes 1; pid DIR/pid; error_log DIR/error.log;
events { worker_connections 1024; }
http {
  access_log off; default_type text/plain;
  client_body_temp_path DIR/t1; proxy_temp_path DIR/t2; fastcgi_temp_path DIR/t3; uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5;
  server {
    listen 8080;
    listen 8082 http2; # and nothing else
    location / { return 200 "NAME from=$remote_addr host=$http_host uri=$request_uri xff=$http_x_forwarded_for proto=$http_x_forwarded_proto port=$http_x_forwarded_port trace=$http_x_amzn_trace_id\n"; }
    location /upload { client_max_body_size 10m; proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_method GET; proxy_pass http://127.0.0.1:8080/received; }
    location /user { return 200 "NAME identity=$http_x_amzn_oidc_identity\ndata=$http_x_amzn_oidc_data\ntoken=$http_x_amzn_oidc_accesstoken\n"; }
    location /tls { return 200 "NAME tls=$http_x_amzn_tls_version cipher=$http_x_amzn_tls_cipher_suite cert=$http_x_amzn_mtls_clientcert subject=$http_x_amzn_mtls_clientcert_subject serial=$http_x_amzn_mtls_clientcert_serial_number validity=$http_x_amzn_mtls_clientcert_validity leaf=$http_x_amzn_mtls_clientcert_leaf\n"; }
  }
}
`)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	h := addHost(t, m, b.site.AWS.Account, b.site.Subnet, b.targetsGroup, nil, "nginx", "-c", filepath.Join(dir, "nginx.conf"))
	becomes(t, true, h.curlTo(t, "127.0.0.1:8080"))
	return h
}

// group makes a target group of addresses, which are checked every five
// seconds.
func (b *balancer) group(t *testing.T, name string, targets ...*host) string {
	t.Helper()
	return b.groupOf(t, name, "HTTP1", 8080, targets...)
}

// groupOf is group for targets that speak another version of HTTP.
func (b *balancer) groupOf(t *testing.T, name, version string, port int32, targets ...*host) string {
	t.Helper()
	g, err := b.site.AWS.ELB.CreateTargetGroup(t.Context(), &elbv2.CreateTargetGroupInput{
		Name: &name, Protocol: elbtypes.ProtocolEnumHttp, ProtocolVersion: &version, Port: &port, TargetType: elbtypes.TargetTypeEnumIp, VpcId: &b.site.VPC,
		HealthCheckIntervalSeconds: aws.Int32(5), HealthCheckTimeoutSeconds: aws.Int32(2), UnhealthyThresholdCount: aws.Int32(2), HealthyThresholdCount: aws.Int32(2),
	})
	if err != nil {
		t.Fatal(err)
	}
	arn := g.TargetGroups[0].TargetGroupArn
	for _, h := range targets {
		if _, err := b.site.AWS.ELB.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{
			TargetGroupArn: arn, Targets: []elbtypes.TargetDescription{{Id: &h.address}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	return *arn
}

func forwardTo(group string) elbtypes.Action {
	return elbtypes.Action{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: &group}
}

func (b *balancer) listen(t *testing.T, a elbtypes.Action) {
	t.Helper()
	l, err := b.site.AWS.ELB.CreateListener(t.Context(), &elbv2.CreateListenerInput{
		LoadBalancerArn: &b.arn, Protocol: elbtypes.ProtocolEnumHttp, Port: aws.Int32(80), DefaultActions: []elbtypes.Action{a},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.listener = *l.Listeners[0].ListenerArn
}

// modify gives the listener another default action.
func (b *balancer) modify(t *testing.T, a elbtypes.Action) {
	t.Helper()
	if _, err := b.site.AWS.ELB.ModifyListener(t.Context(), &elbv2.ModifyListenerInput{
		ListenerArn: &b.listener, DefaultActions: []elbtypes.Action{a},
	}); err != nil {
		t.Fatal(err)
	}
}

// rule adds a rule, and returns how to remove it.
func (b *balancer) rule(t *testing.T, priority int, c elbtypes.RuleCondition, a elbtypes.Action) (remove func()) {
	t.Helper()
	r, err := b.site.AWS.ELB.CreateRule(t.Context(), &elbv2.CreateRuleInput{
		ListenerArn: &b.listener, Priority: aws.Int32(int32(priority)), Conditions: []elbtypes.RuleCondition{c}, Actions: []elbtypes.Action{a},
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if _, err := b.site.AWS.ELB.DeleteRule(t.Context(), &elbv2.DeleteRuleInput{RuleArn: r.Rules[0].RuleArn}); err != nil {
			t.Fatal(err)
		}
	}
}

// answers waits until what curl prints holds a text: a change is in force a
// moment after the AWS API has acknowledged it.
func (b *balancer) answers(t *testing.T, client *host, want string, curl []string) {
	t.Helper()
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		out, err := machine.Output(client.curl(t.Context(), curl[0], curl[1:]...))
		return err == nil && strings.Contains(out, want), fmt.Sprintf("%q, %v", out, err), nil
	})
	if err != nil {
		t.Fatalf("%s: want %q: %v", strings.Join(curl, " "), want, err)
	}
}

// attributes sets attributes of a target group: keys and values in turns.
func attributes(t *testing.T, s *machine.Site, group string, pairs ...string) {
	t.Helper()
	in := &elbv2.ModifyTargetGroupAttributesInput{TargetGroupArn: &group}
	for i := 0; i < len(pairs); i += 2 {
		in.Attributes = append(in.Attributes, elbtypes.TargetGroupAttribute{Key: &pairs[i], Value: &pairs[i+1]})
	}
	if _, err := s.AWS.ELB.ModifyTargetGroupAttributes(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// nodeProcess waits for the process of a node, and returns its pid.
func nodeProcess(t *testing.T, m *machine.Machine, eni string) (pid int) {
	t.Helper()
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		for _, p := range status(t, m).Processes {
			if p.Role == "alb-"+eni {
				pid = p.PID
			}
		}
		return pid > 0, "no process of " + eni, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// program is one that "scripts/install-dependencies test" makes.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../bin/" + name)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: scripts/install-dependencies test makes it", err)
	}
	return path
}

// TestALBHTTP2: target groups that speak HTTP/2 and gRPC, with nginx and the
// interoperability tests of gRPC.
func TestALBHTTP2(t *testing.T) {
	grpcClient, grpcServer := program(t, "grpc-client"), program(t, "grpc-server")
	logs := logDir(t)
	m := start(t, "--alb-access-log", logs)
	a := site(t, m, accountA, machine.SiteOptions{})
	b := newBalancer(t, a)
	allow(t, a, b.ownGroup, fromCIDR("tcp", 443, 443, "10.0.0.0/16"))
	allow(t, a, b.targetsGroup, fromGroup("tcp", 8082, 8082, b.ownGroup))
	revokeCalls := allow(t, a, b.targetsGroup, fromGroup("tcp", 9090, 9090, b.ownGroup))
	red, green := b.addTarget(t, m, "red"), b.addTarget(t, m, "green")
	service := addHost(t, m, accountA, a.Subnet, b.targetsGroup, nil, grpcServer, "-port", "9090")
	web := b.groupOf(t, "web2", "HTTP2", 8082, red, green)
	calls := b.groupOf(t, "calls", "GRPC", 9090, service)
	client := addHost(t, m, accountA, a.Subnet, "", nil)
	at := b.nodes[0].address

	certificate := requestCertificate(t, a, "shop.example")
	listener := &elbv2.CreateListenerInput{LoadBalancerArn: &b.arn, Protocol: elbtypes.ProtocolEnumHttp, Port: aws.Int32(443), DefaultActions: []elbtypes.Action{forwardTo(web)}}
	if _, err := a.AWS.ELB.CreateListener(t.Context(), listener); err == nil || !strings.Contains(err.Error(), "InvalidLoadBalancerAction: Listener protocol 'HTTP' is not supported with a target group with the protocol-version 'HTTP2'") {
		t.Errorf("an HTTP listener: %v", err)
	}
	listener.Protocol, listener.Certificates = elbtypes.ProtocolEnumHttps, []elbtypes.Certificate{{CertificateArn: &certificate}}
	created, err := a.AWS.ELB.CreateListener(t.Context(), listener)
	if err != nil {
		t.Fatal(err)
	}
	b.listener = *created.Listeners[0].ListenerArn
	b.rule(t, 1, elbtypes.RuleCondition{Field: aws.String("path-pattern"), PathPatternConfig: &elbtypes.PathPatternConditionConfig{Values: []string{"/grpc.*"}}}, forwardTo(calls))
	authority := readable(t, m, "acm.pem", []byte(output(t, m.Isthmus(t.Context(), "ca", "--acm"))))
	ask := func(path string, more ...string) []string {
		return append([]string{"https://shop.example" + path, "--resolve", "shop.example:443:" + at, "--cacert", authority}, more...)
	}
	call := func(test string, more ...string) (string, error) {
		return machine.Output(client.exec(t.Context(), append([]string{grpcClient, "-use_tls", "-use_test_ca", "-ca_file", authority,
			"-server_host", at, "-server_port", "443", "-server_host_override", "shop.example", "-test_case", test}, more...)...))
	}

	t.Run("targets are checked by their protocol", func(t *testing.T) {
		for _, group := range []string{web, calls} {
			waiter := elbv2.NewTargetInServiceWaiter(a.AWS.ELB, func(o *elbv2.TargetInServiceWaiterOptions) {
				o.MinDelay, o.MaxDelay = 100*time.Millisecond, 100*time.Millisecond // not the SDK's 15 s
			})
			if err := waiter.Wait(t.Context(), &elbv2.DescribeTargetHealthInput{TargetGroupArn: &group}, patience); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("HTTP/2 from end to end", func(t *testing.T) {
		b.answers(t, client, " from="+at+" host=shop.example uri=/a%2Fb?c xff="+client.address+" proto=https port=443", ask("/a%2Fb?c", "--http2"))
		b.answers(t, client, "2 464 0", ask("/grpc.a/b", "--http2", "--no-fail", "-o", "/dev/null", "-w", "%{http_version} %{http_code} %{size_download}"))
		b.answers(t, client, "1.1 464 0", ask("/", "--http1.1", "--no-fail", "-o", "/dev/null", "-w", "%{http_version} %{http_code} %{size_download}"))
		body := readable(t, m, "body", []byte(strings.Repeat("0123456789abcdef", 40<<10)))
		b.answers(t, client, "2 200 655360", ask("/upload", "--http2", "-T", body, "-o", "/dev/null", "-w", "%{http_version} %{http_code} %{size_upload}"))
		out := output(t, client.exec(t.Context(), "nghttp", "-nv", "--header", ":authority: shop.example", "https://"+at+"/nghttp"))
		if !strings.Contains(out, ":status: 200") || !strings.Contains(out, "server: nginx") {
			t.Error(out)
		}
	})
	t.Run("gRPC's interoperability tests", func(t *testing.T) {
		for _, test := range []string{
			"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "timeout_on_sleeping_server",
			"cancel_after_begin", "cancel_after_first_response", "status_code_and_message", "special_status_message", "custom_metadata",
			"unimplemented_method", "unimplemented_service",
		} {
			if out, err := call(test); err != nil {
				t.Errorf("%s: %v %s", test, err, out)
			}
		}
		line := regexp.MustCompile(`(?m)^grpcs \S+Z app/web/\w+ ` + regexp.QuoteMeta(client.address) + `:\d+ ` + regexp.QuoteMeta(service.address) +
			`:9090 .* 200 200 .*"POST https://shop\.example:443/grpc\.testing\.TestService/FullDuplexCall HTTP/2\.0"`)
		becomesTrue(t, "the access log tells of a call", func() (bool, string) {
			text, err := os.ReadFile(filepath.Join(logs, b.nodes[0].eni+".log"))
			return err == nil && line.Match(text), string(text)
		})
		if out, err := call("rpc_soak", "-soak_num_threads", "16", "-soak_iterations", "160", "-soak_request_size", "100000", "-soak_response_size", "100000",
			"-soak_overall_timeout_seconds", "120", "-soak_per_iteration_max_acceptable_latency_ms", "20000"); err != nil {
			t.Errorf("%v %s", err, out)
		}
	})
	t.Run("a target leaves in the middle of a load", func(t *testing.T) {
		// nginx ends each connection after 1,000 requests.
		load := client.exec(t.Context(), "h2load", "-n", "5000", "-c", "10", "-m", "20", "--header", ":authority: shop.example", "https://"+at+"/load")
		var out strings.Builder
		load.Stdout = &out
		if err := load.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.AWS.ELB.DeregisterTargets(t.Context(), &elbv2.DeregisterTargetsInput{TargetGroupArn: &web, Targets: []elbtypes.TargetDescription{{Id: &green.address}}}); err != nil {
			t.Fatal(err)
		}
		if err := load.Wait(); err != nil || !strings.Contains(out.String(), "5000 succeeded, 0 failed, 0 errored") {
			t.Errorf("%v\n%s", err, out.String())
		}
		for range 5 {
			b.answers(t, client, "red ", ask("/", "--http2"))
		}
	})
	t.Run("a revoked rule is the named cause", func(t *testing.T) {
		revokeCalls()
		becomesTrue(t, "the call fails", func() (bool, string) {
			out, err := call("empty_unary")
			return err != nil && strings.Contains(err.Error()+out, "504"), out
		})
		m.Logged(t, "sg-ingress: "+b.targetsGroup)
		allow(t, a, b.targetsGroup, fromGroup("tcp", 9090, 9090, b.ownGroup))
		becomesTrue(t, "the call succeeds", func() (bool, string) {
			out, err := call("empty_unary")
			return err == nil, out
		})
	})
}

package elbv2

import (
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// cli is the real aws CLI, which calls a fixture's service.
type cli struct {
	t       *testing.T
	program string
	url     string
	home    string
}

func newCLI(t *testing.T, f *fixture) cli {
	t.Helper()
	program, err := exec.LookPath("aws")
	if err != nil {
		t.Fatal("the aws CLI is not installed; scripts/install-dependencies run installs it")
	}
	server := httptest.NewServer(wire.NewHandler(wire.Options{Log: slog.New(slog.DiscardHandler)}, wire.Service{API: api.API, Server: f.Service}))
	t.Cleanup(server.Close)
	return cli{t, program, server.URL, t.TempDir()}
}

// aws runs a command and returns what it printed, or the end of its error.
func (c cli) aws(command string) (string, bool) {
	c.t.Helper()
	cmd := exec.Command(c.program, append([]string{"elbv2", "--endpoint-url", c.url, "--output", "text"}, strings.Fields(command)...)...)
	cmd.Env = append(os.Environ(), "HOME="+c.home, "AWS_CONFIG_FILE="+filepath.Join(c.home, "none"),
		"AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(c.home, "none"), "AWS_PAGER=", "AWS_ACCESS_KEY_ID="+account,
		"AWS_SECRET_ACCESS_KEY=x", "AWS_DEFAULT_REGION="+region, "AWS_REGION="+region, "AWS_MAX_ATTEMPTS=1")
	var out, fail strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &fail
	if err := cmd.Run(); err != nil {
		return strings.TrimSpace(fail.String()), false
	}
	return strings.Join(strings.Fields(out.String()), " "), true
}

func (c cli) run(command string) string {
	c.t.Helper()
	out, ok := c.aws(command)
	if !ok {
		c.t.Fatalf("aws elbv2 %s: %s", command, out)
	}
	return out
}

func (c cli) want(command, want string) {
	c.t.Helper()
	if got := c.run(command); got != want {
		c.t.Errorf("aws elbv2 %s printed %q, want %q", command, got, want)
	}
}

func (c cli) wantFailure(command, want string) {
	c.t.Helper()
	if got, ok := c.aws(command); ok || !strings.HasSuffix(got, want) {
		c.t.Errorf("aws elbv2 %s: %q, want the failure %q", command, got, want)
	}
}

// TestCLI takes a Network Load Balancer through its life with the aws CLI.
func TestCLI(t *testing.T) {
	f := newFixture(t)
	c := newCLI(t, f)
	run, want, wantFailure := c.run, c.want, c.wantFailure

	wantFailure("create-load-balancer --name web --type network --subnets "+f.subA.ID,
		"An error occurred (InvalidScheme) when calling the CreateLoadBalancer operation: Isthmus has no internet side yet, "+
			"so that load balancers cannot be 'internet-facing', which is the default; specify the scheme 'internal'")
	lb := run("create-load-balancer --name web --type network --scheme internal --security-groups " + f.groupA.ID +
		" --subnet-mappings SubnetId=" + f.subA.ID + ",PrivateIPv4Address=10.0.1.50 SubnetId=" + f.subB.ID +
		" --tags Key=a,Value=b --query LoadBalancers[0].LoadBalancerArn")
	group := run("create-target-group --name tg --protocol TCP --port 80 --target-type ip --vpc-id " + f.vpc.ID +
		" --health-check-protocol HTTP --health-check-path /up --matcher HttpCode=200 --query TargetGroups[0].TargetGroupArn")
	listener := run("create-listener --load-balancer-arn " + lb + " --protocol TCP --port 80 --default-actions Type=forward,TargetGroupArn=" +
		group + " --query Listeners[0].ListenerArn")
	run("register-targets --target-group-arn " + group + " --targets Id=10.0.1.9 Id=10.0.2.9,Port=81")

	want("describe-load-balancers --names web --query LoadBalancers[].[State.Code,Scheme,AvailabilityZones[0].LoadBalancerAddresses[0].PrivateIPv4Address,SecurityGroups[0]]",
		"provisioning internal 10.0.1.50 "+f.groupA.ID)
	want("describe-target-groups --load-balancer-arn "+lb+" --query TargetGroups[].[HealthCheckProtocol,HealthCheckPath,Matcher.HttpCode,HealthCheckTimeoutSeconds,LoadBalancerArns[0]]",
		"HTTP /up 200 6 "+lb)
	want("describe-listeners --load-balancer-arn "+lb+" --query Listeners[].[ListenerArn,Port,DefaultActions[0].TargetGroupArn]", listener+" 80 "+group)
	want("describe-target-health --target-group-arn "+group+" --query TargetHealthDescriptions[].[Target.Id,Target.Port,Target.AvailabilityZone,TargetHealth.State,TargetHealth.Reason]",
		"10.0.1.9 80 us-east-1a initial Elb.RegistrationInProgress 10.0.2.9 81 us-east-1b initial Elb.RegistrationInProgress")
	want("describe-tags --resource-arns "+lb+" --query TagDescriptions[].Tags[].[Key,Value]", "a b")
	want("modify-target-group-attributes --target-group-arn "+group+" --attributes Key=deregistration_delay.timeout_seconds,Value=30"+
		" --query Attributes[?Key=='deregistration_delay.timeout_seconds'].Value", "30")
	wantFailure("delete-target-group --target-group-arn "+group,
		"An error occurred (ResourceInUse) when calling the DeleteTargetGroup operation: Target group '"+group+"' is currently in use by a listener or a rule")
	run("delete-load-balancer --load-balancer-arn " + lb)
	wantFailure("describe-load-balancers --load-balancer-arns "+lb,
		"An error occurred (LoadBalancerNotFound) when calling the DescribeLoadBalancers operation: One or more load balancers not found")
	run("delete-target-group --target-group-arn " + group)
}

// TestCLIApplication does so with an Application Load Balancer and its rules.
func TestCLIApplication(t *testing.T) {
	f := newFixture(t)
	c := newCLI(t, f)
	run, want, wantFailure := c.run, c.want, c.wantFailure

	lb := run("create-load-balancer --name web --scheme internal --security-groups " + f.groupA.ID + " --subnets " + f.subA.ID + " " + f.subB.ID +
		" --query LoadBalancers[0].LoadBalancerArn")
	group := run("create-target-group --name tg --protocol HTTP --port 80 --target-type ip --vpc-id " + f.vpc.ID + " --query TargetGroups[0].TargetGroupArn")
	listener := run("create-listener --load-balancer-arn " + lb + " --protocol HTTP --port 80" +
		" --default-actions Type=fixed-response,FixedResponseConfig={StatusCode=404,MessageBody=none} --query Listeners[0].ListenerArn")
	wantFailure("create-listener --load-balancer-arn "+lb+" --protocol HTTPS --port 443 --certificates CertificateArn=x --default-actions Type=forward,TargetGroupArn="+group,
		"An error occurred (CertificateNotFound) when calling the CreateListener operation: Certificate 'x' not found")
	rule := run("create-rule --listener-arn " + listener + " --priority 5 --conditions Field=host-header,Values=a.example.com" +
		" Field=http-request-method,HttpRequestMethodConfig={Values=[GET,HEAD]} --actions Type=forward,TargetGroupArn=" + group + " --query Rules[0].RuleArn")
	want("describe-rules --listener-arn "+listener+" --query Rules[].[Priority,IsDefault,Actions[0].Type]", "5 False forward default True fixed-response")
	want("describe-rules --rule-arns "+rule+" --query Rules[].Conditions[].[Field,Values[0],HttpRequestMethodConfig.Values[1]]",
		"host-header a.example.com None http-request-method None HEAD")
	wantFailure("create-rule --listener-arn "+listener+" --priority 5 --conditions Field=path-pattern,Values=/ --actions Type=forward,TargetGroupArn="+group,
		"An error occurred (PriorityInUse) when calling the CreateRule operation: Priority '5' is currently in use")
	want("set-rule-priorities --rule-priorities RuleArn="+rule+",Priority=7 --query Rules[].Priority", "7")
	want("modify-rule --rule-arn "+rule+" --actions Type=redirect,RedirectConfig={Protocol=HTTPS,Port=443,StatusCode=HTTP_301} --query Rules[].Actions[].RedirectConfig.[Host,Path]",
		"#{host} /#{path}")
	want("modify-load-balancer-attributes --load-balancer-arn "+lb+" --attributes Key=idle_timeout.timeout_seconds,Value=30"+
		" --query Attributes[?Key=='idle_timeout.timeout_seconds'].Value", "30")
	want("modify-listener-attributes --listener-arn "+listener+" --attributes Key=routing.http.response.server.enabled,Value=false --query Attributes[].Value", "false")
	run("add-tags --resource-arns " + rule + " --tags Key=a,Value=b")
	want("describe-tags --resource-arns "+rule+" --query TagDescriptions[].Tags[].[Key,Value]", "a b")
	run("delete-rule --rule-arn " + rule)
	run("delete-target-group --target-group-arn " + group)
	run("delete-load-balancer --load-balancer-arn " + lb)
}

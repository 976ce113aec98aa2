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

// TestCLI takes a load balancer through its life with the real aws CLI.
func TestCLI(t *testing.T) {
	program, err := exec.LookPath("aws")
	if err != nil {
		t.Fatal("the aws CLI is not installed; scripts/install-dependencies run installs it")
	}
	f := newFixture(t)
	server := httptest.NewServer(wire.NewHandler(wire.Options{Log: slog.New(slog.DiscardHandler)}, wire.Service{API: api.API, Server: f.Service}))
	defer server.Close()
	home := t.TempDir()

	// aws runs a command and returns what it printed, or the end of its error.
	aws := func(command string) (string, bool) {
		t.Helper()
		cmd := exec.Command(program, append([]string{"elbv2", "--endpoint-url", server.URL, "--output", "text"}, strings.Fields(command)...)...)
		cmd.Env = append(os.Environ(), "HOME="+home, "AWS_CONFIG_FILE="+filepath.Join(home, "none"),
			"AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(home, "none"), "AWS_PAGER=", "AWS_ACCESS_KEY_ID="+account,
			"AWS_SECRET_ACCESS_KEY=x", "AWS_DEFAULT_REGION="+region, "AWS_REGION="+region, "AWS_MAX_ATTEMPTS=1")
		var out, fail strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &fail
		if err := cmd.Run(); err != nil {
			return strings.TrimSpace(fail.String()), false
		}
		return strings.Join(strings.Fields(out.String()), " "), true
	}
	run := func(command string) string {
		t.Helper()
		out, ok := aws(command)
		if !ok {
			t.Fatalf("aws elbv2 %s: %s", command, out)
		}
		return out
	}
	want := func(command, want string) {
		t.Helper()
		if got := run(command); got != want {
			t.Errorf("aws elbv2 %s printed %q, want %q", command, got, want)
		}
	}
	wantFailure := func(command, want string) {
		t.Helper()
		if got, ok := aws(command); ok || !strings.HasSuffix(got, want) {
			t.Errorf("aws elbv2 %s: %q, want the failure %q", command, got, want)
		}
	}

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

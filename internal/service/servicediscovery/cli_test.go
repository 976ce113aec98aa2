package servicediscovery

import (
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/servicediscovery"
)

// TestCLI takes a service through its life with the real aws CLI.
func TestCLI(t *testing.T) {
	program, err := exec.LookPath("aws")
	if err != nil {
		t.Fatal("the aws CLI is not installed; scripts/install-dependencies run installs it")
	}
	f := newFixture(t)
	server := httptest.NewServer(wire.NewHandler(wire.Options{Log: slog.New(slog.DiscardHandler)}, wire.Service{API: api.API, Server: f.Service}))
	defer server.Close()
	home := t.TempDir()
	// aws runs a command and returns what it printed, or its error.
	aws := func(command string) (string, bool) {
		t.Helper()
		cmd := exec.Command(program, append([]string{"servicediscovery", "--endpoint-url", server.URL, "--output", "text"}, strings.Fields(command)...)...)
		// The CLI writes "data-" before the host of some operations. That
		// name resolves nowhere, but as a proxy the server is asked itself.
		cmd.Env = append(os.Environ(), "HOME="+home, "AWS_CONFIG_FILE="+filepath.Join(home, "none"), "http_proxy="+server.URL, "no_proxy=",
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
			t.Fatalf("aws servicediscovery %s: %s", command, out)
		}
		return out
	}
	want := func(command, want string) {
		t.Helper()
		if got := run(command); got != want {
			t.Errorf("aws servicediscovery %s printed %q, want %q", command, got, want)
		}
	}
	wantFailure := func(command, want string) {
		t.Helper()
		if got, ok := aws(command); ok || !strings.Contains(got, want) {
			t.Errorf("aws servicediscovery %s: %q, want the failure %q", command, got, want)
		}
	}

	operation := run("create-private-dns-namespace --name shop.local --vpc " + f.vpc + " --tags Key=a,Value=b --query OperationId")
	namespace := run("get-operation --operation-id " + operation + " --query Operation.Targets.NAMESPACE")
	want("get-namespace --id "+namespace+" --query Namespace.[Name,Type,Properties.DnsProperties.SOA.TTL,ServiceCount]", "shop.local DNS_PRIVATE 15 0")
	service := run("create-service --name web --namespace-id " + namespace + " --dns-config DnsRecords=[{Type=SRV,TTL=10}] --health-check-custom-config FailureThreshold=1 --query Service.Id")
	run("register-instance --service-id " + service + " --instance-id one --attributes AWS_INSTANCE_IPV4=10.0.0.1,AWS_INSTANCE_PORT=80,color=blue")
	run("register-instance --service-id " + service + " --instance-id two --attributes AWS_INSTANCE_IPV4=10.0.0.2,AWS_INSTANCE_PORT=81,AWS_INIT_HEALTH_STATUS=UNHEALTHY")
	want("discover-instances --namespace-name shop.local --service-name web --query Instances[].[InstanceId,HealthStatus,Attributes.color]", "one HEALTHY blue")
	want("discover-instances --namespace-name shop.local --service-name web --query-parameters color=red --query Instances", "")
	run("update-instance-custom-health-status --service-id " + service + " --instance-id two --status HEALTHY")
	want("get-instances-health-status --service-id "+service+" --query Status.[one,two]", "HEALTHY HEALTHY")
	want("list-instances --service-id "+service+" --query Instances[].Id", "one two")
	want("list-tags-for-resource --resource-arn arn:aws:servicediscovery:us-east-1:"+account+":namespace/"+namespace+" --query Tags[].[Key,Value]", "a b")

	wantFailure("discover-instances --namespace-name none --service-name web", "(NamespaceNotFound) when calling the DiscoverInstances operation")
	wantFailure("create-service --name web --namespace-id "+namespace+" --dns-config DnsRecords=[{Type=A,TTL=10}]", "(ServiceAlreadyExists)")
	wantFailure("create-service --name w/w --namespace-id "+namespace, "(InvalidInput)")
	wantFailure("create-public-dns-namespace --name example.com", "(UnsupportedOperationException)")
	wantFailure("delete-service --id "+service, "(ResourceInUse)")
	for _, id := range []string{"one", "two"} {
		run("deregister-instance --service-id " + service + " --instance-id " + id)
	}
	run("delete-service --id " + service)
	run("delete-namespace --id " + namespace)
	want("list-namespaces --query Namespaces", "")
}

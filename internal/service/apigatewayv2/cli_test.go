package apigatewayv2

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/compile"
	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	v1 "github.com/isthmus-net/isthmus/internal/service/apigateway"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/apigateway"
	api "github.com/isthmus-net/isthmus/internal/wire/apigatewayv2"
)

// cli runs the aws CLI as an account.
type cli struct {
	*testing.T
	path, endpoint string
	env            []string
}

func newCLI(t *testing.T, account string) cli {
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Fatal("the aws CLI is not installed; scripts/install-dependencies run installs it")
	}
	server := httptest.NewServer(wire.NewHandler(wire.Options{Log: slog.New(slog.DiscardHandler)},
		wire.Service{API: apigateway.API, Server: v1.New(db, true)}, wire.Service{API: api.API, Server: New(db, true)}))
	t.Cleanup(server.Close)
	home := t.TempDir()
	return cli{t, path, server.URL, []string{
		"HOME=" + home, "AWS_CONFIG_FILE=" + home + "/none", "AWS_SHARED_CREDENTIALS_FILE=" + home + "/none", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID=" + account, "AWS_SECRET_ACCESS_KEY=x", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_MAX_ATTEMPTS=1", "AWS_PAGER=",
	}}
}

func (c cli) run(args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(c.Context(), c.path, append([]string{"--endpoint-url", c.endpoint, "--output", "json"}, args...)...)
	cmd.Env = c.env
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	return out.String(), errOut.String(), err
}

// get runs a command and returns one member of its answer.
func (c cli) get(member string, args ...string) string {
	c.Helper()
	stdout, stderr, err := c.run(args...)
	if err != nil {
		c.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	if member == "" {
		return ""
	}
	answer := map[string]any{}
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
		c.Fatalf("aws %s: %v in %s", strings.Join(args, " "), err, stdout)
	}
	s, ok := answer[member].(string)
	if !ok {
		c.Fatalf("aws %s: no string %s in %s", strings.Join(args, " "), member, stdout)
	}
	return s
}

// The whole way, from commands to what the gateway is given.
func TestCLI(t *testing.T) {
	e := newEnv(t)
	c := newCLI(t, e.account)

	link := c.get("id", "apigateway", "create-vpc-link", "--name", "v1", "--target-arns", e.balancer)
	rest := c.get("id", "apigateway", "create-rest-api", "--name", "rest", "--endpoint-configuration", "types=REGIONAL")
	root := c.get("rootResourceId", "apigateway", "get-rest-api", "--rest-api-id", rest)
	pets := c.get("id", "apigateway", "create-resource", "--rest-api-id", rest, "--parent-id", root, "--path-part", "{proxy+}")
	at := []string{"--rest-api-id", rest, "--resource-id", pets, "--http-method", "ANY"}
	c.get("authorizationType", append([]string{"apigateway", "put-method", "--authorization-type", "NONE", "--request-parameters", "method.request.path.proxy=true"}, at...)...)
	c.get("uri", append([]string{"apigateway", "put-integration", "--type", "HTTP_PROXY", "--integration-http-method", "ANY", "--uri", "http://backend.example/{proxy}",
		"--connection-type", "VPC_LINK", "--connection-id", "${stageVariables.link}",
		"--request-parameters", "integration.request.path.proxy=method.request.path.proxy"}, at...)...)
	c.get("id", "apigateway", "create-deployment", "--rest-api-id", rest, "--stage-name", "prod", "--variables", "link="+link)

	second := c.get("VpcLinkId", "apigatewayv2", "create-vpc-link", "--name", "v2", "--subnet-ids", e.subnetA, "--security-group-ids", e.group)
	http := c.get("ApiId", "apigatewayv2", "create-api", "--name", "http", "--protocol-type", "HTTP")
	integration := c.get("IntegrationId", "apigatewayv2", "create-integration", "--api-id", http, "--integration-type", "HTTP_PROXY", "--integration-method", "ANY",
		"--connection-type", "VPC_LINK", "--connection-id", second, "--integration-uri", e.listener, "--payload-format-version", "1.0")
	c.get("RouteId", "apigatewayv2", "create-route", "--api-id", http, "--route-key", "$default", "--target", "integrations/"+integration)
	c.get("StageName", "apigatewayv2", "create-stage", "--api-id", http, "--stage-name", "$default", "--auto-deploy")

	configuration := func() config.Config {
		view := db.View()
		return compile.Gateway(compile.GatewayInput{
			Region:   "us-east-1",
			RestAPIs: store.RestAPIs.List(view), RestStages: store.RestStages.List(view), RestDeployments: store.RestDeployments.List(view),
			HTTPAPIs: store.HTTPAPIs.List(view), HTTPStages: store.HTTPStages.List(view), HTTPDeployments: store.HTTPDeployments.List(view),
			LinksV1: store.VPCLinksV1.List(view), LinksV2: store.VPCLinksV2.List(view), Listeners: store.Listeners.List(view),
		})
	}
	out := configuration()
	routes := map[string]config.Route{}
	for _, a := range out.APIs {
		for _, s := range a.Stages {
			for _, r := range s.Routes {
				routes[a.ID+" "+s.Name+" "+r.Key] = r
			}
		}
	}
	r, ok := routes[rest+" prod ANY /{proxy+}"]
	if !ok || r.Integration.Error != "" || out.Upstreams[r.Integration.Upstream].Cause != "VPC link "+link+" is PENDING" ||
		r.Integration.RequestParameters["integration.request.path.proxy"] != "method.request.path.proxy" {
		t.Errorf("REST route %+v, upstreams %+v", r, out.Upstreams)
	}
	r, ok = routes[http+" $default $default"]
	if !ok || out.Upstreams[r.Integration.Upstream].Cause != "VPC link "+second+" is PENDING" {
		t.Errorf("HTTP route %+v, upstreams %+v", r, out.Upstreams)
	}

	c.get("", "apigateway", "update-stage", "--rest-api-id", rest, "--stage-name", "prod", "--patch-operations", "op=replace,path=/variables/link,value=none", "op=replace,path=/*/*/logging/loglevel,value=INFO")
	if st, _ := store.RestStages.Get(db.View(), rest+"/prod"); st.Variables["link"] != "none" || st.MethodSettings["*/*"].LoggingLevel != "INFO" {
		t.Errorf("stage %+v", st)
	}
	group := "arn:aws:logs:us-east-1:" + e.account + ":log-group:/aws/api"
	c.get("", "apigateway", "update-stage", "--rest-api-id", rest, "--stage-name", "prod", "--patch-operations",
		"op=replace,path=/accessLogSettings/destinationArn,value="+group, "op=replace,path=/accessLogSettings/format,value=$context.requestId")
	c.get("", "apigatewayv2", "update-stage", "--api-id", http, "--stage-name", "$default", "--access-log-settings", "DestinationArn="+group+",Format=$context.requestId")
	logs := func() (found []config.AccessLog) {
		for _, a := range configuration().APIs {
			for _, st := range a.Stages {
				if (a.ID == rest || a.ID == http) && st.AccessLog != nil {
					found = append(found, *st.AccessLog)
				}
			}
		}
		return found
	}
	want := config.AccessLog{Format: "$context.requestId", Path: e.account + "/aws/api.log"}
	if got := logs(); !slices.Equal(got, []config.AccessLog{want, want}) {
		t.Errorf("access logs %+v", got)
	}
	c.get("", "apigatewayv2", "delete-access-log-settings", "--api-id", http, "--stage-name", "$default")
	c.get("", "apigateway", "update-stage", "--rest-api-id", rest, "--stage-name", "prod", "--patch-operations", "op=remove,path=/accessLogSettings")
	if got := logs(); got != nil {
		t.Errorf("access logs %+v", got)
	}
	arn := "arn:aws:apigateway:us-east-1::/vpclinks/" + second
	c.get("", "apigatewayv2", "tag-resource", "--resource-arn", arn, "--tags", "a=b")
	if l, _ := store.VPCLinksV2.Get(db.View(), second); l.Tags["a"] != "b" {
		t.Errorf("tags %v", l.Tags)
	}
	for _, bad := range []struct {
		args  []string
		error string
	}{
		{[]string{"apigatewayv2", "delete-vpc-link", "--vpc-link-id", second}, "(BadRequestException) when calling the DeleteVpcLink operation: Cannot delete vpc link. Vpc link '" + second + "', is referenced in [ANY:"},
		{[]string{"apigateway", "get-vpc-link", "--vpc-link-id", "nolink"}, "(NotFoundException) when calling the GetVpcLink operation: Invalid Vpc Link identifier specified"},
		{[]string{"apigateway", "create-rest-api", "--name", "x", "--endpoint-configuration", "ipAddressType=wrong"}, "Value 'wrong' at 'createRestApiInput.endpointConfiguration.ipAddressType' failed to satisfy constraint: Member must satisfy enum value set: [ipv4, dualstack]"},
		{[]string{"apigatewayv2", "create-integration", "--api-id", http, "--integration-type", "HTTP_PROXY", "--integration-method", "GET", "--connection-type", "VPC_LINK", "--connection-id", second, "--integration-uri", e.balancer},
			"For VpcLink VPC_LINK, integration uri should be a valid ELB listener ARN or a valid Cloud Map service ARN."},
	} {
		_, stderr, err := c.run(bad.args...)
		if err == nil || !strings.Contains(stderr, bad.error) {
			t.Errorf("aws %s: %v %s\nwant %s", strings.Join(bad.args, " "), err, stderr, bad.error)
		}
	}
	c.get("", "apigateway", "delete-rest-api", "--rest-api-id", rest)
	c.get("", "apigatewayv2", "delete-api", "--api-id", http)
	c.get("", "apigateway", "delete-vpc-link", "--vpc-link-id", link)
	if l, _ := store.VPCLinksV1.Get(db.View(), link); l.Status != resource.VPCLinkDeleting {
		t.Errorf("link %+v", l)
	}
}

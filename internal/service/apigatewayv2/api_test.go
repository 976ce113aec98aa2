package apigatewayv2

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigatewayv2"
)

func TestAPI(t *testing.T) {
	e := newEnv(t)
	cors := &api.Cors{AllowOrigins: []string{"https://x"}, AllowCredentials: wire.Ptr(true), MaxAge: wire.Ptr[int64](0)}
	a := must[api.CreateApiOutput](t)(e.CreateApi(e.ctx, &api.CreateApiInput{Name: wire.Ptr("shop"), ProtocolType: wire.Ptr("HTTP"), CorsConfiguration: cors}))
	if len(*a.ApiId) != 10 || *a.ApiEndpoint != "https://"+*a.ApiId+".execute-api.us-east-1.amazonaws.com" || *a.IpAddressType != "ipv4" ||
		*a.RouteSelectionExpression != "$request.method $request.path" || a.Tags == nil || !reflect.DeepEqual(a.CorsConfiguration, cors) {
		t.Errorf("created %+v", a)
	}
	got := must[api.UpdateApiOutput](t)(e.UpdateApi(e.ctx, &api.UpdateApiInput{ApiId: a.ApiId, Description: wire.Ptr("d"), DisableExecuteApiEndpoint: wire.Ptr(true)}))
	if *got.Name != "shop" || *got.Description != "d" || !*got.DisableExecuteApiEndpoint || !reflect.DeepEqual(got.CorsConfiguration, cors) {
		t.Errorf("updated %+v", got)
	}
	must[api.DeleteCorsConfigurationOutput](t)(e.DeleteCorsConfiguration(e.ctx, &api.DeleteCorsConfigurationInput{ApiId: a.ApiId}))
	if got := must[api.GetApiOutput](t)(e.GetApi(e.ctx, &api.GetApiInput{ApiId: a.ApiId})); got.CorsConfiguration != nil {
		t.Errorf("CORS %+v", got.CorsConfiguration)
	}
	if got := must[api.UpdateApiOutput](t)(e.UpdateApi(e.ctx, &api.UpdateApiInput{ApiId: a.ApiId, CorsConfiguration: &api.Cors{}})); got.CorsConfiguration != nil {
		t.Errorf("empty CORS %+v", got.CorsConfiguration)
	}
	_, err := e.CreateApi(e.ctx, &api.CreateApiInput{Name: wire.Ptr("w"), ProtocolType: wire.Ptr("WEBSOCKET")})
	refused(t, err, 400, badRequestCode, "Protocol type WEBSOCKET is not supported. Must be one of [HTTP]")
	_, err = e.UpdateApi(e.ctx, &api.UpdateApiInput{ApiId: a.ApiId, RouteKey: wire.Ptr("$default")})
	refused(t, err, 400, badRequestCode, "Target and route key can only be changed for APIs that were made by quick create")
	_, err = e.UpdateApi(e.ctx, &api.UpdateApiInput{ApiId: a.ApiId, CorsConfiguration: &api.Cors{AllowCredentials: wire.Ptr(true), AllowOrigins: []string{"*"}}})
	refused(t, err, 400, badRequestCode, "AllowOrigins cannot be '*' when AllowCredentials is true")

	stranger := newEnv(t)
	_, err = stranger.GetApi(stranger.ctx, &api.GetApiInput{ApiId: a.ApiId})
	refused(t, err, 404, "NotFoundException", "Invalid API identifier specified "+stranger.account+":"+*a.ApiId)
	if list := must[api.GetApisOutput](t)(e.GetApis(e.ctx, &api.GetApisInput{MaxResults: wire.Ptr("1")})); len(list.Items) != 1 || list.NextToken != nil {
		t.Errorf("list %+v", list)
	}
	arn := wire.Ptr("arn:aws:apigateway:us-east-1::/apis/" + *a.ApiId)
	must[api.TagResourceOutput](t)(e.TagResource(e.ctx, &api.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"a": "b", "c": "d"}}))
	must[api.UntagResourceOutput](t)(e.UntagResource(e.ctx, &api.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"a"}}))
	if got := must[api.GetTagsOutput](t)(e.GetTags(e.ctx, &api.GetTagsInput{ResourceArn: arn})); !reflect.DeepEqual(got.Tags, map[string]string{"c": "d"}) {
		t.Errorf("tags %v", got.Tags)
	}
	_, err = e.GetTags(e.ctx, &api.GetTagsInput{ResourceArn: wire.Ptr("not-an-arn")})
	refused(t, err, 400, badRequestCode, "Invalid resource ARN specified not-an-arn")
}

func TestQuickCreate(t *testing.T) {
	e := newEnv(t)
	a := must[api.CreateApiOutput](t)(e.CreateApi(e.ctx, &api.CreateApiInput{Name: wire.Ptr("q"), ProtocolType: wire.Ptr("HTTP"), Target: wire.Ptr("https://example.com/x")}))
	d := e.deployed(a.ApiId, "$default")
	if d == nil || len(d.Routes) != 1 || d.Routes[0].RouteKey != "$default" || d.Integrations[0].URI != "https://example.com/x" || d.Integrations[0].Method != "ANY" {
		t.Fatalf("deployed %+v", d)
	}
	must[api.UpdateApiOutput](t)(e.UpdateApi(e.ctx, &api.UpdateApiInput{ApiId: a.ApiId, Target: wire.Ptr("http://b/"), RouteKey: wire.Ptr("GET /b")}))
	if d := e.deployed(a.ApiId, "$default"); d.Routes[0].RouteKey != "GET /b" || d.Integrations[0].URI != "http://b/" {
		t.Errorf("deployed %+v", d)
	}
	if routes := must[api.GetRoutesOutput](t)(e.GetRoutes(e.ctx, &api.GetRoutesInput{ApiId: a.ApiId})); !*routes.Items[0].ApiGatewayManaged {
		t.Errorf("route %+v", routes.Items[0])
	}
	must[api.DeleteApiOutput](t)(e.DeleteApi(e.ctx, &api.DeleteApiInput{ApiId: a.ApiId}))
	view, prefix := db.View(), *a.ApiId+"/"
	if n := len(store.HTTPRoutes.ListPrefix(view, prefix)) + len(store.HTTPIntegrations.ListPrefix(view, prefix)) +
		len(store.HTTPStages.ListPrefix(view, prefix)) + len(store.HTTPDeployments.ListPrefix(view, prefix)); n != 0 {
		t.Errorf("%d rows left", n)
	}
}

func TestRoutes(t *testing.T) {
	e := newEnv(t)
	id := e.newAPI()
	i := e.newIntegration(id, nil)
	for _, key := range []string{"$default", "GET /", "ANY /{proxy+}", "GET /pets/{id}/x", "POST /pets/", "GET /a.b~c"} {
		e.newRoute(id, key, i)
	}
	const badKey = `The provided route key is not formatted properly for HTTP protocol. Format should be "<HTTP METHOD> /<RESOURCE PATH>" or "$default"`
	create := func(in api.CreateRouteInput) error {
		in.ApiId = id
		_, err := e.CreateRoute(e.ctx, &in)
		return err
	}
	for _, key := range []string{"", "$connect", "GET", "GET pets", "TRACE /x", "get /x", "GET /{a+}/b", "GET /{a}/{a}", "GET /a b", "GET /{a", "GET //x"} {
		refused(t, create(api.CreateRouteInput{RouteKey: &key}), 400, badRequestCode, badKey)
	}
	refused(t, create(api.CreateRouteInput{RouteKey: wire.Ptr("GET /")}), 409, "ConflictException", "Route with key GET / already exists for this API")
	refused(t, create(api.CreateRouteInput{RouteKey: wire.Ptr("GET /n"), Target: wire.Ptr("integrations/nope")}), 400, badRequestCode, "Invalid target specified: integration nope does not exist")
	refused(t, create(api.CreateRouteInput{RouteKey: wire.Ptr("GET /n"), Target: i}), 400, badRequestCode, `Invalid target specified: `+*i+`. Format should be "integrations/<INTEGRATION ID>"`)
	refused(t, create(api.CreateRouteInput{RouteKey: wire.Ptr("GET /n"), AuthorizationType: wire.Ptr("JWT")}), 400, badRequestCode, "Authorizers are not supported; authorization type must be NONE or AWS_IAM")
	if err := create(api.CreateRouteInput{RouteKey: wire.Ptr("GET /n"), ApiKeyRequired: wire.Ptr(false)}); err != nil {
		t.Errorf("route without target: %v", err)
	}

	r := e.newRoute(id, "GET /old", i)
	got := must[api.UpdateRouteOutput](t)(e.UpdateRoute(e.ctx, &api.UpdateRouteInput{ApiId: id, RouteId: r, RouteKey: wire.Ptr("GET /new"), Target: wire.Ptr("")}))
	if *got.RouteKey != "GET /new" || got.Target != nil || *got.AuthorizationType != "NONE" || *got.ApiKeyRequired {
		t.Errorf("updated %+v", got)
	}
	must[api.DeleteRouteOutput](t)(e.DeleteRoute(e.ctx, &api.DeleteRouteInput{ApiId: id, RouteId: r}))
	_, err := e.GetRoute(e.ctx, &api.GetRouteInput{ApiId: id, RouteId: r})
	refused(t, err, 404, "NotFoundException", "Invalid Route identifier specified "+*r)

	_, err = e.DeleteIntegration(e.ctx, &api.DeleteIntegrationInput{ApiId: id, IntegrationId: e.newIntegration(id, nil)})
	if err != nil {
		t.Errorf("delete unused integration: %v", err)
	}
	second := e.newIntegration(id, nil)
	r = e.newRoute(id, "GET /second", second)
	_, err = e.DeleteIntegration(e.ctx, &api.DeleteIntegrationInput{ApiId: id, IntegrationId: second})
	refused(t, err, 409, "ConflictException", "Cannot delete Integration because it is referenced by the following Routes with Ids: ["+*r+"]")
}

func TestIntegrations(t *testing.T) {
	e := newEnv(t)
	id, link := e.newAPI(), e.newLink()
	create := func(change func(*api.CreateIntegrationInput)) (*api.CreateIntegrationOutput, error) {
		in := &api.CreateIntegrationInput{ApiId: id, IntegrationType: wire.Ptr("HTTP_PROXY"), IntegrationMethod: wire.Ptr("ANY"),
			ConnectionType: wire.Ptr("VPC_LINK"), ConnectionId: link, IntegrationUri: &e.listener}
		change(in)
		return e.CreateIntegration(e.ctx, in)
	}
	own := &resource.CloudMapService{Meta: resource.Meta{Account: e.account, Region: "us-east-1"}, ID: "srv-" + e.account}
	other := &resource.CloudMapService{Meta: resource.Meta{Account: "999999999999", Region: "us-east-1"}, ID: "srv-other" + e.account}
	e.put(func(tx *store.Tx) {
		store.CloudMapServices.Put(tx, own)
		store.CloudMapServices.Put(tx, other)
	})
	cloudMap := own.ARN()
	const badURI = "For VpcLink VPC_LINK, integration uri should be a valid ELB listener ARN or a valid Cloud Map service ARN."
	for _, c := range []struct {
		name    string
		change  func(*api.CreateIntegrationInput)
		message string // empty: accepted
	}{
		{"listener", func(*api.CreateIntegrationInput) {}, ""},
		{"TLS", func(in *api.CreateIntegrationInput) {
			in.TlsConfig = &api.TlsConfigInput{ServerNameToVerify: wire.Ptr("x")}
		}, ""},
		{"by variable", func(in *api.CreateIntegrationInput) { in.ConnectionId = wire.Ptr("${stageVariables.l}") }, ""},
		{"balancer", func(in *api.CreateIntegrationInput) { in.IntegrationUri = &e.balancer }, badURI},
		{"URL", func(in *api.CreateIntegrationInput) { in.IntegrationUri = wire.Ptr("http://a/") }, badURI},
		{"no URI", func(in *api.CreateIntegrationInput) { in.IntegrationUri = nil }, badURI},
		{"no such listener", func(in *api.CreateIntegrationInput) { in.IntegrationUri = &e.missedListener }, "Unable to retrieve listener port and load balancer DNS name from ELB listener"},
		{"Cloud Map", func(in *api.CreateIntegrationInput) { in.IntegrationUri = &cloudMap }, ""},
		{"Cloud Map, filtered", func(in *api.CreateIntegrationInput) { in.IntegrationUri = wire.Ptr(cloudMap + "?color=blue&az=a%20b") }, ""},
		{"Cloud Map, attribute twice", func(in *api.CreateIntegrationInput) { in.IntegrationUri = wire.Ptr(cloudMap + "?color=blue&color=red") }, badURI},
		{"Cloud Map, bad filter", func(in *api.CreateIntegrationInput) { in.IntegrationUri = wire.Ptr(cloudMap + "?color=%zz") }, badURI},
		{"Cloud Map of another account", func(in *api.CreateIntegrationInput) {
			in.IntegrationUri = wire.Ptr("arn:aws:servicediscovery:us-east-1:999999999999:service/srv-other" + e.account)
		}, badURI},
		{"no such Cloud Map service", func(in *api.CreateIntegrationInput) { in.IntegrationUri = wire.Ptr(cloudMap + "1") }, badURI},
		{"Cloud Map namespace", func(in *api.CreateIntegrationInput) {
			in.IntegrationUri = wire.Ptr(strings.Replace(cloudMap, ":service/srv-", ":namespace/ns-", 1))
		}, badURI},
		{"no such link", func(in *api.CreateIntegrationInput) { in.ConnectionId = wire.Ptr("abc123") }, "invalid vpclink id abc123 referenced in integration"},
		{"no link", func(in *api.CreateIntegrationInput) { in.ConnectionId = nil }, "Connection id is required for connection type VPC_LINK"},
		{"no method", func(in *api.CreateIntegrationInput) { in.IntegrationMethod = nil }, "Enumeration value for HttpMethod must be non-empty"},
		{"version", func(in *api.CreateIntegrationInput) { in.PayloadFormatVersion = wire.Ptr("2.0") }, "Invalid PayloadFormatVersion specified for HTTP_PROXY. Supported versions are [1.0]"},
		{"lambda", func(in *api.CreateIntegrationInput) { in.IntegrationType = wire.Ptr("AWS_PROXY") }, "Integration type AWS_PROXY is not supported for HTTP protocol. Must be one of [HTTP_PROXY]"},
		{"mappings", func(in *api.CreateIntegrationInput) {
			in.RequestParameters = map[string]string{"append:header.x": "$request.header.y", "overwrite:path": "$request.path", "remove:querystring.q": "''"}
			in.ResponseParameters = map[string]map[string]string{"500": {"overwrite:statuscode": "503", "append:header.h": "v"}}
		}, ""},
		{"reserved header", func(in *api.CreateIntegrationInput) {
			in.RequestParameters = map[string]string{"append:header.X-Amzn-Thing": "v"}
		}, "Operations on header X-Amzn-Thing are restricted"},
		{"append path", func(in *api.CreateIntegrationInput) { in.RequestParameters = map[string]string{"append:path": "v"} }, "Invalid mapping expression specified: append:path"},
		{"wrong status", func(in *api.CreateIntegrationInput) {
			in.ResponseParameters = map[string]map[string]string{"x": {"overwrite:statuscode": "1"}}
		}, "Invalid status code specified for response parameters: x"},
		{"internet", func(in *api.CreateIntegrationInput) {
			in.ConnectionType, in.ConnectionId, in.IntegrationUri = nil, nil, wire.Ptr("https://a/{proxy}")
		}, ""},
		{"internet without URL", func(in *api.CreateIntegrationInput) { in.ConnectionType, in.ConnectionId = nil, nil }, "Invalid HTTP endpoint specified for URI"},
		{"internet with link", func(in *api.CreateIntegrationInput) { in.ConnectionType = nil }, "Connection id is only supported for connection type VPC_LINK"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := create(c.change)
			if c.message != "" {
				refused(t, err, 400, badRequestCode, c.message)
			} else if err != nil {
				t.Error(err)
			}
		})
	}

	i := must[api.CreateIntegrationOutput](t)(create(func(in *api.CreateIntegrationInput) {
		in.RequestParameters = map[string]string{"append:header.a": "1", "append:header.b": "2"}
		in.ResponseParameters = map[string]map[string]string{"200": {"append:header.h": "v"}, "404": {"append:header.h": "v"}}
	}))
	if *i.TimeoutInMillis != 30000 || *i.PayloadFormatVersion != "1.0" || *i.IntegrationType != "HTTP_PROXY" {
		t.Errorf("created %+v", i)
	}
	got := must[api.UpdateIntegrationOutput](t)(e.UpdateIntegration(e.ctx, &api.UpdateIntegrationInput{ApiId: id, IntegrationId: i.IntegrationId, TimeoutInMillis: wire.Ptr[int64](50),
		RequestParameters: map[string]string{"append:header.a": "", "append:header.c": "3"}, ResponseParameters: map[string]map[string]string{"404": {}}}))
	if *got.TimeoutInMillis != 50 || *got.IntegrationUri != e.listener ||
		!reflect.DeepEqual(got.RequestParameters, map[string]string{"append:header.b": "2", "append:header.c": "3"}) ||
		!reflect.DeepEqual(got.ResponseParameters, map[string]map[string]string{"200": {"append:header.h": "v"}}) {
		t.Errorf("updated %+v", got)
	}
	if stored := must[api.GetIntegrationOutput](t)(e.GetIntegration(e.ctx, &api.GetIntegrationInput{ApiId: id, IntegrationId: i.IntegrationId})); !reflect.DeepEqual((*api.UpdateIntegrationOutput)(stored), got) {
		t.Errorf("stored %+v, want %+v", stored, got)
	}
	_, err := e.GetIntegration(e.ctx, &api.GetIntegrationInput{ApiId: id, IntegrationId: wire.Ptr("x")})
	refused(t, err, 404, "NotFoundException", "Invalid Integration identifier specified x")
}

func TestStages(t *testing.T) {
	e := newEnv(t)
	id := e.newAPI()
	create := func(in api.CreateStageInput) (*api.CreateStageOutput, error) {
		in.ApiId = id
		return e.CreateStage(e.ctx, &in)
	}
	_, err := create(api.CreateStageInput{StageName: wire.Ptr("a b")})
	refused(t, err, 400, badRequestCode, "Stage name only allows a-zA-Z0-9_- or $default")
	st := must[api.CreateStageOutput](t)(create(api.CreateStageInput{StageName: wire.Ptr("prod"), StageVariables: map[string]string{"a": "1", "b": "2"},
		RouteSettings: map[string]*api.RouteSettings{"GET /x": {ThrottlingBurstLimit: wire.Ptr[int64](1)}}}))
	if st.DeploymentId != nil || st.AutoDeploy != nil || *st.DefaultRouteSettings.DetailedMetricsEnabled || st.Tags == nil {
		t.Errorf("created %+v", st)
	}
	_, err = create(api.CreateStageInput{StageName: wire.Ptr("prod")})
	refused(t, err, 409, "ConflictException", "Stage already exists")

	deploy := func(stage *string) (*api.CreateDeploymentOutput, error) {
		return e.CreateDeployment(e.ctx, &api.CreateDeploymentInput{ApiId: id, StageName: stage})
	}
	_, err = deploy(wire.Ptr("prod"))
	refused(t, err, 400, badRequestCode, "Unable to deploy API because no routes exist in this API")
	i := e.newIntegration(id, nil)
	e.newRoute(id, "GET /one", i)
	_, err = deploy(wire.Ptr("none"))
	refused(t, err, 404, "NotFoundException", "Invalid stage identifier specified")
	first := must[api.CreateDeploymentOutput](t)(deploy(wire.Ptr("prod")))
	if *first.DeploymentStatus != "DEPLOYED" || *first.AutoDeployed {
		t.Errorf("deployment %+v", first)
	}
	// Without automatic deployment a stage stays as it was deployed.
	e.newRoute(id, "GET /two", i)
	if d := e.deployed(id, "prod"); len(d.Routes) != 1 || d.ID != *first.DeploymentId {
		t.Errorf("deployed %+v", d)
	}
	second := must[api.CreateDeploymentOutput](t)(deploy(nil))
	group := "arn:aws:logs:us-east-1:" + e.account + ":log-group:/aws/api:*"
	got := must[api.UpdateStageOutput](t)(e.UpdateStage(e.ctx, &api.UpdateStageInput{ApiId: id, StageName: wire.Ptr("prod"), DeploymentId: second.DeploymentId,
		StageVariables: map[string]string{"a": "", "c": "3"}, RouteSettings: map[string]*api.RouteSettings{"GET /x": {ThrottlingRateLimit: wire.Ptr(2.0)}},
		AccessLogSettings: &api.AccessLogSettings{DestinationArn: &group, Format: wire.Ptr("$context.requestId")}}))
	if len(e.deployed(id, "prod").Routes) != 2 || !reflect.DeepEqual(got.StageVariables, map[string]string{"b": "2", "c": "3"}) ||
		*got.RouteSettings["GET /x"].ThrottlingBurstLimit != 1 || *got.RouteSettings["GET /x"].ThrottlingRateLimit != 2 || *got.AccessLogSettings.Format != "$context.requestId" || *got.AccessLogSettings.DestinationArn != group ||
		*got.LastDeploymentStatusMessage != "Successfully deployed stage with deployment ID '"+*second.DeploymentId+"'" {
		t.Errorf("updated %+v", got)
	}
	_, err = e.DeleteDeployment(e.ctx, &api.DeleteDeploymentInput{ApiId: id, DeploymentId: second.DeploymentId})
	refused(t, err, 400, badRequestCode, "Active stages pointing to this deployment must be moved or deleted")
	must[api.DeleteDeploymentOutput](t)(e.DeleteDeployment(e.ctx, &api.DeleteDeploymentInput{ApiId: id, DeploymentId: first.DeploymentId}))
	must[api.DeleteRouteSettingsOutput](t)(e.DeleteRouteSettings(e.ctx, &api.DeleteRouteSettingsInput{ApiId: id, StageName: wire.Ptr("prod"), RouteKey: wire.Ptr("GET /x")}))
	if got := must[api.GetStageOutput](t)(e.GetStage(e.ctx, &api.GetStageInput{ApiId: id, StageName: wire.Ptr("prod")})); len(got.RouteSettings) != 0 {
		t.Errorf("route settings %+v", got.RouteSettings)
	}
	for _, c := range []struct{ to, format, refusal string }{
		{group, "", "Access Log value missing. Expected destinationArn and format."},
		{"x", "$context.requestId", "Invalid ARN specified in the request. ARNs must start with 'arn:': x"},
		{group, "$context.requestId $context.identity.vpcId", "The following context variables are not supported: [$context.identity.vpcId]"},
	} {
		_, err := e.UpdateStage(e.ctx, &api.UpdateStageInput{ApiId: id, StageName: wire.Ptr("prod"),
			AccessLogSettings: &api.AccessLogSettings{DestinationArn: &c.to, Format: &c.format}})
		refused(t, err, 400, badRequestCode, c.refusal)
	}
	_, err = New(db, false).UpdateStage(e.ctx, &api.UpdateStageInput{ApiId: id, StageName: wire.Ptr("prod"), AccessLogSettings: got.AccessLogSettings})
	refused(t, err, 400, badRequestCode, "Cannot enable logging. Access logs are not kept here: isthmus serve runs without --access-log-dir")
	must[api.DeleteAccessLogSettingsOutput](t)(e.DeleteAccessLogSettings(e.ctx, &api.DeleteAccessLogSettingsInput{ApiId: id, StageName: wire.Ptr("prod")}))
	if got := must[api.GetStageOutput](t)(e.GetStage(e.ctx, &api.GetStageInput{ApiId: id, StageName: wire.Ptr("prod")})); got.AccessLogSettings != nil {
		t.Errorf("access log %+v", got.AccessLogSettings)
	}
	_, err = e.UpdateStage(e.ctx, &api.UpdateStageInput{ApiId: id, StageName: wire.Ptr("prod"), AutoDeploy: wire.Ptr(true), DeploymentId: second.DeploymentId})
	refused(t, err, 400, badRequestCode, "Deployment ID cannot be set because stage 'prod' has AutoDeploy enabled")
	must[api.DeleteStageOutput](t)(e.DeleteStage(e.ctx, &api.DeleteStageInput{ApiId: id, StageName: wire.Ptr("prod")}))
	_, err = e.GetStage(e.ctx, &api.GetStageInput{ApiId: id, StageName: wire.Ptr("prod")})
	refused(t, err, 404, "NotFoundException", "Invalid stage identifier specified")
}

// Every change of routes, integrations and CORS reaches a stage that deploys
// by itself, and no deployment is left behind.
func TestAutoDeploy(t *testing.T) {
	e := newEnv(t)
	id := e.newAPI()
	e.newAutoStage(id)
	if st := must[api.GetStageOutput](t)(e.GetStage(e.ctx, &api.GetStageInput{ApiId: id, StageName: wire.Ptr("$default")})); st.DeploymentId != nil ||
		*st.LastDeploymentStatusMessage != "Deployment attempt failed: Unable to deploy API because no routes exist in this API" || !*st.AutoDeploy {
		t.Errorf("stage without routes: %+v", st)
	}
	var i, r *string
	check := func(step string, ok func(*resource.HTTPDeployment) bool) {
		t.Helper()
		d := e.deployed(id, "$default")
		if d == nil || !d.Auto || !ok(d) {
			t.Errorf("after %s: %+v", step, d)
		}
		if n := len(store.HTTPDeployments.ListPrefix(db.View(), *id+"/")); n != 1 {
			t.Errorf("after %s: %d deployments", step, n)
		}
	}
	keys := func(want ...string) func(*resource.HTTPDeployment) bool {
		return func(d *resource.HTTPDeployment) bool {
			var got []string
			for _, r := range d.Routes {
				got = append(got, r.RouteKey)
			}
			return slices.Equal(got, want)
		}
	}
	i = e.newIntegration(id, nil)
	r = e.newRoute(id, "GET /b", i)
	check("CreateRoute", keys("GET /b"))
	e.newRoute(id, "GET /a", i)
	check("second CreateRoute", keys("GET /a", "GET /b"))
	must[api.UpdateRouteOutput](t)(e.UpdateRoute(e.ctx, &api.UpdateRouteInput{ApiId: id, RouteId: r, RouteKey: wire.Ptr("GET /c")}))
	check("UpdateRoute", keys("GET /a", "GET /c"))
	must[api.UpdateIntegrationOutput](t)(e.UpdateIntegration(e.ctx, &api.UpdateIntegrationInput{ApiId: id, IntegrationId: i, IntegrationUri: wire.Ptr("http://new/")}))
	check("UpdateIntegration", func(d *resource.HTTPDeployment) bool { return d.Integrations[0].URI == "http://new/" })
	must[api.UpdateApiOutput](t)(e.UpdateApi(e.ctx, &api.UpdateApiInput{ApiId: id, CorsConfiguration: &api.Cors{AllowOrigins: []string{"*"}}}))
	check("UpdateApi", func(d *resource.HTTPDeployment) bool { return d.CORS != nil && d.CORS.AllowOrigins[0] == "*" })
	must[api.DeleteRouteOutput](t)(e.DeleteRoute(e.ctx, &api.DeleteRouteInput{ApiId: id, RouteId: r}))
	check("DeleteRoute", keys("GET /a"))
	if _, err := e.CreateDeployment(e.ctx, &api.CreateDeploymentInput{ApiId: id, StageName: wire.Ptr("$default")}); err == nil {
		t.Error("deployed by hand to a stage that deploys by itself")
	}
}

// Changes made at the same time are all deployed.
func TestAutoDeployConcurrently(t *testing.T) {
	e := newEnv(t)
	id := e.newAPI()
	e.newAutoStage(id)
	i := e.newIntegration(id, nil)
	const n = 12
	errs := make(chan error, n)
	for k := range n {
		go func() {
			_, err := e.CreateRoute(e.ctx, &api.CreateRouteInput{ApiId: id, RouteKey: wire.Ptr(fmt.Sprint("GET /", k)), Target: wire.Ptr("integrations/" + *i)})
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if d := e.deployed(id, "$default"); len(d.Routes) != n {
		t.Errorf("%d of %d routes are deployed", len(d.Routes), n)
	}
	if left := len(store.HTTPDeployments.ListPrefix(db.View(), *id+"/")); left != 1 {
		t.Errorf("%d deployments", left)
	}
}

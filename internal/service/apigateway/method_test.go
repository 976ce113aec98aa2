package apigateway

import (
	"reflect"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

const badRequestCode = "BadRequestException"

func TestMethods(t *testing.T) {
	e := newEnv(t)
	id, root := e.newAPI()
	put := func(resource *string, method, authorization string, params map[string]bool, models map[string]string) error {
		_, err := e.PutMethod(e.ctx, &api.PutMethodInput{
			RestApiId: id, ResourceId: resource, HttpMethod: &method, AuthorizationType: &authorization, RequestParameters: params, RequestModels: models})
		return err
	}
	if err := put(root, "ANY", "NONE", map[string]bool{"method.request.path.p": true}, nil); err != nil {
		t.Fatal(err)
	}
	mapping := "Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression specified: x]"
	for _, c := range []struct {
		err     error
		status  int
		code    string
		message string
	}{
		{put(root, "ANY", "NONE", nil, nil), 409, "ConflictException", "Method already exists for this resource"},
		{put(root, "TEST", "NONE", nil, nil), 400, badRequestCode, "Invalid HttpMethod specified. Valid options are GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD,ANY"},
		{put(wire.Ptr("x"), "GET", "NONE", nil, nil), 404, "NotFoundException", "Invalid Resource identifier specified"},
		{put(root, "GET", "CUSTOM", nil, nil), 400, badRequestCode, "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires a valid authorizer."},
		{put(root, "GET", "NONE", nil, map[string]string{"application/json": "petModel"}), 400, badRequestCode, "Invalid model identifier specified: petModel"},
		{put(root, "GET", "NONE", map[string]bool{"method.request.header.a": true, "method.request.querystring.a": true}, nil), 400, badRequestCode, "Parameter names must be unique across querystring, header and path"},
		{put(root, "GET", "NONE", map[string]bool{"x": true}, nil), 400, badRequestCode, mapping},
	} {
		refused(t, c.err, c.status, c.code, c.message)
	}

	update := func(list ...string) (*api.Method, error) {
		return e.UpdateMethod(e.ctx, &api.UpdateMethodInput{RestApiId: id, ResourceId: root, HttpMethod: wire.Ptr("ANY"), PatchOperations: ops(list...)})
	}
	got := must[api.Method](t)(update("replace", "/apiKeyRequired", "true", "replace", "/authorizationType", "AWS_IAM", "replace", "/operationName", "o",
		"add", "/requestModels/application~1json", "Empty", "add", "/requestParameters/method.request.querystring.q", "false", "remove", "/requestParameters/method.request.path.p", ""))
	want := &api.Method{HttpMethod: wire.Ptr("ANY"), AuthorizationType: wire.Ptr("AWS_IAM"), ApiKeyRequired: wire.Ptr(true), OperationName: wire.Ptr("o"),
		RequestParameters: map[string]bool{"method.request.querystring.q": false}, RequestModels: map[string]string{"application/json": "Empty"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if again := must[api.Method](t)(e.GetMethod(e.ctx, &api.GetMethodInput{RestApiId: id, ResourceId: root, HttpMethod: wire.Ptr("ANY")})); !reflect.DeepEqual(again, want) {
		t.Errorf("stored %+v, want %+v", again, want)
	}
	_, err := update("replace", "/httpMethod", "GET")
	refused(t, err, 400, badRequestCode, "Invalid patch path /httpMethod")
	_, err = update("replace", "/requestValidatorId", "x")
	refused(t, err, 400, badRequestCode, "Invalid Request Validator identifier specified")
	_, err = update("replace", "/authorizationType", "CUSTOM")
	refused(t, err, 400, badRequestCode, "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires a valid authorizer.")

	must[api.DeleteMethodOutput](t)(e.DeleteMethod(e.ctx, &api.DeleteMethodInput{RestApiId: id, ResourceId: root, HttpMethod: wire.Ptr("ANY")}))
	_, err = e.DeleteMethod(e.ctx, &api.DeleteMethodInput{RestApiId: id, ResourceId: root, HttpMethod: wire.Ptr("ANY")})
	refused(t, err, 404, "NotFoundException", "Invalid Method identifier specified")
}

func TestResponses(t *testing.T) {
	e := newEnv(t)
	id, root := e.newAPI()
	get, ok := wire.Ptr("GET"), wire.Ptr("200")
	e.newMethod(id, root, "GET", api.PutIntegrationInput{Type: wire.Ptr("MOCK"), RequestTemplates: map[string]string{"application/json": `{"statusCode": 200}`}})

	putMethod := func(params map[string]bool) (*api.MethodResponse, error) {
		return e.PutMethodResponse(e.ctx, &api.PutMethodResponseInput{RestApiId: id, ResourceId: root, HttpMethod: get, StatusCode: ok, ResponseParameters: params})
	}
	_, err := putMethod(map[string]bool{"header.x": true})
	refused(t, err, 400, badRequestCode, "Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression specified: header.x]")
	must[api.MethodResponse](t)(putMethod(map[string]bool{"method.response.header.x": true}))

	putIntegration := func(in api.PutIntegrationResponseInput) (*api.IntegrationResponse, error) {
		in.RestApiId, in.ResourceId, in.HttpMethod, in.StatusCode = id, root, get, ok
		return e.PutIntegrationResponse(e.ctx, &in)
	}
	r := must[api.IntegrationResponse](t)(putIntegration(api.PutIntegrationResponseInput{
		SelectionPattern: wire.Ptr(""), ResponseParameters: map[string]string{"method.response.header.x": "'y'"}, ResponseTemplates: map[string]string{}}))
	if r.SelectionPattern == nil || r.ResponseTemplates == nil {
		t.Errorf("empty members are lost: %+v", r)
	}
	for _, c := range []struct {
		in      api.PutIntegrationResponseInput
		message string
	}{
		{api.PutIntegrationResponseInput{ResponseParameters: map[string]string{"method.response.header.z": "'y'"}},
			"Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression parameter specified: method.response.header.z]"},
		{api.PutIntegrationResponseInput{ResponseParameters: map[string]string{"method.response.header.x": "y"}},
			"Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression specified: y]"},
		{api.PutIntegrationResponseInput{ResponseTemplates: map[string]string{"123": ""}},
			"Validation Result: warnings : [], errors : [Invalid content type specified: 123]"},
		{api.PutIntegrationResponseInput{SelectionPattern: wire.Ptr("(")}, "Invalid selection pattern specified: ("},
	} {
		_, err := putIntegration(c.in)
		refused(t, err, 400, badRequestCode, c.message)
	}
	r = must[api.IntegrationResponse](t)(e.UpdateIntegrationResponse(e.ctx, &api.UpdateIntegrationResponseInput{RestApiId: id, ResourceId: root, HttpMethod: get, StatusCode: ok,
		PatchOperations: ops("replace", "/selectionPattern", "2..", "add", "/responseTemplates/text~1plain", "t")}))
	m := must[api.Method](t)(e.GetMethod(e.ctx, &api.GetMethodInput{RestApiId: id, ResourceId: root, HttpMethod: get}))
	if got := m.MethodIntegration.IntegrationResponses["200"]; !reflect.DeepEqual(got, r) || *got.SelectionPattern != "2.." || got.ResponseTemplates["text/plain"] != "t" {
		t.Errorf("stored %+v, want %+v", got, r)
	}
	if got := m.MethodResponses["200"]; !got.ResponseParameters["method.response.header.x"] {
		t.Errorf("method response %+v", got)
	}
	updated := must[api.MethodResponse](t)(e.UpdateMethodResponse(e.ctx, &api.UpdateMethodResponseInput{RestApiId: id, ResourceId: root, HttpMethod: get, StatusCode: ok,
		PatchOperations: ops("remove", "/responseParameters/method.response.header.x", "", "add", "/responseModels/application~1json", "Empty")}))
	if updated.ResponseParameters != nil || updated.ResponseModels["application/json"] != "Empty" {
		t.Errorf("updated %+v", updated)
	}
	must[api.DeleteIntegrationResponseOutput](t)(e.DeleteIntegrationResponse(e.ctx, &api.DeleteIntegrationResponseInput{RestApiId: id, ResourceId: root, HttpMethod: get, StatusCode: ok}))
	_, err = e.GetIntegrationResponse(e.ctx, &api.GetIntegrationResponseInput{RestApiId: id, ResourceId: root, HttpMethod: get, StatusCode: ok})
	refused(t, err, 404, "NotFoundException", "Invalid Response status code specified")
	must[api.DeleteMethodResponseOutput](t)(e.DeleteMethodResponse(e.ctx, &api.DeleteMethodResponseInput{RestApiId: id, ResourceId: root, HttpMethod: get, StatusCode: ok}))
	_, err = e.GetMethodResponse(e.ctx, &api.GetMethodResponseInput{RestApiId: id, ResourceId: root, HttpMethod: get, StatusCode: ok})
	refused(t, err, 404, "NotFoundException", "Invalid Response status code specified")
	must[api.DeleteIntegrationOutput](t)(e.DeleteIntegration(e.ctx, &api.DeleteIntegrationInput{RestApiId: id, ResourceId: root, HttpMethod: get}))
	_, err = putIntegration(api.PutIntegrationResponseInput{})
	refused(t, err, 404, "NotFoundException", "Invalid Integration identifier specified")
}

func TestIntegrations(t *testing.T) {
	e := newEnv(t)
	id, root := e.newAPI()
	nlb, listener := e.newNLB("n")
	e.put(func(tx *store.Tx) {
		store.VPCLinksV1.Put(tx, &resource.VPCLinkV1{Meta: e.meta(), ID: "one" + e.account, TargetARNs: []string{nlb}, Status: resource.VPCLinkPending})
		store.VPCLinksV2.Put(tx, &resource.VPCLinkV2{Meta: e.meta(), ID: "two" + e.account, Status: resource.VPCLinkPending})
	})
	one, two := "one"+e.account, "two"+e.account
	must[api.Method](t)(e.PutMethod(e.ctx, &api.PutMethodInput{RestApiId: id, ResourceId: root, HttpMethod: wire.Ptr("GET"), AuthorizationType: wire.Ptr("NONE"),
		RequestParameters: map[string]bool{"method.request.path.p": true}}))
	put := func(kind, uri, connection, link, target string, change func(*api.PutIntegrationInput)) (*api.Integration, error) {
		in := &api.PutIntegrationInput{RestApiId: id, ResourceId: root, HttpMethod: wire.Ptr("GET"), Type: &kind, IntegrationHttpMethod: wire.Ptr("POST"),
			Uri: optional(uri), ConnectionType: optional(connection), ConnectionId: optional(link), IntegrationTarget: optional(target)}
		if change != nil {
			change(in)
		}
		return e.PutIntegration(e.ctx, in)
	}
	i := must[api.Integration](t)(put("HTTP_PROXY", "http://a/", "", "", "", nil))
	want := &api.Integration{Type: wire.Ptr("HTTP_PROXY"), HttpMethod: wire.Ptr("POST"), Uri: wire.Ptr("http://a/"), ConnectionType: wire.Ptr("INTERNET"),
		PassthroughBehavior: wire.Ptr("WHEN_NO_MATCH"), TimeoutInMillis: wire.Ptr[int64](29000), CacheNamespace: root, CacheKeyParameters: []string{},
		ResponseTransferMode: wire.Ptr("BUFFERED")}
	if !reflect.DeepEqual(i, want) {
		t.Errorf("got %+v, want %+v", i, want)
	}

	for _, c := range []struct {
		name, kind, uri, connection, link, target string
		change                                    func(*api.PutIntegrationInput)
		message                                   string // empty: accepted
	}{
		{"v1", "HTTP_PROXY", "http://a:8080/", "VPC_LINK", one, "", nil, ""},
		{"v1 by variable", "HTTP", "http://a/{p}", "VPC_LINK", "${stageVariables.l}", "", nil, ""},
		{"v2", "HTTP_PROXY", "https://a/", "VPC_LINK", two, nlb, nil, ""},
		{"v2 by listener", "HTTP", "http://a/", "VPC_LINK", two, listener, nil, ""},
		{"variable in URI", "HTTP", "http://${stageVariables.h}/", "", "", "", nil, ""},
		{"v2 without target", "HTTP_PROXY", "http://a/", "VPC_LINK", two, "", nil, "IntegrationTarget is required for VpcLinkV2"},
		{"v2 with unknown target", "HTTP_PROXY", "http://a/", "VPC_LINK", two, nlb + "x", nil, "Invalid integration target specified: load balancer " + nlb + "x does not exist"},
		{"v1 with target", "HTTP_PROXY", "http://a/", "VPC_LINK", one, nlb, nil, "IntegrationTarget is only supported for VpcLinkV2"},
		{"unknown link", "HTTP_PROXY", "http://a/", "VPC_LINK", "abc123", "", nil, "invalid vpclink id abc123 referenced in integration"},
		{"no link", "HTTP_PROXY", "http://a/", "VPC_LINK", "", "", nil, "Connection id is required for connection type VPC_LINK"},
		{"no URI", "HTTP_PROXY", "", "", "", "", nil, "Invalid integration URI specified"},
		{"no URL", "HTTP_PROXY", "gql.example.com", "", "", "", nil, "Invalid HTTP endpoint specified for URI"},
		{"low port", "HTTP_PROXY", "http://a:22/", "", "", "", nil, "Invalid HTTP endpoint specified for URI"},
		{"no method", "HTTP", "http://a/", "", "", "", func(in *api.PutIntegrationInput) { in.IntegrationHttpMethod = nil }, "Enumeration value for HttpMethod must be non-empty"},
		{"timeout", "MOCK", "", "", "", "", func(in *api.PutIntegrationInput) { in.TimeoutInMillis = wire.Ptr[int64](49) }, "Timeout should be between 50 ms and 29000 ms"},
		{"timeout", "MOCK", "", "", "", "", func(in *api.PutIntegrationInput) { in.TimeoutInMillis = wire.Ptr[int64](29001) }, "Timeout should be between 50 ms and 29000 ms"},
		{"lambda", "AWS_PROXY", "arn:aws:apigateway:us-east-1:lambda:path/x", "", "", "", nil, "Integrations of type 'AWS_PROXY' are not supported; use HTTP, HTTP_PROXY or MOCK."},
		{"mapping", "HTTP", "http://a/{p}", "", "", "", func(in *api.PutIntegrationInput) {
			in.RequestParameters = map[string]string{"integration.request.path.p": "method.request.path.p", "integration.request.header.h": "'v'",
				"integration.request.querystring.c": "context.identity.sourceIp", "integration.request.header.s": "stageVariables.s", "integration.request.header.b": "method.request.body.x"}
		}, ""},
		{"undeclared", "HTTP", "http://a/{q}", "", "", "", func(in *api.PutIntegrationInput) {
			in.RequestParameters = map[string]string{"integration.request.path.q": "method.request.path.q"}
		}, "Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression parameter specified: method.request.path.q]"},
		{"not an expression", "HTTP", "http://a/", "", "", "", func(in *api.PutIntegrationInput) {
			in.RequestParameters = map[string]string{"integration.request.header.q": "true"}
		}, "Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression specified: true]"},
		{"streamed mock", "MOCK", "", "", "", "", func(in *api.PutIntegrationInput) { in.ResponseTransferMode = wire.Ptr("STREAM") }, "Invalid response transfer mode specified for integration type MOCK: STREAM"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := put(c.kind, c.uri, c.connection, c.link, c.target, c.change)
			if c.message != "" {
				refused(t, err, 400, badRequestCode, c.message)
			} else if err != nil {
				t.Error(err)
			}
		})
	}

	must[api.Integration](t)(put("HTTP_PROXY", "http://a/", "VPC_LINK", one, "", nil))
	update := func(list ...string) (*api.Integration, error) {
		return e.UpdateIntegration(e.ctx, &api.UpdateIntegrationInput{RestApiId: id, ResourceId: root, HttpMethod: wire.Ptr("GET"), PatchOperations: ops(list...)})
	}
	i = must[api.Integration](t)(update("replace", "/uri", "https://b:444444/", "replace", "/uri", "https://b/", "replace", "/httpMethod", "ANY", "replace", "/timeoutInMillis", "50",
		"add", "/requestParameters/integration.request.header.h", "'v'", "add", "/requestTemplates/application~1json", "t", "replace", "/connectionId", two, "replace", "/integrationTarget", nlb,
		"replace", "/tlsConfig/insecureSkipVerification", "true", "add", "/cacheKeyParameters/method.request.path.p", "", "replace", "/contentHandling", "CONVERT_TO_TEXT"))
	if *i.Uri != "https://b/" || *i.HttpMethod != "ANY" || *i.TimeoutInMillis != 50 || i.RequestParameters["integration.request.header.h"] != "'v'" ||
		i.RequestTemplates["application/json"] != "t" || *i.ConnectionId != two || *i.IntegrationTarget != nlb || !*i.TlsConfig.InsecureSkipVerification ||
		len(i.CacheKeyParameters) != 1 || *i.ContentHandling != "CONVERT_TO_TEXT" {
		t.Errorf("updated %+v", i)
	}
	_, err := update("replace", "/connectionId", "abc123")
	refused(t, err, 400, badRequestCode, "invalid vpclink id abc123 referenced in integration")
	if got := must[api.Integration](t)(e.GetIntegration(e.ctx, &api.GetIntegrationInput{RestApiId: id, ResourceId: root, HttpMethod: wire.Ptr("GET")})); !reflect.DeepEqual(got, i) {
		t.Errorf("a refused change was kept: %+v", got)
	}
}

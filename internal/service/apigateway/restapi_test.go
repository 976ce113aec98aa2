package apigateway

import (
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

func TestRestAPI(t *testing.T) {
	e := newEnv(t)
	a := must[api.RestApi](t)(e.CreateRestApi(e.ctx, &api.CreateRestApiInput{Name: wire.Ptr("shop"), BinaryMediaTypes: []string{}}))
	if len(*a.Id) != 10 || *a.ApiKeySource != "HEADER" || *a.DisableExecuteApiEndpoint || a.Tags != nil || a.BinaryMediaTypes != nil ||
		!reflect.DeepEqual(a.EndpointConfiguration, &api.EndpointConfiguration{Types: []string{"EDGE"}, IpAddressType: wire.Ptr("ipv4")}) {
		t.Errorf("created %+v", a)
	}
	got := must[api.RestApi](t)(e.GetRestApi(e.ctx, &api.GetRestApiInput{RestApiId: a.Id}))
	if got.Tags == nil || *got.RootResourceId != *a.RootResourceId {
		t.Errorf("got %+v", got)
	}
	got = must[api.RestApi](t)(e.UpdateRestApi(e.ctx, &api.UpdateRestApiInput{RestApiId: a.Id, PatchOperations: ops(
		"replace", "/name", "market", "replace", "/description", "d", "add", "/binaryMediaTypes/image~1png", "",
		"replace", "/minimumCompressionSize", "10", "replace", "/endpointConfiguration/types/0", "PRIVATE",
		"add", "/endpointConfiguration/vpcEndpointIds", "vpce-1", "replace", "/disableExecuteApiEndpoint", "true",
		"replace", "/policy", `{ "Statement": {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke",
			"Resource": ["execute-api:/*", "execute-api:/prod/GET/x"]} }`,
	)}))
	arn := `arn:aws:execute-api:us-east-1:` + e.account + `:` + *a.Id
	policy, err := strconv.Unquote(`"` + strings.ReplaceAll(*got.Policy, `\/`, `/`) + `"`)
	if err != nil || policy != `{"Statement":{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":["`+arn+`/*","`+arn+`/prod/GET/x"]}}` {
		t.Errorf("policy %q is %q, %v", *got.Policy, policy, err)
	}
	if *got.Name != "market" || *got.MinimumCompressionSize != 10 || !*got.DisableExecuteApiEndpoint ||
		!reflect.DeepEqual(got.EndpointConfiguration, &api.EndpointConfiguration{
			Types: []string{"PRIVATE"}, IpAddressType: wire.Ptr("dualstack"), VpcEndpointIds: []string{"vpce-1"}}) {
		t.Errorf("updated %+v", got)
	}
	got = must[api.RestApi](t)(e.UpdateRestApi(e.ctx, &api.UpdateRestApiInput{RestApiId: a.Id, PatchOperations: ops(
		"replace", "/policy", "", "replace", "/minimumCompressionSize", "")}))
	if got.Policy != nil || got.MinimumCompressionSize != nil {
		t.Errorf("cleared %+v", got)
	}
	for _, c := range []struct{ path, value, message string }{
		{"/minimumCompressionSize", "-1", "Invalid minimum compression size, must be between 0 and 10485760"},
		{"/minimumCompressionSize", "x", "Invalid minimum compression size, must be between 0 and 10485760"},
		{"/endpointConfiguration/ipAddressType", "ipv4", "Only dualstack ipAddressType is supported for Private APIs."},
		{"/binaryMediaTypes", "x", "Invalid patch path /binaryMediaTypes"},
		{"/policy", "{", "Invalid policy document. Please check the policy syntax and ensure that Principals are valid."},
		{"/policy", "[]", "Invalid policy document. Please check the policy syntax and ensure that Principals are valid."},
	} {
		_, err := e.UpdateRestApi(e.ctx, &api.UpdateRestApiInput{RestApiId: a.Id, PatchOperations: ops("replace", c.path, c.value)})
		refused(t, err, 400, "BadRequestException", c.message)
	}
	_, err = e.CreateRestApi(e.ctx, &api.CreateRestApiInput{Name: wire.Ptr("x"), Description: wire.Ptr("")})
	refused(t, err, 400, "BadRequestException", "Description cannot be an empty string")

	stranger := newEnv(t)
	_, err = stranger.GetRestApi(stranger.ctx, &api.GetRestApiInput{RestApiId: a.Id})
	refused(t, err, 404, "NotFoundException", "Invalid API identifier specified "+stranger.account+":"+*a.Id)
	if list := must[api.GetRestApisOutput](t)(stranger.GetRestApis(stranger.ctx, &api.GetRestApisInput{})); len(list.Items) != 0 || list.Items == nil {
		t.Errorf("a stranger sees %v", list.Items)
	}
	if list := must[api.GetRestApisOutput](t)(e.GetRestApis(e.ctx, &api.GetRestApisInput{})); len(list.Items) != 1 {
		t.Errorf("%d APIs", len(list.Items))
	}
}

func TestDeleteRestAPI(t *testing.T) {
	e := newEnv(t)
	id, root := e.newAPI()
	e.newMethod(id, root, "GET", api.PutIntegrationInput{Type: wire.Ptr("MOCK")})
	must[api.Deployment](t)(e.CreateDeployment(e.ctx, &api.CreateDeploymentInput{RestApiId: id, StageName: wire.Ptr("prod")}))
	must[api.DeleteRestApiOutput](t)(e.DeleteRestApi(e.ctx, &api.DeleteRestApiInput{RestApiId: id}))
	view := db.View()
	if n := len(store.RestResources.ListPrefix(view, *id)) + len(store.RestDeployments.ListPrefix(view, *id)) + len(store.RestStages.ListPrefix(view, *id)); n != 0 {
		t.Errorf("%d rows left", n)
	}
	_, err := e.DeleteRestApi(e.ctx, &api.DeleteRestApiInput{RestApiId: id})
	refused(t, err, 404, "NotFoundException", "Invalid API identifier specified "+e.account+":"+*id)
}

func TestResources(t *testing.T) {
	e := newEnv(t)
	id, root := e.newAPI()
	create := func(parent *string, part string) (*api.Resource, error) {
		return e.CreateResource(e.ctx, &api.CreateResourceInput{RestApiId: id, ParentId: parent, PathPart: &part})
	}
	pets := must[api.Resource](t)(create(root, "pets"))
	pet := must[api.Resource](t)(create(pets.Id, "{id}"))
	rest := must[api.Resource](t)(create(pet.Id, "{proxy+}"))
	if *rest.Path != "/pets/{id}/{proxy+}" || *rest.ParentId != *pet.Id || *rest.PathPart != "{proxy+}" {
		t.Errorf("created %+v", rest)
	}
	for _, c := range []struct {
		parent        *string
		part          string
		status        int
		code, message string
	}{
		{root, "pets", 409, "ConflictException", "Another resource with the same parent already has this name: pets"},
		{pets.Id, "{other}", 400, "BadRequestException", "A sibling ({id}) of this resource already has a variable path part -- only one is allowed"},
		{rest.Id, "x", 400, "BadRequestException", "Cannot create a child of a resource with a greedy path variable: {proxy+}"},
		{wire.Ptr("nobody"), "x", 404, "NotFoundException", "Invalid Resource identifier specified"},
		{root, "a/b", 400, "BadRequestException", "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the beginning and the end."},
		{root, "{a", 400, "BadRequestException", "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the beginning and the end."},
	} {
		_, err := create(c.parent, c.part)
		refused(t, err, c.status, c.code, c.message)
	}

	update := func(r *api.Resource, op, path, value string) (*api.Resource, error) {
		return e.UpdateResource(e.ctx, &api.UpdateResourceInput{RestApiId: id, ResourceId: r.Id, PatchOperations: ops(op, path, value)})
	}
	must[api.Resource](t)(update(pets, "replace", "/pathPart", "dogs"))
	e.newMethod(id, pet.Id, "GET", api.PutIntegrationInput{Type: wire.Ptr("MOCK")})
	for embed, want := range map[string]*string{"": nil, "methods": wire.Ptr("NONE")} {
		got := must[api.Resource](t)(e.GetResource(e.ctx, &api.GetResourceInput{RestApiId: id, ResourceId: pet.Id, Embed: []string{embed}}))
		if m := got.ResourceMethods["GET"]; m == nil || !reflect.DeepEqual(m.AuthorizationType, want) {
			t.Errorf("embed %q: %+v", embed, m)
		}
	}
	list := must[api.GetResourcesOutput](t)(e.GetResources(e.ctx, &api.GetResourcesInput{RestApiId: id}))
	var paths []string
	for _, r := range list.Items {
		paths = append(paths, *r.Path)
	}
	if want := []string{"/", "/dogs", "/dogs/{id}", "/dogs/{id}/{proxy+}"}; !reflect.DeepEqual(paths, want) {
		t.Errorf("paths %q, want %q", paths, want)
	}
	_, err := update(pets, "replace", "/parentId", *pet.Id)
	refused(t, err, 400, "BadRequestException", "Resources cannot be cyclical.")
	_, err = update(pets, "replace", "/invalid", "")
	refused(t, err, 400, "BadRequestException", "Invalid patch path  '/invalid' specified for op 'replace'. Must be one of: [/parentId, /pathPart]")
	_, err = update(pets, "remove", "/pathPart", "")
	refused(t, err, 400, "BadRequestException", "Invalid patch path  '/pathPart' specified for op 'remove'. Please choose supported operations")
	_, err = update(pets, "replace", "/parentId", "nobody")
	refused(t, err, 404, "NotFoundException", "Invalid Resource identifier specified")
	if moved := must[api.Resource](t)(update(rest, "replace", "/parentId", *root)); *moved.Path != "/{proxy+}" {
		t.Errorf("moved to %s", *moved.Path)
	}
	must[api.DeleteResourceOutput](t)(e.DeleteResource(e.ctx, &api.DeleteResourceInput{RestApiId: id, ResourceId: pets.Id}))
	_, err = e.GetResource(e.ctx, &api.GetResourceInput{RestApiId: id, ResourceId: pet.Id})
	refused(t, err, 404, "NotFoundException", "Invalid Resource identifier specified")
	_, err = e.DeleteResource(e.ctx, &api.DeleteResourceInput{RestApiId: id, ResourceId: root})
	refused(t, err, 400, "BadRequestException", "Root resource cannot be deleted")
}

func TestTagsAndAccount(t *testing.T) {
	e := newEnv(t)
	id, _ := e.newAPI()
	arn := wire.Ptr("arn:aws:apigateway:us-east-1::/restapis/" + *id)
	must[api.TagResourceOutput](t)(e.TagResource(e.ctx, &api.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"a": "1", "b": "2"}}))
	must[api.UntagResourceOutput](t)(e.UntagResource(e.ctx, &api.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"a"}}))
	if got := must[api.GetTagsOutput](t)(e.GetTags(e.ctx, &api.GetTagsInput{ResourceArn: arn})); !reflect.DeepEqual(got.Tags, map[string]string{"b": "2"}) {
		t.Errorf("tags %v", got.Tags)
	}
	_, err := e.TagResource(e.ctx, &api.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"aws:x": ""}})
	refused(t, err, 400, "BadRequestException", `Tag keys must not start with aws:: "aws:x"`)
	_, err = e.GetTags(e.ctx, &api.GetTagsInput{ResourceArn: wire.Ptr("nonsense")})
	refused(t, err, 400, "BadRequestException", "Invalid ARN specified in the request")

	must[api.Account](t)(e.UpdateAccount(e.ctx, &api.UpdateAccountInput{PatchOperations: ops("replace", "/cloudwatchRoleArn", "arn:aws:iam::1:role/x")}))
	if got := must[api.Account](t)(e.GetAccount(e.ctx, &api.GetAccountInput{})); *got.CloudwatchRoleArn != "arn:aws:iam::1:role/x" || *got.ThrottleSettings.BurstLimit != 5000 {
		t.Errorf("account %+v", got)
	}
}

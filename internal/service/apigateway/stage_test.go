package apigateway

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

func TestDeployments(t *testing.T) {
	e := newEnv(t)
	id, root := e.newAPI()
	deploy := func(stage *string) (*api.Deployment, error) {
		return e.CreateDeployment(e.ctx, &api.CreateDeploymentInput{RestApiId: id, StageName: stage, Description: wire.Ptr("d")})
	}
	_, err := deploy(nil)
	refused(t, err, 400, badRequestCode, "The REST API doesn't contain any methods")
	must[api.Method](t)(e.PutMethod(e.ctx, &api.PutMethodInput{RestApiId: id, ResourceId: root, HttpMethod: wire.Ptr("GET"), AuthorizationType: wire.Ptr("NONE")}))
	_, err = deploy(nil)
	refused(t, err, 400, badRequestCode, "No integration defined for method")
	must[api.Integration](t)(e.PutIntegration(e.ctx, &api.PutIntegrationInput{RestApiId: id, ResourceId: root, HttpMethod: wire.Ptr("GET"), Type: wire.Ptr("MOCK")}))
	_, err = deploy(wire.Ptr("a b"))
	refused(t, err, 400, badRequestCode, "Stage name only allows a-zA-Z0-9_")
	if n := len(store.RestDeployments.ListPrefix(db.View(), *id+"/")); n != 0 {
		t.Errorf("%d deployments after none succeeded", n)
	}

	first := must[api.Deployment](t)(deploy(wire.Ptr("prod")))
	// A snapshot does not change with the API.
	must[api.DeleteMethodOutput](t)(e.DeleteMethod(e.ctx, &api.DeleteMethodInput{RestApiId: id, ResourceId: root, HttpMethod: wire.Ptr("GET")}))
	e.newMethod(id, root, "POST", api.PutIntegrationInput{Type: wire.Ptr("MOCK")})
	second := must[api.Deployment](t)(deploy(wire.Ptr(""))) // to no stage
	if list := must[api.GetStagesOutput](t)(e.GetStages(e.ctx, &api.GetStagesInput{RestApiId: id})); len(list.Item) != 1 {
		t.Errorf("%d stages after a deployment to none", len(list.Item))
	}
	for d, method := range map[*api.Deployment]string{first: "GET", second: "POST"} {
		got := must[api.Deployment](t)(e.GetDeployment(e.ctx, &api.GetDeploymentInput{RestApiId: id, DeploymentId: d.Id, Embed: []string{"apisummary"}}))
		if len(got.ApiSummary) != 1 || len(got.ApiSummary["/"]) != 1 || *got.ApiSummary["/"][method].AuthorizationType != "NONE" || *got.Description != "d" {
			t.Errorf("deployment of %s: %+v", method, got)
		}
	}
	st := must[api.Stage](t)(e.GetStage(e.ctx, &api.GetStageInput{RestApiId: id, StageName: wire.Ptr("prod")}))
	if *st.DeploymentId != *first.Id || *st.CacheClusterStatus != "NOT_AVAILABLE" || st.MethodSettings == nil {
		t.Errorf("stage %+v", st)
	}
	_, err = e.DeleteDeployment(e.ctx, &api.DeleteDeploymentInput{RestApiId: id, DeploymentId: first.Id})
	refused(t, err, 400, badRequestCode, "Active stages pointing to this deployment must be moved or deleted")
	st = must[api.Stage](t)(e.UpdateStage(e.ctx, &api.UpdateStageInput{RestApiId: id, StageName: wire.Ptr("prod"), PatchOperations: ops("replace", "/deploymentId", *second.Id)}))
	if *st.DeploymentId != *second.Id {
		t.Errorf("stage serves %s", *st.DeploymentId)
	}
	must[api.DeleteDeploymentOutput](t)(e.DeleteDeployment(e.ctx, &api.DeleteDeploymentInput{RestApiId: id, DeploymentId: first.Id}))
	_, err = e.GetDeployment(e.ctx, &api.GetDeploymentInput{RestApiId: id, DeploymentId: first.Id})
	refused(t, err, 404, "NotFoundException", "Invalid Deployment identifier specified")
	if list := must[api.GetDeploymentsOutput](t)(e.GetDeployments(e.ctx, &api.GetDeploymentsInput{RestApiId: id})); len(list.Items) != 1 {
		t.Errorf("%d deployments", len(list.Items))
	}
}

func TestStages(t *testing.T) {
	e := newEnv(t)
	logGroup := "arn:aws:logs:us-east-1:" + e.account + ":log-group:/aws/api"
	id, root := e.newAPI()
	e.newMethod(id, root, "GET", api.PutIntegrationInput{Type: wire.Ptr("MOCK")})
	d := must[api.Deployment](t)(e.CreateDeployment(e.ctx, &api.CreateDeploymentInput{RestApiId: id}))
	create := func(name, deployment string, variables map[string]string) (*api.Stage, error) {
		return e.CreateStage(e.ctx, &api.CreateStageInput{RestApiId: id, StageName: &name, DeploymentId: &deployment, Variables: variables, Tags: map[string]string{"t": "u"}})
	}
	must[api.Stage](t)(create("dev", *d.Id, map[string]string{"link": "abc123"}))
	_, err := create("dev", *d.Id, nil)
	refused(t, err, 409, "ConflictException", "Stage already exists")
	_, err = create("new", "nothing", nil)
	refused(t, err, 400, badRequestCode, "Deployment id does not exist")
	_, err = create("new", *d.Id, map[string]string{"a-b": "x"})
	refused(t, err, 400, badRequestCode, "Stage variable names only allow a-zA-Z0-9_: a-b")

	update := func(list ...string) (*api.Stage, error) {
		return e.UpdateStage(e.ctx, &api.UpdateStageInput{RestApiId: id, StageName: wire.Ptr("dev"), PatchOperations: ops(list...)})
	}
	st := must[api.Stage](t)(update("replace", "/variables/host", "a.b:80", "remove", "/variables/link", "", "remove", "/variables/none", "",
		"replace", "/description", "d", "replace", "/tracingEnabled", "true",
		"replace", "/accessLogSettings/destinationArn", logGroup, "replace", "/accessLogSettings/format", "$context.requestId",
		"replace", "/*/*/logging/loglevel", "INFO", "replace", "/~1pets~1{id}/GET/throttling/burstLimit", "7", "replace", "/a/b/POST/caching/ttlInSeconds", "5"))
	if !reflect.DeepEqual(st.Variables, map[string]string{"host": "a.b:80"}) || *st.Description != "d" || !*st.TracingEnabled ||
		*st.AccessLogSettings.DestinationArn != logGroup || *st.AccessLogSettings.Format != "$context.requestId" || st.Tags["t"] != "u" {
		t.Errorf("updated %+v", st)
	}
	all, pets, ab := st.MethodSettings["*/*"], st.MethodSettings["pets/{id}/GET"], st.MethodSettings["a/b/POST"]
	if len(st.MethodSettings) != 3 || *all.LoggingLevel != "INFO" || *pets.ThrottlingBurstLimit != 7 || *pets.LoggingLevel != "OFF" || *ab.CacheTtlInSeconds != 5 {
		t.Errorf("settings %+v", st.MethodSettings)
	}
	st = must[api.Stage](t)(update("remove", "/accessLogSettings", "", "remove", "/*/*", "", "remove", "/~1pets~1{id}/GET", ""))
	if st.AccessLogSettings != nil || len(st.MethodSettings) != 1 {
		t.Errorf("removed %+v", st)
	}
	_, err = update("replace", "/~1pets/ANY/caching/enabled", "true")
	if err == nil || !strings.Contains(err.Error(), "Invalid method setting path: /~1pets/ANY/caching/enabled. Must be one of: [/deploymentId, ") {
		t.Errorf("ANY: %v", err)
	}
	_, err = update("replace", "/variables/x", "a b")
	refused(t, err, 400, badRequestCode, "Stage variable values only allow up to 512 of a-zA-Z0-9-._~:/?#&=,: x")
	_, err = update("replace", "/*/*/throttling/rateLimit", "x")
	refused(t, err, 400, badRequestCode, "Invalid number specified for throttling/rateLimit: x")

	// The operations of one call may set destination and format one by one.
	st = must[api.Stage](t)(update("replace", "/accessLogSettings/format", "$context.extendedRequestId\n"))
	if st.AccessLogSettings.DestinationArn != nil {
		t.Errorf("destination %s", *st.AccessLogSettings.DestinationArn)
	}
	for _, c := range [][3]string{
		{"/accessLogSettings/format", "$context.status", "Access Log format must include either $context.requestId or $context.extendedRequestId : '$context.status'"},
		{"/accessLogSettings/format", "$context.requestId\nx", "Access Log format must be single line, new line character is allowed only at end of the format: '$context.requestId\nx'"},
		{"/accessLogSettings/destinationArn", "group", "Invalid ARN specified in the request. ARNs must start with 'arn:': group"},
		{"/accessLogSettings/destinationArn", "arn:aws:s3:::bucket", "Invalid ARN specified in the request. The ARN must be a valid CloudWatch Logs log group or Kinesis Data Firehose delivery stream ARN."},
	} {
		_, err = update("replace", c[0], c[1])
		refused(t, err, 400, badRequestCode, c[2])
	}
	// Without a place for the lines, settings can be kept and removed, but not made.
	unkept := New(db, false)
	patch := func(list ...string) error {
		_, err := unkept.UpdateStage(e.ctx, &api.UpdateStageInput{RestApiId: id, StageName: wire.Ptr("dev"), PatchOperations: ops(list...)})
		return err
	}
	refused(t, patch("replace", "/accessLogSettings/format", "$context.requestId"), 400, badRequestCode,
		"Cannot enable logging. Access logs are not kept here: isthmus serve runs without --access-log-dir")
	if err := errors.Join(patch("replace", "/description", "x"), patch("remove", "/accessLogSettings", "")); err != nil {
		t.Error(err)
	}

	must[api.Stage](t)(create("other", *d.Id, nil))
	list := must[api.GetStagesOutput](t)(e.GetStages(e.ctx, &api.GetStagesInput{RestApiId: id, DeploymentId: d.Id}))
	var names []string
	for _, st := range list.Item {
		names = append(names, *st.StageName)
	}
	if !slices.Equal(names, []string{"dev", "other"}) {
		t.Errorf("stages %v", names)
	}
	must[api.DeleteStageOutput](t)(e.DeleteStage(e.ctx, &api.DeleteStageInput{RestApiId: id, StageName: wire.Ptr("dev")}))
	_, err = e.GetStage(e.ctx, &api.GetStageInput{RestApiId: id, StageName: wire.Ptr("dev")})
	refused(t, err, 404, "NotFoundException", "Invalid stage identifier specified")
}

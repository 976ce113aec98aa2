package apigatewayv2

import (
	"fmt"
	"slices"
	"testing"

	v1 "github.com/isthmus-net/isthmus/internal/service/apigateway"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/apigateway"
	api "github.com/isthmus-net/isthmus/internal/wire/apigatewayv2"
)

func TestVPCLink(t *testing.T) {
	e, stranger := newEnv(t), newEnv(t)
	create := func(name string, subnets, groups []string) (*api.CreateVpcLinkOutput, error) {
		return e.CreateVpcLink(e.ctx, &api.CreateVpcLinkInput{Name: &name, SubnetIds: subnets, SecurityGroupIds: groups})
	}
	l := must[api.CreateVpcLinkOutput](t)(create("l", []string{e.subnetB, e.subnetA, e.subnetB}, nil))
	if len(*l.VpcLinkId) != 6 || *l.VpcLinkStatus != "PENDING" || *l.VpcLinkVersion != "V2" || !slices.Equal(l.SubnetIds, []string{e.subnetB, e.subnetA}) ||
		l.SecurityGroupIds == nil || l.Tags == nil {
		t.Errorf("created %+v", l)
	}
	if row, _ := store.VPCLinksV2.Get(db.View(), *l.VpcLinkId); row.VPC != "vpc-1" {
		t.Errorf("VPC %s", row.VPC)
	}
	for _, c := range []struct {
		subnets, groups []string
		message         string
	}{
		{nil, nil, "At least one subnet id should be provided."},
		{[]string{"subnet-0"}, nil, "The subnet ID 'subnet-0' does not exist"},
		{[]string{stranger.subnetA}, nil, "The subnet ID '" + stranger.subnetA + "' does not exist"},
		{[]string{e.subnetA, e.otherSubnet}, nil, fmt.Sprintf("All subnets of a VPC link should be in the same VPC: subnet '%s' is in 'vpc-2', not in 'vpc-1'", e.otherSubnet)},
		{[]string{e.subnetA}, []string{"sg-none"}, "The security group 'sg-none' does not exist"},
		{[]string{e.subnetA}, []string{e.otherGroup}, "The security group '" + e.otherGroup + "' does not exist in VPC 'vpc-1'"},
	} {
		_, err := create("l", c.subnets, c.groups)
		refused(t, err, 400, badRequestCode, c.message)
	}
	got := must[api.UpdateVpcLinkOutput](t)(e.UpdateVpcLink(e.ctx, &api.UpdateVpcLinkInput{VpcLinkId: l.VpcLinkId, Name: wire.Ptr("m")}))
	if *got.Name != "m" {
		t.Errorf("renamed %+v", got)
	}
	_, err := e.UpdateVpcLink(e.ctx, &api.UpdateVpcLinkInput{VpcLinkId: l.VpcLinkId, Name: wire.Ptr("")})
	refused(t, err, 400, badRequestCode, "Name should have 1 to 128 characters.")
	_, err = stranger.GetVpcLink(stranger.ctx, &api.GetVpcLinkInput{VpcLinkId: l.VpcLinkId})
	refused(t, err, 404, "NotFoundException", "Invalid VpcLink identifier specified "+*l.VpcLinkId)
	if list := must[api.GetVpcLinksOutput](t)(e.GetVpcLinks(e.ctx, &api.GetVpcLinksInput{})); len(list.Items) != 1 {
		t.Errorf("%d links", len(list.Items))
	}
	must[api.DeleteVpcLinkOutput](t)(e.DeleteVpcLink(e.ctx, &api.DeleteVpcLinkInput{VpcLinkId: l.VpcLinkId}))
	if got := must[api.GetVpcLinkOutput](t)(e.GetVpcLink(e.ctx, &api.GetVpcLinkInput{VpcLinkId: l.VpcLinkId})); *got.VpcLinkStatus != "DELETING" {
		t.Errorf("deleted %+v", got)
	}
}

func TestVPCLinkReferences(t *testing.T) {
	e := newEnv(t)
	id, link := e.newAPI(), e.newLink()
	e.newAutoStage(id)
	remove := func() error {
		_, err := e.DeleteVpcLink(e.ctx, &api.DeleteVpcLinkInput{VpcLinkId: link})
		return err
	}
	i := e.newIntegration(id, link)
	refused(t, remove(), 400, badRequestCode, fmt.Sprintf("Cannot delete vpc link. Vpc link '%s', is referenced in [GET:%s] in format of [Method:Resource].", *link, *i))
	r := e.newRoute(id, "$default", i)
	refused(t, remove(), 400, badRequestCode, fmt.Sprintf("Cannot delete vpc link. Vpc link '%s', is referenced in [ANY:%s] in format of [Method:Resource].", *link, *r))
	if d := e.deployed(id, "$default"); d == nil || d.Integrations[0].ConnectionID != *link {
		t.Errorf("not deployed while the link is pending: %+v", d)
	}
	must[api.DeleteRouteOutput](t)(e.DeleteRoute(e.ctx, &api.DeleteRouteInput{ApiId: id, RouteId: r}))
	must[api.DeleteIntegrationOutput](t)(e.DeleteIntegration(e.ctx, &api.DeleteIntegrationInput{ApiId: id, IntegrationId: i}))

	// REST APIs may refer to the link too.
	rest := v1.New(db, true)
	a := must[apigateway.RestApi](t)(rest.CreateRestApi(e.ctx, &apigateway.CreateRestApiInput{Name: wire.Ptr("r")}))
	get := wire.Ptr("GET")
	must[apigateway.Method](t)(rest.PutMethod(e.ctx, &apigateway.PutMethodInput{RestApiId: a.Id, ResourceId: a.RootResourceId, HttpMethod: get, AuthorizationType: wire.Ptr("NONE")}))
	must[apigateway.Integration](t)(rest.PutIntegration(e.ctx, &apigateway.PutIntegrationInput{RestApiId: a.Id, ResourceId: a.RootResourceId, HttpMethod: get, Type: wire.Ptr("HTTP_PROXY"),
		IntegrationHttpMethod: get, Uri: wire.Ptr("http://a/"), ConnectionType: wire.Ptr("VPC_LINK"), ConnectionId: link, IntegrationTarget: &e.balancer}))
	must[apigateway.Deployment](t)(rest.CreateDeployment(e.ctx, &apigateway.CreateDeploymentInput{RestApiId: a.Id, StageName: wire.Ptr("s")}))
	refused(t, remove(), 400, badRequestCode, fmt.Sprintf(
		"Cannot delete vpc link. Vpc link '%s', is referenced in [%s:GET:%s:s] in format of [RESTApiId:Method:Resource:Stage].", *link, *a.Id, *a.RootResourceId))
	must[apigateway.DeleteStageOutput](t)(rest.DeleteStage(e.ctx, &apigateway.DeleteStageInput{RestApiId: a.Id, StageName: wire.Ptr("s")}))
	if err := remove(); err != nil {
		t.Fatal(err)
	}

	// What refers to a link that is going away can't be deployed; the stage says so.
	e.newRoute(id, "GET /x", e.newIntegration(id, link))
	st := must[api.GetStageOutput](t)(e.GetStage(e.ctx, &api.GetStageInput{ApiId: id, StageName: wire.Ptr("$default")}))
	if want := "Deployment attempt failed: Unable to deploy API because VPC link " + *link + " is being deleted"; *st.LastDeploymentStatusMessage != want {
		t.Errorf("stage says %q, want %q", *st.LastDeploymentStatusMessage, want)
	}
	_, err := e.CreateDeployment(e.ctx, &api.CreateDeploymentInput{ApiId: id})
	refused(t, err, 400, badRequestCode, "Unable to deploy API because VPC link "+*link+" is being deleted")

	e.put(func(tx *store.Tx) { store.VPCLinksV2.Delete(tx, *link) })
	_, err = e.CreateDeployment(e.ctx, &api.CreateDeploymentInput{ApiId: id})
	refused(t, err, 400, badRequestCode, "invalid vpclink id "+*link+" referenced in integration")
}

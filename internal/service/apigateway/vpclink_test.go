package apigateway

import (
	"fmt"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

func TestVPCLinkCreate(t *testing.T) {
	e, stranger := newEnv(t), newEnv(t)
	free, _ := e.newNLB("free")
	taken, _ := e.newNLB("taken")
	foreign, _ := stranger.newNLB("foreign")
	e.put(func(tx *store.Tx) {
		store.EndpointServices.Put(tx, &resource.EndpointService{Meta: e.meta(), ID: "vpce-svc-" + e.account, LoadBalancers: []string{taken}})
	})
	create := func(name string, targets ...string) (*api.VpcLink, error) {
		return e.CreateVpcLink(e.ctx, &api.CreateVpcLinkInput{Name: &name, TargetArns: targets, Tags: map[string]string{"k": "v"}})
	}
	for _, c := range []struct {
		name    string
		targets []string
		message string
	}{
		{" ", []string{free}, "Name cannot be empty"},
		{"l", []string{free, taken}, "More than one target arn specified for vpc link."},
		{"l", nil, "No target arn specified for vpc link."},
		{"l", []string{"X"}, "Invalid ARN. ARN is not well formed X"},
	} {
		_, err := create(c.name, c.targets...)
		refused(t, err, 400, badRequestCode, c.message)
	}
	alb := "arn:aws:elasticloadbalancing:us-east-1:" + e.account + ":loadbalancer/app/a/1"
	for _, c := range []struct{ target, status, message string }{
		{free, "PENDING", "Your vpc link is being provisioned"},
		{free, "FAILED", "NLB is already associated with another VPC Endpoint Service"},
		{taken, "FAILED", "NLB is already associated with another VPC Endpoint Service"},
		{alb, "FAILED", "NLB ARN is malformed"},
		{foreign, "FAILED", fmt.Sprintf("NLB %s does not exist", foreign)},
	} {
		l := must[api.VpcLink](t)(create("l", c.target))
		if *l.Status != c.status || *l.StatusMessage != c.message || len(*l.Id) != 6 || l.Tags != nil || l.TargetArns[0] != c.target {
			t.Errorf("link to %s: %+v, want %s %q", c.target, l, c.status, c.message)
		}
		got := must[api.VpcLink](t)(e.GetVpcLink(e.ctx, &api.GetVpcLinkInput{VpcLinkId: l.Id}))
		if *got.Status != c.status || got.Tags["k"] != "v" {
			t.Errorf("got %+v", got)
		}
	}
	if list := must[api.GetVpcLinksOutput](t)(e.GetVpcLinks(e.ctx, &api.GetVpcLinksInput{Limit: wire.Ptr[int64](3)})); len(list.Items) != 3 || list.Position == nil || list.Items[0].Tags != nil {
		t.Errorf("list %+v", list)
	}
}

func TestVPCLinkUpdate(t *testing.T) {
	e := newEnv(t)
	nlb, _ := e.newNLB("n")
	l := must[api.VpcLink](t)(e.CreateVpcLink(e.ctx, &api.CreateVpcLinkInput{Name: wire.Ptr("l"), TargetArns: []string{nlb}}))
	update := func(list ...string) (*api.VpcLink, error) {
		return e.UpdateVpcLink(e.ctx, &api.UpdateVpcLinkInput{VpcLinkId: l.Id, PatchOperations: ops(list...)})
	}
	got := must[api.VpcLink](t)(update("replace", "/name", "m", "replace", "/description", "d"))
	if *got.Name != "m" || *got.Description != "d" || got.Tags == nil {
		t.Errorf("updated %+v", got)
	}
	_, err := update("replace", "/name", "")
	refused(t, err, 400, badRequestCode, "Name cannot be empty")
	_, err = update("add", "/targetArns/0", nlb)
	refused(t, err, 400, badRequestCode, "Target arns are not allowed to be changed/added.")
	unknown := wire.Ptr("nolink")
	_, err = e.GetVpcLink(e.ctx, &api.GetVpcLinkInput{VpcLinkId: unknown})
	refused(t, err, 404, "NotFoundException", "Invalid Vpc Link identifier specified")
	_, err = e.UpdateVpcLink(e.ctx, &api.UpdateVpcLinkInput{VpcLinkId: unknown})
	refused(t, err, 404, "NotFoundException", "Invalid Vpc Link identifier specified")
	_, err = e.DeleteVpcLink(e.ctx, &api.DeleteVpcLinkInput{VpcLinkId: unknown})
	refused(t, err, 404, "NotFoundException", "Invalid Vpc Link identifier specified")
}

func TestVPCLinkDelete(t *testing.T) {
	e := newEnv(t)
	nlb, _ := e.newNLB("n")
	l := must[api.VpcLink](t)(e.CreateVpcLink(e.ctx, &api.CreateVpcLinkInput{Name: wire.Ptr("l"), TargetArns: []string{nlb}}))
	id, root := e.newAPI()
	e.newMethod(id, root, "POST", api.PutIntegrationInput{Type: wire.Ptr("HTTP_PROXY"), IntegrationHttpMethod: wire.Ptr("POST"), Uri: wire.Ptr("http://a/"),
		ConnectionType: wire.Ptr("VPC_LINK"), ConnectionId: l.Id})
	e.newMethod(id, root, "GET", api.PutIntegrationInput{Type: wire.Ptr("HTTP_PROXY"), IntegrationHttpMethod: wire.Ptr("GET"), Uri: wire.Ptr("http://a/"),
		ConnectionType: wire.Ptr("VPC_LINK"), ConnectionId: wire.Ptr("${stageVariables.link}")})
	deploy := func() error {
		_, err := e.CreateDeployment(e.ctx, &api.CreateDeploymentInput{RestApiId: id, StageName: wire.Ptr("stage"), Variables: map[string]string{"link": *l.Id}})
		return err
	}
	remove := func() error {
		_, err := e.DeleteVpcLink(e.ctx, &api.DeleteVpcLinkInput{VpcLinkId: l.Id})
		return err
	}
	if err := deploy(); err != nil {
		t.Fatalf("deploy while the link is pending: %v", err)
	}
	refused(t, remove(), 400, badRequestCode, fmt.Sprintf(
		"Cannot delete vpc link. Vpc link '%s', is referenced in [%s:POST:%s:stage] in format of [RESTApiId:Method:Resource:Stage].", *l.Id, *id, *root))

	// The stage stays as it was deployed, whatever becomes of the method.
	must[api.DeleteMethodOutput](t)(e.DeleteMethod(e.ctx, &api.DeleteMethodInput{RestApiId: id, ResourceId: root, HttpMethod: wire.Ptr("POST")}))
	if remove() == nil {
		t.Fatal("a link that a stage uses was deleted")
	}
	if err := deploy(); err != nil {
		t.Fatal(err)
	}
	// Now only a stage variable names it, which does not count.
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	if got := must[api.VpcLink](t)(e.GetVpcLink(e.ctx, &api.GetVpcLinkInput{VpcLinkId: l.Id})); *got.Status != "DELETING" {
		t.Errorf("status %s", *got.Status)
	}
	if err := remove(); err != nil {
		t.Errorf("delete again: %v", err)
	}
	e.newMethod(id, root, "PUT", api.PutIntegrationInput{Type: wire.Ptr("HTTP_PROXY"), IntegrationHttpMethod: wire.Ptr("POST"), Uri: wire.Ptr("http://a/"),
		ConnectionType: wire.Ptr("VPC_LINK"), ConnectionId: l.Id})
	refused(t, deploy(), 400, badRequestCode, "Cannot deploy: vpc link '"+*l.Id+"' is being deleted.")
	e.put(func(tx *store.Tx) { store.VPCLinksV1.Delete(tx, *l.Id) })
	refused(t, deploy(), 400, badRequestCode, "invalid vpclink id "+*l.Id+" referenced in integration")
}

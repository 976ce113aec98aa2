package apigateway

import (
	"cmp"
	"context"
	"slices"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

var (
	errNoDeployment = notFound("Invalid Deployment identifier specified")
	errCanary       = badRequest("Canary settings are not supported")
)

// CreateDeployment takes a snapshot of an API and, if a stage is named, makes
// that stage serve it.
func (s *Service) CreateDeployment(ctx context.Context, in *api.CreateDeploymentInput) (*api.Deployment, error) {
	if in.CanarySettings != nil {
		return nil, errCanary
	}
	if err := checkVariables(in.Variables); err != nil {
		return nil, err
	}
	var d *resource.RestDeployment
	err := s.update(ctx, func(tx *store.Tx) error {
		a, err := findAPI(ctx, tx, in.RestApiId)
		if err != nil {
			return err
		}
		if a.EndpointType == "PRIVATE" && a.Policy == "" {
			return badRequest("Private REST API doesn't have a resource policy attached to it")
		}
		d = &resource.RestDeployment{
			Meta: newMeta(ctx, nil), API: a.ID, Description: wire.Val(in.Description),
			Policy: a.Policy, BinaryMediaTypes: a.BinaryMediaTypes,
		}
		for d.ID == "" {
			d.ID = NewID(6)
			if _, taken := store.RestDeployments.Get(tx, d.Key()); taken {
				d.ID = ""
			}
		}
		if d.Resources, err = snapshot(tx, a); err != nil {
			return err
		}
		store.RestDeployments.Put(tx, d)
		if wire.Val(in.StageName) == "" { // some clients name no stage by an empty name
			return nil
		}
		return deployTo(ctx, tx, a, d, in)
	})
	if err != nil {
		return nil, err
	}
	return showDeployment(d, nil), nil
}

// snapshot returns an API's resources with methods, sorted by path, if they
// can be deployed.
func snapshot(r store.Reader, a *resource.RestAPI) ([]*resource.RestResource, error) {
	var out []*resource.RestResource
	for _, row := range store.RestResources.ListPrefix(r, a.ID+"/") {
		for _, name := range sortedKeys(row.Methods) {
			i := row.Methods[name].Integration
			if i == nil {
				return nil, badRequest("No integration defined for method")
			}
			if err := checkLink(r, a, i); err != nil {
				return nil, err
			}
		}
		if len(row.Methods) > 0 {
			out = append(out, row)
		}
	}
	if len(out) == 0 {
		return nil, badRequest("The REST API doesn't contain any methods")
	}
	slices.SortFunc(out, func(a, b *resource.RestResource) int { return cmp.Compare(a.Path, b.Path) })
	return out, nil
}

// checkLink checks that the VPC link that an integration names is there to
// stay. One that is not available yet will be.
func checkLink(r store.Reader, a *resource.RestAPI, i *resource.RestIntegration) error {
	if i.ConnectionType != "VPC_LINK" || config.HasStageVariable(i.ConnectionID) {
		return nil
	}
	status := resource.VPCLinkStatus("")
	if l, ok := store.VPCLinksV1.Get(r, i.ConnectionID); ok && l.Account == a.Account && l.Region == a.Region {
		status = l.Status
	} else if l, ok := store.VPCLinksV2.Get(r, i.ConnectionID); ok && l.Account == a.Account && l.Region == a.Region {
		status = l.Status
	}
	switch status {
	case "":
		return badRequest("invalid vpclink id %s referenced in integration", i.ConnectionID)
	case resource.VPCLinkDeleting:
		return badRequest("Cannot deploy: vpc link '%s' is being deleted.", i.ConnectionID)
	default:
		return nil
	}
}

// deployTo makes a stage, new or not, serve a deployment.
func deployTo(ctx context.Context, tx *store.Tx, a *resource.RestAPI, d *resource.RestDeployment, in *api.CreateDeploymentInput) error {
	st, ok := store.RestStages.Get(tx, a.ID+"/"+*in.StageName)
	if !ok {
		if err := checkStageName(*in.StageName); err != nil {
			return err
		}
		st = &resource.RestStage{Meta: newMeta(ctx, nil), API: a.ID, Name: *in.StageName}
	}
	st.Deployment = d.ID
	st.Updated = d.Created
	if in.StageDescription != nil {
		st.Description = *in.StageDescription
	}
	if in.Variables != nil {
		st.Variables = in.Variables
	}
	if in.TracingEnabled != nil {
		st.TracingEnabled = *in.TracingEnabled
	}
	if in.CacheClusterEnabled != nil {
		st.CacheClusterEnabled = *in.CacheClusterEnabled
	}
	if in.CacheClusterSize != nil {
		st.CacheClusterSize = *in.CacheClusterSize
	}
	store.RestStages.Put(tx, st)
	return nil
}

// GetDeployment shows a deployment.
func (s *Service) GetDeployment(ctx context.Context, in *api.GetDeploymentInput) (*api.Deployment, error) {
	d, err := findDeployment(ctx, s.db.View(), in.RestApiId, in.DeploymentId)
	if err != nil {
		return nil, err
	}
	return showDeployment(d, in.Embed), nil
}

// GetDeployments lists an API's deployments.
func (s *Service) GetDeployments(ctx context.Context, in *api.GetDeploymentsInput) (*api.GetDeploymentsOutput, error) {
	view := s.db.View()
	a, err := findAPI(ctx, view, in.RestApiId)
	if err != nil {
		return nil, err
	}
	rows, next, err := Page(store.RestDeployments.ListPrefix(view, a.ID+"/"), (*resource.RestDeployment).Key, in.Limit, in.Position)
	if err != nil {
		return nil, err
	}
	out := &api.GetDeploymentsOutput{Position: next, Items: []*api.Deployment{}}
	for _, d := range rows {
		out.Items = append(out.Items, showDeployment(d, nil))
	}
	return out, nil
}

// UpdateDeployment changes a deployment's description.
func (s *Service) UpdateDeployment(ctx context.Context, in *api.UpdateDeploymentInput) (*api.Deployment, error) {
	var d *resource.RestDeployment
	err := s.update(ctx, func(tx *store.Tx) (err error) {
		if d, err = findDeployment(ctx, tx, in.RestApiId, in.DeploymentId); err != nil {
			return err
		}
		if err := applyPatch(in.PatchOperations, listStyle, setString("/description", &d.Description)); err != nil {
			return err
		}
		store.RestDeployments.Put(tx, d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showDeployment(d, nil), nil
}

// DeleteDeployment removes a deployment that no stage serves.
func (s *Service) DeleteDeployment(ctx context.Context, in *api.DeleteDeploymentInput) (*api.DeleteDeploymentOutput, error) {
	err := s.update(ctx, func(tx *store.Tx) error {
		d, err := findDeployment(ctx, tx, in.RestApiId, in.DeploymentId)
		if err != nil {
			return err
		}
		for st := range store.RestStages.ScanPrefix(tx, d.API+"/") {
			if st.Deployment == d.ID {
				return badRequest("Active stages pointing to this deployment must be moved or deleted")
			}
		}
		store.RestDeployments.Delete(tx, d.Key())
		return nil
	})
	return &api.DeleteDeploymentOutput{}, err
}

func findDeployment(ctx context.Context, r store.Reader, apiID, id *string) (*resource.RestDeployment, error) {
	a, err := findAPI(ctx, r, apiID)
	if err != nil {
		return nil, err
	}
	if d, ok := store.RestDeployments.Get(r, a.ID+"/"+wire.Val(id)); ok {
		return d, nil
	}
	return nil, errNoDeployment
}

// showDeployment is a deployment on the wire; embed may ask for a summary of
// its methods.
func showDeployment(d *resource.RestDeployment, embed []string) *api.Deployment {
	out := &api.Deployment{Id: &d.ID, Description: optional(d.Description), CreatedDate: &d.Created}
	if !slices.Contains(embed, "apisummary") {
		return out
	}
	out.ApiSummary = map[string]map[string]*api.MethodSnapshot{}
	for _, r := range d.Resources {
		methods := map[string]*api.MethodSnapshot{}
		for name, m := range r.Methods {
			methods[name] = &api.MethodSnapshot{AuthorizationType: &m.AuthorizationType, ApiKeyRequired: &m.APIKeyRequired}
		}
		out.ApiSummary[r.Path] = methods
	}
	return out
}

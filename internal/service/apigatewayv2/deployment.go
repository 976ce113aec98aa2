package apigatewayv2

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigatewayv2"
)

// CreateDeployment takes a snapshot of an API and, if a stage is named, makes
// that stage serve it.
func (s *Service) CreateDeployment(ctx context.Context, in *api.CreateDeploymentInput) (*api.CreateDeploymentOutput, error) {
	var d *resource.HTTPDeployment
	err := s.update(ctx, func(tx *store.Tx) error {
		a, err := findAPI(ctx, tx, in.ApiId)
		if err != nil {
			return err
		}
		if d, err = deploy(ctx, tx, a); err != nil {
			return err
		}
		d.Description = wire.Val(in.Description)
		store.HTTPDeployments.Put(tx, d)
		if in.StageName == nil {
			return nil
		}
		st, err := findStage(tx, a.ID, in.StageName)
		if err != nil {
			return err
		}
		if st.AutoDeploy {
			return badRequest("Deployment ID cannot be set because stage '%s' has AutoDeploy enabled", st.Name)
		}
		serve(st, d)
		store.HTTPStages.Put(tx, st)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return (*api.CreateDeploymentOutput)(showDeployment(d)), nil
}

// deploy makes the snapshot of an API, if it can be deployed, but does not
// write it.
func deploy(ctx context.Context, r store.Reader, a *resource.HTTPAPI) (*resource.HTTPDeployment, error) {
	d := &resource.HTTPDeployment{
		Meta: newMeta(ctx, nil), API: a.ID, CORS: a.CORS,
		Routes: store.HTTPRoutes.ListPrefix(r, a.ID+"/"),
	}
	d.ID = newID(6, func(id string) bool { _, taken := store.HTTPDeployments.Get(r, a.ID+"/"+id); return !taken })
	if len(d.Routes) == 0 {
		return nil, badRequest("Unable to deploy API because no routes exist in this API")
	}
	slices.SortFunc(d.Routes, func(a, b *resource.HTTPRoute) int { return cmp.Compare(a.RouteKey, b.RouteKey) })
	used := map[string]bool{}
	for _, route := range d.Routes {
		used[route.Integration] = true
	}
	for _, i := range store.HTTPIntegrations.ListPrefix(r, a.ID+"/") {
		if !used[i.ID] {
			continue
		}
		if err := checkLink(r, i); err != nil {
			return nil, err
		}
		d.Integrations = append(d.Integrations, i)
	}
	return d, nil
}

// checkLink checks that the VPC link of an integration is there to stay. One
// that is not available yet will be.
func checkLink(r store.Reader, i *resource.HTTPIntegration) error {
	if i.ConnectionType != "VPC_LINK" || config.HasStageVariable(i.ConnectionID) {
		return nil
	}
	l, ok := store.VPCLinksV2.Get(r, i.ConnectionID)
	if !ok {
		return badRequest("invalid vpclink id %s referenced in integration", i.ConnectionID)
	}
	if l.Status == resource.VPCLinkDeleting {
		return badRequest("Unable to deploy API because VPC link %s is being deleted", l.ID)
	}
	return nil
}

// serve makes a stage serve a deployment.
func serve(st *resource.HTTPStage, d *resource.HTTPDeployment) {
	st.Deployment = d.ID
	st.LastDeploymentMessage = "Successfully deployed stage with deployment ID '" + d.ID + "'"
	st.Updated = d.Created
}

// autoDeploy gives the stages that deploy by themselves a snapshot of the API
// as it is now, and removes automatic deployments that no stage serves any
// more. An API that can't be deployed is left as it was deployed; its stages say why.
func autoDeploy(ctx context.Context, tx *store.Tx, a *resource.HTTPAPI) {
	stages := store.HTTPStages.ListPrefix(tx, a.ID+"/")
	if !slices.ContainsFunc(stages, func(st *resource.HTTPStage) bool { return st.AutoDeploy }) {
		return
	}
	d, err := deploy(ctx, tx, a)
	if err == nil {
		d.Auto = true
		d.Description = "Automatic deployment triggered by changes to the Api configuration"
		store.HTTPDeployments.Put(tx, d)
	}
	served := map[string]bool{}
	for _, st := range stages {
		if st.AutoDeploy {
			if err == nil {
				serve(st, d)
			} else {
				st.LastDeploymentMessage = "Deployment attempt failed: " + message(err)
			}
			store.HTTPStages.Put(tx, st)
		}
		served[st.Deployment] = true
	}
	for _, old := range store.HTTPDeployments.ListPrefix(tx, a.ID+"/") {
		if old.Auto && !served[old.ID] {
			store.HTTPDeployments.Delete(tx, old.Key())
		}
	}
}

func message(err error) string {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// GetDeployment shows a deployment.
func (s *Service) GetDeployment(ctx context.Context, in *api.GetDeploymentInput) (*api.GetDeploymentOutput, error) {
	view := s.db.View()
	if _, err := findAPI(ctx, view, in.ApiId); err != nil {
		return nil, err
	}
	d, err := findDeployment(view, *in.ApiId, in.DeploymentId)
	if err != nil {
		return nil, err
	}
	return (*api.GetDeploymentOutput)(showDeployment(d)), nil
}

// GetDeployments lists an API's deployments.
func (s *Service) GetDeployments(ctx context.Context, in *api.GetDeploymentsInput) (*api.GetDeploymentsOutput, error) {
	view := s.db.View()
	a, err := findAPI(ctx, view, in.ApiId)
	if err != nil {
		return nil, err
	}
	rows, next, err := page(store.HTTPDeployments.ListPrefix(view, a.ID+"/"), (*resource.HTTPDeployment).Key, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &api.GetDeploymentsOutput{NextToken: next, Items: []*api.Deployment{}}
	for _, d := range rows {
		out.Items = append(out.Items, showDeployment(d))
	}
	return out, nil
}

// UpdateDeployment changes a deployment's description.
func (s *Service) UpdateDeployment(ctx context.Context, in *api.UpdateDeploymentInput) (*api.UpdateDeploymentOutput, error) {
	var d *resource.HTTPDeployment
	err := s.update(ctx, func(tx *store.Tx) error {
		a, err := findAPI(ctx, tx, in.ApiId)
		if err != nil {
			return err
		}
		if d, err = findDeployment(tx, a.ID, in.DeploymentId); err != nil {
			return err
		}
		change(&d.Description, in.Description)
		store.HTTPDeployments.Put(tx, d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return (*api.UpdateDeploymentOutput)(showDeployment(d)), nil
}

// DeleteDeployment removes a deployment that no stage serves.
func (s *Service) DeleteDeployment(ctx context.Context, in *api.DeleteDeploymentInput) (*api.DeleteDeploymentOutput, error) {
	err := s.update(ctx, func(tx *store.Tx) error {
		a, err := findAPI(ctx, tx, in.ApiId)
		if err != nil {
			return err
		}
		d, err := findDeployment(tx, a.ID, in.DeploymentId)
		if err != nil {
			return err
		}
		for st := range store.HTTPStages.ScanPrefix(tx, a.ID+"/") {
			if st.Deployment == d.ID {
				return badRequest("Active stages pointing to this deployment must be moved or deleted")
			}
		}
		store.HTTPDeployments.Delete(tx, d.Key())
		return nil
	})
	return &api.DeleteDeploymentOutput{}, err
}

func findDeployment(r store.Reader, apiID string, id *string) (*resource.HTTPDeployment, error) {
	if d, ok := store.HTTPDeployments.Get(r, apiID+"/"+wire.Val(id)); ok {
		return d, nil
	}
	return nil, notFound("Invalid deployment identifier specified %s", wire.Val(id))
}

// showDeployment is a deployment on the wire.
func showDeployment(d *resource.HTTPDeployment) *api.Deployment {
	return &api.Deployment{
		AutoDeployed:     &d.Auto,
		CreatedDate:      &d.Created,
		DeploymentId:     &d.ID,
		DeploymentStatus: wire.Ptr("DEPLOYED"),
		Description:      optional(d.Description),
	}
}

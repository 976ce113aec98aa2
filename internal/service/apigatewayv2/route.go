package apigatewayv2

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigatewayv2"
)

// CreateRoute adds a route to an API.
func (s *Service) CreateRoute(ctx context.Context, in *api.CreateRouteInput) (*api.CreateRouteOutput, error) {
	if err := checkRouteInput(in.ApiKeyRequired, in.RequestModels, in.RequestParameters, in.RouteResponseSelectionExpression); err != nil {
		return nil, err
	}
	var r *resource.HTTPRoute
	_, err := s.changeAPI(ctx, in.ApiId, func(tx *store.Tx, a *resource.HTTPAPI) error {
		r = newRoute(tx, a)
		r.RouteKey, r.OperationName, r.AuthorizationScopes = wire.Val(in.RouteKey), wire.Val(in.OperationName), in.AuthorizationScopes
		change(&r.AuthorizationType, in.AuthorizationType)
		if err := setTarget(r, wire.Val(in.Target)); err != nil {
			return err
		}
		if err := checkRoute(tx, r); err != nil {
			return err
		}
		store.HTTPRoutes.Put(tx, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return (*api.CreateRouteOutput)(showRoute(r)), nil
}

// GetRoute shows a route.
func (s *Service) GetRoute(ctx context.Context, in *api.GetRouteInput) (*api.GetRouteOutput, error) {
	view := s.db.View()
	if _, err := findAPI(ctx, view, in.ApiId); err != nil {
		return nil, err
	}
	r, err := findRoute(view, *in.ApiId, in.RouteId)
	if err != nil {
		return nil, err
	}
	return (*api.GetRouteOutput)(showRoute(r)), nil
}

// GetRoutes lists an API's routes.
func (s *Service) GetRoutes(ctx context.Context, in *api.GetRoutesInput) (*api.GetRoutesOutput, error) {
	view := s.db.View()
	a, err := findAPI(ctx, view, in.ApiId)
	if err != nil {
		return nil, err
	}
	rows, next, err := page(store.HTTPRoutes.ListPrefix(view, a.ID+"/"), (*resource.HTTPRoute).Key, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &api.GetRoutesOutput{NextToken: next, Items: []*api.Route{}}
	for _, r := range rows {
		out.Items = append(out.Items, showRoute(r))
	}
	return out, nil
}

// UpdateRoute changes a route.
func (s *Service) UpdateRoute(ctx context.Context, in *api.UpdateRouteInput) (*api.UpdateRouteOutput, error) {
	if err := checkRouteInput(in.ApiKeyRequired, in.RequestModels, in.RequestParameters, in.RouteResponseSelectionExpression); err != nil {
		return nil, err
	}
	var r *resource.HTTPRoute
	_, err := s.changeAPI(ctx, in.ApiId, func(tx *store.Tx, a *resource.HTTPAPI) (err error) {
		if r, err = findRoute(tx, a.ID, in.RouteId); err != nil {
			return err
		}
		change(&r.RouteKey, in.RouteKey)
		change(&r.OperationName, in.OperationName)
		change(&r.AuthorizationType, in.AuthorizationType)
		if in.AuthorizationScopes != nil {
			r.AuthorizationScopes = in.AuthorizationScopes
		}
		if in.Target != nil {
			if err := setTarget(r, *in.Target); err != nil {
				return err
			}
		}
		if err := checkRoute(tx, r); err != nil {
			return err
		}
		store.HTTPRoutes.Put(tx, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return (*api.UpdateRouteOutput)(showRoute(r)), nil
}

// DeleteRoute removes a route.
func (s *Service) DeleteRoute(ctx context.Context, in *api.DeleteRouteInput) (*api.DeleteRouteOutput, error) {
	_, err := s.changeAPI(ctx, in.ApiId, func(tx *store.Tx, a *resource.HTTPAPI) error {
		r, err := findRoute(tx, a.ID, in.RouteId)
		if err != nil {
			return err
		}
		store.HTTPRoutes.Delete(tx, r.Key())
		return nil
	})
	return &api.DeleteRouteOutput{}, err
}

// DeleteRouteRequestParameter finds nothing to delete: only WebSocket APIs
// have request parameters.
func (s *Service) DeleteRouteRequestParameter(ctx context.Context, in *api.DeleteRouteRequestParameterInput) (*api.DeleteRouteRequestParameterOutput, error) {
	view := s.db.View()
	if _, err := findAPI(ctx, view, in.ApiId); err != nil {
		return nil, err
	}
	if _, err := findRoute(view, *in.ApiId, in.RouteId); err != nil {
		return nil, err
	}
	return nil, notFound("Invalid request parameter specified %s", wire.Val(in.RequestParameterKey))
}

func newRoute(r store.Reader, a *resource.HTTPAPI) *resource.HTTPRoute {
	id := newID(7, func(id string) bool { _, taken := store.HTTPRoutes.Get(r, a.ID+"/"+id); return !taken })
	return &resource.HTTPRoute{API: a.ID, ID: id, AuthorizationType: "NONE"}
}

func findRoute(r store.Reader, apiID string, id *string) (*resource.HTTPRoute, error) {
	if row, ok := store.HTTPRoutes.Get(r, apiID+"/"+wire.Val(id)); ok {
		return row, nil
	}
	return nil, notFound("Invalid Route identifier specified %s", wire.Val(id))
}

// setTarget sets the integration that a route leads to; empty for none.
func setTarget(r *resource.HTTPRoute, target string) error {
	id, ok := strings.CutPrefix(target, "integrations/")
	if !ok && target != "" {
		return badRequest("Invalid target specified: %s. Format should be \"integrations/<INTEGRATION ID>\"", target)
	}
	r.Integration = id
	return nil
}

// checkRouteInput refuses what only WebSocket APIs have.
func checkRouteInput(key *bool, models map[string]string, parameters map[string]*api.ParameterConstraints, selection *string) error {
	if wire.Val(key) || len(models) > 0 || len(parameters) > 0 || wire.Val(selection) != "" {
		return badRequest("API keys, request models, request parameters and route responses are not supported for HTTP protocol")
	}
	return nil
}

var routeMethods = []string{"ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}

func checkRoute(tx *store.Tx, r *resource.HTTPRoute) error {
	switch r.AuthorizationType {
	case "NONE", "AWS_IAM":
	default:
		return badRequest("Authorizers are not supported; authorization type must be NONE or AWS_IAM")
	}
	if r.RouteKey != "$default" {
		method, path, ok := strings.Cut(r.RouteKey, " ")
		if !ok || !slices.Contains(routeMethods, method) || !validPath(path) {
			return badRequest(`The provided route key is not formatted properly for HTTP protocol. Format should be "<HTTP METHOD> /<RESOURCE PATH>" or "$default"`)
		}
	}
	for other := range store.HTTPRoutes.ScanPrefix(tx, r.API+"/") {
		if other.ID != r.ID && other.RouteKey == r.RouteKey {
			return conflict("Route with key %s already exists for this API", r.RouteKey)
		}
	}
	if r.Integration != "" {
		if _, ok := store.HTTPIntegrations.Get(tx, r.API+"/"+r.Integration); !ok {
			return badRequest("Invalid target specified: integration %s does not exist", r.Integration)
		}
	}
	return nil
}

var routeSegment = regexp.MustCompile(`^([^{}\s/?#]+|\{[a-zA-Z0-9._-]+\+?\})$`)

// validPath says whether a path is made of literal segments and variables, of
// which only the last may be greedy, and no two have the same name.
func validPath(path string) bool {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return false
	}
	if rest == "" {
		return true
	}
	seen := map[string]bool{}
	segments := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	for i, s := range segments {
		if !routeSegment.MatchString(s) || strings.HasSuffix(s, "+}") && i < len(segments)-1 {
			return false
		}
		if name := strings.Trim(s, "{+}"); s[0] == '{' {
			if seen[name] {
				return false
			}
			seen[name] = true
		}
	}
	return true
}

// showRoute is a route on the wire.
func showRoute(r *resource.HTTPRoute) *api.Route {
	out := &api.Route{
		ApiGatewayManaged:   flag(r.Managed),
		ApiKeyRequired:      wire.Ptr(false),
		AuthorizationScopes: r.AuthorizationScopes,
		AuthorizationType:   &r.AuthorizationType,
		OperationName:       optional(r.OperationName),
		RouteId:             &r.ID,
		RouteKey:            &r.RouteKey,
	}
	if r.Integration != "" {
		out.Target = wire.Ptr("integrations/" + r.Integration)
	}
	return out
}

package apigatewayv2

import (
	"context"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	v1 "github.com/isthmus-net/isthmus/internal/service/apigateway"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigatewayv2"
)

// CreateApi makes an HTTP API. With a target it also makes an integration, a
// route to it and the stage $default ("quick create").
func (s *Service) CreateApi(ctx context.Context, in *api.CreateApiInput) (*api.CreateApiOutput, error) {
	if p := wire.Val(in.ProtocolType); p != "HTTP" {
		return nil, badRequest("Protocol type %s is not supported. Must be one of [HTTP]", p)
	}
	if err := v1.CheckTags(in.Tags); err != nil {
		return nil, err
	}
	a := &resource.HTTPAPI{
		Meta: newMeta(ctx, in.Tags), Name: wire.Val(in.Name), Description: wire.Val(in.Description), Version: wire.Val(in.Version),
		CORS: readCORS(in.CorsConfiguration), DisableExecuteAPIEndpoint: wire.Val(in.DisableExecuteApiEndpoint),
		IPAddressType: "ipv4",
	}
	change(&a.IPAddressType, in.IpAddressType)
	if err := checkAPI(a, in.RouteSelectionExpression); err != nil {
		return nil, err
	}
	if in.Target == nil && in.RouteKey != nil {
		return nil, badRequest("Target must be specified along with a route key")
	}
	err := s.update(ctx, func(tx *store.Tx) error {
		a.ID = newID(10, func(id string) bool {
			_, rest := store.RestAPIs.Get(tx, id)
			_, http := store.HTTPAPIs.Get(tx, id)
			return !rest && !http
		})
		store.HTTPAPIs.Put(tx, a)
		if in.Target == nil {
			return nil
		}
		return quickCreate(ctx, tx, a, *in.Target, in.RouteKey)
	})
	if err != nil {
		return nil, err
	}
	return (*api.CreateApiOutput)(showAPI(a)), nil
}

// quickCreate gives a new API an integration, a route and a stage.
func quickCreate(ctx context.Context, tx *store.Tx, a *resource.HTTPAPI, target string, key *string) error {
	i := newIntegration(tx, a)
	i.Method, i.URI, i.Managed = "ANY", target, true
	if err := checkIntegration(ctx, tx, i); err != nil {
		return err
	}
	store.HTTPIntegrations.Put(tx, i)
	r := newRoute(tx, a)
	r.RouteKey, r.Integration, r.Managed = "$default", i.ID, true
	change(&r.RouteKey, key)
	if err := checkRoute(tx, r); err != nil {
		return err
	}
	st := &resource.HTTPStage{Meta: newMeta(ctx, nil), API: a.ID, Name: "$default", AutoDeploy: true, Managed: true}
	st.Updated = st.Created
	store.HTTPRoutes.Put(tx, r)
	store.HTTPStages.Put(tx, st)
	autoDeploy(ctx, tx, a)
	return nil
}

// GetApi shows an API.
func (s *Service) GetApi(ctx context.Context, in *api.GetApiInput) (*api.GetApiOutput, error) {
	a, err := findAPI(ctx, s.db.View(), in.ApiId)
	if err != nil {
		return nil, err
	}
	return (*api.GetApiOutput)(showAPI(a)), nil
}

// GetApis lists the caller's APIs.
func (s *Service) GetApis(ctx context.Context, in *api.GetApisInput) (*api.GetApisOutput, error) {
	var mine []*resource.HTTPAPI
	for a := range store.HTTPAPIs.Scan(s.db.View()) {
		if owned(ctx, a.Meta) {
			mine = append(mine, a)
		}
	}
	rows, next, err := page(mine, (*resource.HTTPAPI).Key, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &api.GetApisOutput{NextToken: next, Items: []*api.Api{}}
	for _, a := range rows {
		out.Items = append(out.Items, showAPI(a))
	}
	return out, nil
}

// UpdateApi changes an API's settings; its target and route key are those of
// quick create.
func (s *Service) UpdateApi(ctx context.Context, in *api.UpdateApiInput) (*api.UpdateApiOutput, error) {
	a, err := s.changeAPI(ctx, in.ApiId, func(tx *store.Tx, a *resource.HTTPAPI) error {
		change(&a.Name, in.Name)
		change(&a.Description, in.Description)
		change(&a.Version, in.Version)
		change(&a.DisableExecuteAPIEndpoint, in.DisableExecuteApiEndpoint)
		change(&a.IPAddressType, in.IpAddressType)
		if in.CorsConfiguration != nil {
			a.CORS = readCORS(in.CorsConfiguration)
		}
		if err := checkAPI(a, in.RouteSelectionExpression); err != nil {
			return err
		}
		return changeQuick(ctx, tx, a, in.Target, in.RouteKey)
	})
	if err != nil {
		return nil, err
	}
	return (*api.UpdateApiOutput)(showAPI(a)), nil
}

// changeQuick changes what quick create has made.
func changeQuick(ctx context.Context, tx *store.Tx, a *resource.HTTPAPI, target, key *string) error {
	errNone := badRequest("Target and route key can only be changed for APIs that were made by quick create")
	if target != nil {
		i := first(store.HTTPIntegrations.ListPrefix(tx, a.ID+"/"), func(i *resource.HTTPIntegration) bool { return i.Managed })
		if i == nil {
			return errNone
		}
		i.URI = *target
		if err := checkIntegration(ctx, tx, i); err != nil {
			return err
		}
		store.HTTPIntegrations.Put(tx, i)
	}
	if key != nil {
		r := first(store.HTTPRoutes.ListPrefix(tx, a.ID+"/"), func(r *resource.HTTPRoute) bool { return r.Managed })
		if r == nil {
			return errNone
		}
		r.RouteKey = *key
		if err := checkRoute(tx, r); err != nil {
			return err
		}
		store.HTTPRoutes.Put(tx, r)
	}
	return nil
}

func first[T any](rows []*T, is func(*T) bool) *T {
	for _, r := range rows {
		if is(r) {
			return r
		}
	}
	return nil
}

// DeleteCorsConfiguration makes an API leave cross-origin requests to its backends.
func (s *Service) DeleteCorsConfiguration(ctx context.Context, in *api.DeleteCorsConfigurationInput) (*api.DeleteCorsConfigurationOutput, error) {
	_, err := s.changeAPI(ctx, in.ApiId, func(_ *store.Tx, a *resource.HTTPAPI) error {
		a.CORS = nil
		return nil
	})
	return &api.DeleteCorsConfigurationOutput{}, err
}

// DeleteApi removes an API and all that belongs to it.
func (s *Service) DeleteApi(ctx context.Context, in *api.DeleteApiInput) (*api.DeleteApiOutput, error) {
	err := s.update(ctx, func(tx *store.Tx) error {
		a, err := findAPI(ctx, tx, in.ApiId)
		if err != nil {
			return err
		}
		prefix := a.ID + "/"
		for _, r := range store.HTTPRoutes.ListPrefix(tx, prefix) {
			store.HTTPRoutes.Delete(tx, r.Key())
		}
		for _, i := range store.HTTPIntegrations.ListPrefix(tx, prefix) {
			store.HTTPIntegrations.Delete(tx, i.Key())
		}
		for _, st := range store.HTTPStages.ListPrefix(tx, prefix) {
			store.HTTPStages.Delete(tx, st.Key())
		}
		for _, d := range store.HTTPDeployments.ListPrefix(tx, prefix) {
			store.HTTPDeployments.Delete(tx, d.Key())
		}
		store.HTTPAPIs.Delete(tx, a.ID)
		return nil
	})
	return &api.DeleteApiOutput{}, err
}

// changeAPI changes an API, or what belongs to it, in a transaction that also
// deploys the API where that is automatic.
func (s *Service) changeAPI(ctx context.Context, id *string, f func(*store.Tx, *resource.HTTPAPI) error) (*resource.HTTPAPI, error) {
	var a *resource.HTTPAPI
	err := s.update(ctx, func(tx *store.Tx) (err error) {
		if a, err = findAPI(ctx, tx, id); err != nil {
			return err
		}
		if err := f(tx, a); err != nil {
			return err
		}
		store.HTTPAPIs.Put(tx, a)
		autoDeploy(ctx, tx, a)
		return nil
	})
	return a, err
}

// findAPI returns the caller's API.
func findAPI(ctx context.Context, r store.Reader, id *string) (*resource.HTTPAPI, error) {
	a, ok := store.HTTPAPIs.Get(r, wire.Val(id))
	if !ok || !owned(ctx, a.Meta) {
		return nil, notFound("Invalid API identifier specified %s:%s", wire.CallerFrom(ctx).Account, wire.Val(id))
	}
	return a, nil
}

const routeSelection = "$request.method $request.path"

func checkAPI(a *resource.HTTPAPI, selection *string) error {
	if strings.TrimSpace(a.Name) == "" {
		return badRequest("Name cannot be empty")
	}
	switch wire.Val(selection) {
	case "", routeSelection, "${request.method} ${request.path}":
	default:
		return badRequest("Invalid route selection expression specified for HTTP protocol. Must be %s", routeSelection)
	}
	return checkCORS(a.CORS)
}

// checkCORS refuses what browsers refuse.
func checkCORS(c *resource.CORS) error {
	if c == nil || !wire.Val(c.AllowCredentials) {
		return nil
	}
	for _, o := range c.AllowOrigins {
		if o == "*" {
			return badRequest("AllowOrigins cannot be '*' when AllowCredentials is true")
		}
	}
	return nil
}

// readCORS takes an empty configuration for none: clients send one to clear it.
func readCORS(c *api.Cors) *resource.CORS {
	if c == nil || c.AllowCredentials == nil && c.MaxAge == nil &&
		len(c.AllowHeaders)+len(c.AllowMethods)+len(c.AllowOrigins)+len(c.ExposeHeaders) == 0 {
		return nil
	}
	return &resource.CORS{
		AllowCredentials: c.AllowCredentials, AllowHeaders: c.AllowHeaders, AllowMethods: c.AllowMethods,
		AllowOrigins: c.AllowOrigins, ExposeHeaders: c.ExposeHeaders, MaxAgeSeconds: c.MaxAge,
	}
}

// showAPI is an API on the wire.
func showAPI(a *resource.HTTPAPI) *api.Api {
	out := &api.Api{
		ApiEndpoint:               wire.Ptr("https://" + a.ID + ".execute-api." + a.Region + ".amazonaws.com"),
		ApiId:                     &a.ID,
		ApiKeySelectionExpression: wire.Ptr("$request.header.x-api-key"),
		CreatedDate:               &a.Created,
		Description:               optional(a.Description),
		DisableExecuteApiEndpoint: &a.DisableExecuteAPIEndpoint,
		IpAddressType:             &a.IPAddressType,
		Name:                      &a.Name,
		ProtocolType:              wire.Ptr("HTTP"),
		RouteSelectionExpression:  wire.Ptr(routeSelection),
		Tags:                      full(a.Tags),
		Version:                   optional(a.Version),
	}
	if c := a.CORS; c != nil {
		out.CorsConfiguration = &api.Cors{
			AllowCredentials: c.AllowCredentials, AllowHeaders: c.AllowHeaders, AllowMethods: c.AllowMethods,
			AllowOrigins: c.AllowOrigins, ExposeHeaders: c.ExposeHeaders, MaxAge: c.MaxAgeSeconds,
		}
	}
	return out
}

package apigateway

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

var (
	errNoMethod   = notFound("Invalid Method identifier specified")
	errAuthorizer = badRequest("Invalid authorizer ID specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires a valid authorizer.")
	errValidator  = badRequest("Invalid Request Validator identifier specified")

	httpMethods = []string{"GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "ANY"}
)

// PutMethod adds a method to a resource.
func (s *Service) PutMethod(ctx context.Context, in *api.PutMethodInput) (*api.Method, error) {
	name := wire.Val(in.HttpMethod)
	m := &resource.RestMethod{
		AuthorizationType:   wire.Val(in.AuthorizationType),
		AuthorizationScopes: in.AuthorizationScopes,
		APIKeyRequired:      wire.Val(in.ApiKeyRequired),
		OperationName:       wire.Val(in.OperationName),
		RequestParameters:   in.RequestParameters,
		RequestModels:       in.RequestModels,
	}
	err := s.changeResource(ctx, in.RestApiId, in.ResourceId, func(r *resource.RestResource) error {
		if !slices.Contains(httpMethods, name) {
			return badRequest("Invalid HttpMethod specified. Valid options are %s", strings.Join(httpMethods, ","))
		}
		if in.RequestValidatorId != nil {
			return errValidator
		}
		if err := checkMethod(m); err != nil {
			return err
		}
		if r.Methods[name] != nil {
			return conflict("Method already exists for this resource")
		}
		if r.Methods == nil {
			r.Methods = map[string]*resource.RestMethod{}
		}
		r.Methods[name] = m
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showMethod(name, m), nil
}

// GetMethod shows a method.
func (s *Service) GetMethod(ctx context.Context, in *api.GetMethodInput) (*api.Method, error) {
	m, err := s.viewMethod(ctx, in.RestApiId, in.ResourceId, in.HttpMethod)
	if err != nil {
		return nil, err
	}
	return showMethod(*in.HttpMethod, m), nil
}

// UpdateMethod changes a method.
func (s *Service) UpdateMethod(ctx context.Context, in *api.UpdateMethodInput) (out *api.Method, err error) {
	err = s.changeMethod(ctx, in.RestApiId, in.ResourceId, in.HttpMethod, func(m *resource.RestMethod) error {
		err := applyPatch(in.PatchOperations, shortStyle,
			setString("/authorizationType", &m.AuthorizationType),
			setBool("/apiKeyRequired", &m.APIKeyRequired),
			setString("/operationName", &m.OperationName),
			setMember("/authorizationScopes", &m.AuthorizationScopes),
			setEntry("/requestParameters/*", &m.RequestParameters, isTrue, "Invalid parameter name specified"),
			setEntry("/requestModels/*", &m.RequestModels, asIs, "Content-Type specified was not found"),
			// There are no authorizers and no validators to name, but clients
			// also send the empty name.
			setWith("/authorizerId", func(v string) error {
				if v != "" && m.AuthorizationType != "NONE" {
					return errAuthorizer
				}
				return nil
			}),
			setWith("/requestValidatorId", func(v string) error {
				if v != "" {
					return errValidator
				}
				return nil
			}),
		)
		if err != nil {
			return err
		}
		out = showMethod(*in.HttpMethod, m)
		return checkMethod(m)
	})
	return out, err
}

// DeleteMethod removes a method.
func (s *Service) DeleteMethod(ctx context.Context, in *api.DeleteMethodInput) (*api.DeleteMethodOutput, error) {
	err := s.changeResource(ctx, in.RestApiId, in.ResourceId, func(r *resource.RestResource) error {
		if r.Methods[wire.Val(in.HttpMethod)] == nil {
			return errNoMethod
		}
		delete(r.Methods, *in.HttpMethod)
		return nil
	})
	return &api.DeleteMethodOutput{}, err
}

// changeResource changes a resource in a transaction.
func (s *Service) changeResource(ctx context.Context, apiID, id *string, change func(*resource.RestResource) error) error {
	return s.update(ctx, func(tx *store.Tx) error {
		row, err := findResource(ctx, tx, apiID, id)
		if err != nil {
			return err
		}
		if err := change(row); err != nil {
			return err
		}
		store.RestResources.Put(tx, row)
		return nil
	})
}

// changeMethod changes a method in a transaction.
func (s *Service) changeMethod(ctx context.Context, apiID, id, method *string, change func(*resource.RestMethod) error) error {
	return s.changeResource(ctx, apiID, id, func(r *resource.RestResource) error {
		m := r.Methods[wire.Val(method)]
		if m == nil {
			return errNoMethod
		}
		return change(m)
	})
}

// viewMethod returns a method to read.
func (s *Service) viewMethod(ctx context.Context, apiID, id, method *string) (*resource.RestMethod, error) {
	r, err := findResource(ctx, s.db.View(), apiID, id)
	if err != nil {
		return nil, err
	}
	if m := r.Methods[wire.Val(method)]; m != nil {
		return m, nil
	}
	return nil, errNoMethod
}

var (
	requestParameter = regexp.MustCompile(`^method\.request\.(path|querystring|header)\.([a-zA-Z0-9._$-]+)$`)
	defaultModels    = []string{"Empty", "Error"}
)

func checkMethod(m *resource.RestMethod) error {
	switch m.AuthorizationType {
	case "NONE", "AWS_IAM":
	case "CUSTOM", "COGNITO_USER_POOLS":
		return errAuthorizer
	default:
		return badRequest("Invalid authorization type specified: %s", m.AuthorizationType)
	}
	names := map[string]bool{}
	for _, p := range sortedKeys(m.RequestParameters) {
		match := requestParameter.FindStringSubmatch(p)
		if match == nil {
			return mappingError("specified", p)
		}
		if names[match[2]] {
			return badRequest("Parameter names must be unique across querystring, header and path")
		}
		names[match[2]] = true
	}
	return checkModels(m.RequestModels)
}

// checkModels checks the names of models: only the two exist that every API has.
func checkModels(models map[string]string) error {
	for _, contentType := range sortedKeys(models) {
		if name := models[contentType]; !slices.Contains(defaultModels, name) {
			return badRequest("Invalid model identifier specified: %s", name)
		}
	}
	return nil
}

// showMethod is a method on the wire.
func showMethod(name string, m *resource.RestMethod) *api.Method {
	out := &api.Method{
		HttpMethod:          &name,
		AuthorizationType:   &m.AuthorizationType,
		ApiKeyRequired:      &m.APIKeyRequired,
		OperationName:       optional(m.OperationName),
		RequestParameters:   m.RequestParameters,
		RequestModels:       m.RequestModels,
		AuthorizationScopes: m.AuthorizationScopes,
	}
	for status, r := range m.Responses {
		if out.MethodResponses == nil {
			out.MethodResponses = map[string]*api.MethodResponse{}
		}
		out.MethodResponses[status] = showMethodResponse(status, r)
	}
	if m.Integration != nil {
		out.MethodIntegration = showIntegration(m.Integration)
	}
	return out
}

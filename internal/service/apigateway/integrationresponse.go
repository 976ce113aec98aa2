package apigateway

import (
	"context"
	"regexp"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

// PutIntegrationResponse says how answers of the backend become an answer of
// the method, in place of what was said for that status code.
func (s *Service) PutIntegrationResponse(ctx context.Context, in *api.PutIntegrationResponseInput) (*api.IntegrationResponse, error) {
	status := wire.Val(in.StatusCode)
	r := &resource.RestIntegrationResponse{
		SelectionPattern:   in.SelectionPattern,
		ResponseParameters: in.ResponseParameters,
		ResponseTemplates:  in.ResponseTemplates,
		ContentHandling:    wire.Val(in.ContentHandling),
	}
	err := s.changeMethod(ctx, in.RestApiId, in.ResourceId, in.HttpMethod, func(m *resource.RestMethod) error {
		if m.Integration == nil {
			return errNoIntegration
		}
		if err := checkIntegrationResponse(m, status, r); err != nil {
			return err
		}
		if m.Integration.Responses == nil {
			m.Integration.Responses = map[string]*resource.RestIntegrationResponse{}
		}
		m.Integration.Responses[status] = r
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showIntegrationResponse(status, r), nil
}

// GetIntegrationResponse shows an integration response.
func (s *Service) GetIntegrationResponse(ctx context.Context, in *api.GetIntegrationResponseInput) (*api.IntegrationResponse, error) {
	m, err := s.viewMethod(ctx, in.RestApiId, in.ResourceId, in.HttpMethod)
	if err != nil {
		return nil, err
	}
	r, err := findIntegrationResponse(m, in.StatusCode)
	if err != nil {
		return nil, err
	}
	return showIntegrationResponse(*in.StatusCode, r), nil
}

// UpdateIntegrationResponse changes an integration response.
func (s *Service) UpdateIntegrationResponse(ctx context.Context, in *api.UpdateIntegrationResponseInput) (out *api.IntegrationResponse, err error) {
	err = s.changeMethod(ctx, in.RestApiId, in.ResourceId, in.HttpMethod, func(m *resource.RestMethod) error {
		r, err := findIntegrationResponse(m, in.StatusCode)
		if err != nil {
			return err
		}
		err = applyPatch(in.PatchOperations, shortStyle,
			setWith("/selectionPattern", func(v string) error { r.SelectionPattern = &v; return nil }),
			setString("/contentHandling", &r.ContentHandling, "remove"),
			setEntry("/responseParameters/*", &r.ResponseParameters, asIs, "Invalid parameter name specified"),
			setEntry("/responseTemplates/*", &r.ResponseTemplates, asIs, "Content-Type specified was not found"),
		)
		if err != nil {
			return err
		}
		out = showIntegrationResponse(*in.StatusCode, r)
		return checkIntegrationResponse(m, *in.StatusCode, r)
	})
	return out, err
}

// DeleteIntegrationResponse removes an integration response.
func (s *Service) DeleteIntegrationResponse(ctx context.Context, in *api.DeleteIntegrationResponseInput) (*api.DeleteIntegrationResponseOutput, error) {
	err := s.changeMethod(ctx, in.RestApiId, in.ResourceId, in.HttpMethod, func(m *resource.RestMethod) error {
		if _, err := findIntegrationResponse(m, in.StatusCode); err != nil {
			return err
		}
		delete(m.Integration.Responses, *in.StatusCode)
		return nil
	})
	return &api.DeleteIntegrationResponseOutput{}, err
}

func findIntegrationResponse(m *resource.RestMethod, status *string) (*resource.RestIntegrationResponse, error) {
	if m.Integration == nil {
		return nil, errNoIntegration
	}
	if r := m.Integration.Responses[wire.Val(status)]; r != nil {
		return r, nil
	}
	return nil, errNoResponse
}

func checkIntegrationResponse(m *resource.RestMethod, status string, r *resource.RestIntegrationResponse) error {
	if _, err := regexp.Compile(wire.Val(r.SelectionPattern)); err != nil {
		return badRequest("Invalid selection pattern specified: %s", *r.SelectionPattern)
	}
	if err := checkResponseMappings(m.Responses[status], r.ResponseParameters); err != nil {
		return err
	}
	return checkContentTypes(r.ResponseTemplates)
}

// showIntegrationResponse is an integration response on the wire.
func showIntegrationResponse(status string, r *resource.RestIntegrationResponse) *api.IntegrationResponse {
	return &api.IntegrationResponse{
		StatusCode:         &status,
		SelectionPattern:   r.SelectionPattern,
		ResponseParameters: r.ResponseParameters,
		ResponseTemplates:  r.ResponseTemplates,
		ContentHandling:    optional(r.ContentHandling),
	}
}

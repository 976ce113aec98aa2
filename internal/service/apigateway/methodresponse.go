package apigateway

import (
	"context"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

var errNoResponse = notFound("Invalid Response status code specified")

// PutMethodResponse adds an answer that a method may give.
func (s *Service) PutMethodResponse(ctx context.Context, in *api.PutMethodResponseInput) (*api.MethodResponse, error) {
	status := wire.Val(in.StatusCode)
	r := &resource.RestMethodResponse{ResponseParameters: in.ResponseParameters, ResponseModels: in.ResponseModels}
	err := s.changeMethod(ctx, in.RestApiId, in.ResourceId, in.HttpMethod, func(m *resource.RestMethod) error {
		if err := checkMethodResponse(r); err != nil {
			return err
		}
		if m.Responses[status] != nil {
			return conflict("Response already exists for this resource")
		}
		if m.Responses == nil {
			m.Responses = map[string]*resource.RestMethodResponse{}
		}
		m.Responses[status] = r
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showMethodResponse(status, r), nil
}

// GetMethodResponse shows one answer of a method.
func (s *Service) GetMethodResponse(ctx context.Context, in *api.GetMethodResponseInput) (*api.MethodResponse, error) {
	m, err := s.viewMethod(ctx, in.RestApiId, in.ResourceId, in.HttpMethod)
	if err != nil {
		return nil, err
	}
	r := m.Responses[wire.Val(in.StatusCode)]
	if r == nil {
		return nil, errNoResponse
	}
	return showMethodResponse(*in.StatusCode, r), nil
}

// UpdateMethodResponse changes one answer of a method.
func (s *Service) UpdateMethodResponse(ctx context.Context, in *api.UpdateMethodResponseInput) (out *api.MethodResponse, err error) {
	err = s.changeMethod(ctx, in.RestApiId, in.ResourceId, in.HttpMethod, func(m *resource.RestMethod) error {
		r := m.Responses[wire.Val(in.StatusCode)]
		if r == nil {
			return errNoResponse
		}
		err := applyPatch(in.PatchOperations, shortStyle,
			setEntry("/responseParameters/*", &r.ResponseParameters, isTrue, "Invalid parameter name specified"),
			setEntry("/responseModels/*", &r.ResponseModels, asIs, "Content-Type specified was not found"),
		)
		if err != nil {
			return err
		}
		out = showMethodResponse(*in.StatusCode, r)
		return checkMethodResponse(r)
	})
	return out, err
}

// DeleteMethodResponse removes one answer of a method.
func (s *Service) DeleteMethodResponse(ctx context.Context, in *api.DeleteMethodResponseInput) (*api.DeleteMethodResponseOutput, error) {
	err := s.changeMethod(ctx, in.RestApiId, in.ResourceId, in.HttpMethod, func(m *resource.RestMethod) error {
		if m.Responses[wire.Val(in.StatusCode)] == nil {
			return errNoResponse
		}
		delete(m.Responses, *in.StatusCode)
		return nil
	})
	return &api.DeleteMethodResponseOutput{}, err
}

const responseHeader = "method.response.header."

func checkMethodResponse(r *resource.RestMethodResponse) error {
	for _, p := range sortedKeys(r.ResponseParameters) {
		if name, ok := strings.CutPrefix(p, responseHeader); !ok || name == "" {
			return mappingError("specified", p)
		}
	}
	return checkModels(r.ResponseModels)
}

// showMethodResponse is an answer of a method on the wire.
func showMethodResponse(status string, r *resource.RestMethodResponse) *api.MethodResponse {
	return &api.MethodResponse{StatusCode: &status, ResponseParameters: r.ResponseParameters, ResponseModels: r.ResponseModels}
}

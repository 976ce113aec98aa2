package apigateway

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

var errNoIntegration = notFound("Invalid Integration identifier specified")

// PutIntegration gives a method its backend, in place of any it has.
func (s *Service) PutIntegration(ctx context.Context, in *api.PutIntegrationInput) (*api.Integration, error) {
	i := &resource.RestIntegration{
		Type:                wire.Val(in.Type),
		Method:              wire.Val(in.IntegrationHttpMethod),
		URI:                 wire.Val(in.Uri),
		ConnectionType:      wire.Val(in.ConnectionType),
		ConnectionID:        wire.Val(in.ConnectionId),
		Target:              wire.Val(in.IntegrationTarget),
		Credentials:         wire.Val(in.Credentials),
		RequestParameters:   in.RequestParameters,
		RequestTemplates:    in.RequestTemplates,
		PassthroughBehavior: wire.Val(in.PassthroughBehavior),
		CacheNamespace:      wire.Val(in.CacheNamespace),
		CacheKeyParameters:  in.CacheKeyParameters,
		ContentHandling:     wire.Val(in.ContentHandling),
		TransferMode:        wire.Val(in.ResponseTransferMode),
		TimeoutMillis:       29000,
	}
	if in.TimeoutInMillis != nil {
		i.TimeoutMillis = *in.TimeoutInMillis
	}
	if in.TlsConfig != nil {
		i.InsecureSkipVerification = wire.Ptr(wire.Val(in.TlsConfig.InsecureSkipVerification))
	}
	if i.ConnectionType == "" && i.Type != "MOCK" {
		i.ConnectionType = "INTERNET"
	}
	if i.PassthroughBehavior == "" {
		i.PassthroughBehavior = "WHEN_NO_MATCH"
	}
	if i.TransferMode == "" {
		i.TransferMode = "BUFFERED"
	}
	if i.CacheNamespace == "" {
		i.CacheNamespace = wire.Val(in.ResourceId)
	}
	if i.CacheKeyParameters == nil {
		i.CacheKeyParameters = []string{}
	}
	err := s.update(ctx, func(tx *store.Tx) error {
		r, m, err := findMethod(ctx, tx, in.RestApiId, in.ResourceId, in.HttpMethod)
		if err != nil {
			return err
		}
		if err := checkIntegration(ctx, tx, m, i); err != nil {
			return err
		}
		m.Integration = i
		store.RestResources.Put(tx, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showIntegration(i), nil
}

// GetIntegration shows a method's backend.
func (s *Service) GetIntegration(ctx context.Context, in *api.GetIntegrationInput) (*api.Integration, error) {
	m, err := s.viewMethod(ctx, in.RestApiId, in.ResourceId, in.HttpMethod)
	if err != nil {
		return nil, err
	}
	if m.Integration == nil {
		return nil, errNoIntegration
	}
	return showIntegration(m.Integration), nil
}

// UpdateIntegration changes a method's backend.
func (s *Service) UpdateIntegration(ctx context.Context, in *api.UpdateIntegrationInput) (*api.Integration, error) {
	var i *resource.RestIntegration
	err := s.update(ctx, func(tx *store.Tx) error {
		r, m, err := findMethod(ctx, tx, in.RestApiId, in.ResourceId, in.HttpMethod)
		if err != nil {
			return err
		}
		if i = m.Integration; i == nil {
			return errNoIntegration
		}
		err = applyPatch(in.PatchOperations, shortStyle,
			setString("/httpMethod", &i.Method),
			setString("/uri", &i.URI),
			setString("/connectionType", &i.ConnectionType),
			setString("/connectionId", &i.ConnectionID),
			setString("/integrationTarget", &i.Target, "remove"),
			setString("/credentials", &i.Credentials, "remove"),
			setString("/passthroughBehavior", &i.PassthroughBehavior),
			setString("/contentHandling", &i.ContentHandling, "remove"),
			setString("/responseTransferMode", &i.TransferMode),
			setString("/cacheNamespace", &i.CacheNamespace),
			setMember("/cacheKeyParameters/*", &i.CacheKeyParameters),
			setEntry("/requestParameters/*", &i.RequestParameters, asIs, "Invalid parameter name specified"),
			setEntry("/requestTemplates/*", &i.RequestTemplates, asIs, "Content-Type specified was not found"),
			setWith("/timeoutInMillis", func(v string) (err error) {
				if i.TimeoutMillis, err = strconv.ParseInt(v, 10, 64); err != nil {
					return errTimeout
				}
				return nil
			}),
			setWith("/tlsConfig/insecureSkipVerification", func(v string) error {
				i.InsecureSkipVerification = wire.Ptr(isTrue(v))
				return nil
			}),
		)
		if err != nil {
			return err
		}
		if err := checkIntegration(ctx, tx, m, i); err != nil {
			return err
		}
		store.RestResources.Put(tx, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showIntegration(i), nil
}

// DeleteIntegration takes a method's backend away.
func (s *Service) DeleteIntegration(ctx context.Context, in *api.DeleteIntegrationInput) (*api.DeleteIntegrationOutput, error) {
	err := s.changeMethod(ctx, in.RestApiId, in.ResourceId, in.HttpMethod, func(m *resource.RestMethod) error {
		if m.Integration == nil {
			return errNoIntegration
		}
		m.Integration = nil
		return nil
	})
	return &api.DeleteIntegrationOutput{}, err
}

// findMethod returns a method to change, with the row that it is part of.
func findMethod(ctx context.Context, r store.Reader, apiID, id, method *string) (*resource.RestResource, *resource.RestMethod, error) {
	row, err := findResource(ctx, r, apiID, id)
	if err != nil {
		return nil, nil, err
	}
	m := row.Methods[wire.Val(method)]
	if m == nil {
		return nil, nil, errNoMethod
	}
	return row, m, nil
}

var errTimeout = badRequest("Timeout should be between 50 ms and 29000 ms")

func checkIntegration(ctx context.Context, r store.Reader, m *resource.RestMethod, i *resource.RestIntegration) error {
	if i.TimeoutMillis < 50 || i.TimeoutMillis > 29000 {
		return errTimeout
	}
	if !slices.Contains([]string{"WHEN_NO_MATCH", "WHEN_NO_TEMPLATES", "NEVER"}, i.PassthroughBehavior) {
		return badRequest("Invalid passthrough behavior specified: %s", i.PassthroughBehavior)
	}
	if i.TransferMode != "BUFFERED" && (i.TransferMode != "STREAM" || i.Type != "HTTP_PROXY") {
		return badRequest("Invalid response transfer mode specified for integration type %s: %s", i.Type, i.TransferMode)
	}
	if err := checkRequestMappings(m, i.RequestParameters); err != nil {
		return err
	}
	if err := checkContentTypes(i.RequestTemplates); err != nil {
		return err
	}
	switch i.Type {
	case "MOCK":
		return nil
	case "HTTP", "HTTP_PROXY":
		return checkBackend(ctx, r, i)
	default:
		return badRequest("Integrations of type '%s' are not supported; use HTTP, HTTP_PROXY or MOCK.", i.Type)
	}
}

// checkBackend checks where an integration leads.
func checkBackend(ctx context.Context, r store.Reader, i *resource.RestIntegration) error {
	if i.Method == "" {
		return badRequest("Enumeration value for HttpMethod must be non-empty")
	}
	if !slices.Contains(httpMethods, i.Method) {
		return badRequest("Invalid HttpMethod specified. Valid options are %s", strings.Join(httpMethods, ","))
	}
	if i.URI == "" {
		return badRequest("Invalid integration URI specified")
	}
	if !config.HasStageVariable(i.URI) {
		u, err := config.ParseURI(i.URI)
		if err != nil || u.Port < 1024 && u.Port != 80 && u.Port != 443 {
			return badRequest("Invalid HTTP endpoint specified for URI")
		}
	}
	if i.ConnectionType != "VPC_LINK" {
		if i.Target != "" {
			return badRequest("IntegrationTarget is only supported for VpcLinkV2")
		}
		return nil
	}
	if i.ConnectionID == "" {
		return badRequest("Connection id is required for connection type VPC_LINK")
	}
	if config.HasStageVariable(i.ConnectionID) {
		return checkTarget(ctx, r, i.Target)
	}
	if l, ok := store.VPCLinksV2.Get(r, i.ConnectionID); ok && owned(ctx, l.Meta) {
		if i.Target == "" {
			return badRequest("IntegrationTarget is required for VpcLinkV2")
		}
		return checkTarget(ctx, r, i.Target)
	}
	if l, ok := store.VPCLinksV1.Get(r, i.ConnectionID); !ok || !owned(ctx, l.Meta) {
		return badRequest("invalid vpclink id %s referenced in integration", i.ConnectionID)
	}
	if i.Target != "" {
		return badRequest("IntegrationTarget is only supported for VpcLinkV2")
	}
	return nil
}

// checkTarget checks the load balancer that a version 2 link shall reach: the
// ARN of a balancer of the caller, or of one of its listeners.
func checkTarget(ctx context.Context, r store.Reader, target string) error {
	if target == "" || config.HasStageVariable(target) {
		return nil
	}
	if l, ok := store.Listeners.Get(r, target); ok && owned(ctx, l.Meta) {
		return nil
	}
	if l, ok := store.LoadBalancers.Get(r, target); ok && owned(ctx, l.Meta) {
		return nil
	}
	return badRequest("Invalid integration target specified: load balancer %s does not exist", target)
}

// showIntegration is an integration on the wire.
func showIntegration(i *resource.RestIntegration) *api.Integration {
	out := &api.Integration{
		Type:                 &i.Type,
		HttpMethod:           optional(i.Method),
		Uri:                  optional(i.URI),
		ConnectionType:       optional(i.ConnectionType),
		ConnectionId:         optional(i.ConnectionID),
		IntegrationTarget:    optional(i.Target),
		Credentials:          optional(i.Credentials),
		RequestParameters:    i.RequestParameters,
		RequestTemplates:     i.RequestTemplates,
		PassthroughBehavior:  &i.PassthroughBehavior,
		ContentHandling:      optional(i.ContentHandling),
		TimeoutInMillis:      &i.TimeoutMillis,
		CacheNamespace:       &i.CacheNamespace,
		ResponseTransferMode: &i.TransferMode,
		CacheKeyParameters:   i.CacheKeyParameters,
	}
	if i.InsecureSkipVerification != nil {
		out.TlsConfig = &api.TlsConfig{InsecureSkipVerification: i.InsecureSkipVerification}
	}
	for status, r := range i.Responses {
		if out.IntegrationResponses == nil {
			out.IntegrationResponses = map[string]*api.IntegrationResponse{}
		}
		out.IntegrationResponses[status] = showIntegrationResponse(status, r)
	}
	return out
}

package apigatewayv2

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigatewayv2"
)

// CreateIntegration adds a backend to an API.
func (s *Service) CreateIntegration(ctx context.Context, in *api.CreateIntegrationInput) (*api.CreateIntegrationOutput, error) {
	var i *resource.HTTPIntegration
	_, err := s.changeAPI(ctx, in.ApiId, func(tx *store.Tx, a *resource.HTTPAPI) error {
		i = newIntegration(tx, a)
		// Both inputs have the same members but for the id.
		return changeIntegration(ctx, tx, i, &api.UpdateIntegrationInput{
			ConnectionId: in.ConnectionId, ConnectionType: in.ConnectionType, ContentHandlingStrategy: in.ContentHandlingStrategy,
			CredentialsArn: in.CredentialsArn, Description: in.Description, IntegrationMethod: in.IntegrationMethod,
			IntegrationSubtype: in.IntegrationSubtype, IntegrationType: in.IntegrationType, IntegrationUri: in.IntegrationUri,
			PassthroughBehavior: in.PassthroughBehavior, PayloadFormatVersion: in.PayloadFormatVersion,
			RequestParameters: in.RequestParameters, ResponseParameters: in.ResponseParameters, RequestTemplates: in.RequestTemplates,
			TemplateSelectionExpression: in.TemplateSelectionExpression, TimeoutInMillis: in.TimeoutInMillis, TlsConfig: in.TlsConfig,
		})
	})
	if err != nil {
		return nil, err
	}
	return (*api.CreateIntegrationOutput)(showIntegration(i)), nil
}

// GetIntegration shows a backend.
func (s *Service) GetIntegration(ctx context.Context, in *api.GetIntegrationInput) (*api.GetIntegrationOutput, error) {
	view := s.db.View()
	if _, err := findAPI(ctx, view, in.ApiId); err != nil {
		return nil, err
	}
	i, err := findIntegration(view, *in.ApiId, in.IntegrationId)
	if err != nil {
		return nil, err
	}
	return (*api.GetIntegrationOutput)(showIntegration(i)), nil
}

// GetIntegrations lists an API's backends.
func (s *Service) GetIntegrations(ctx context.Context, in *api.GetIntegrationsInput) (*api.GetIntegrationsOutput, error) {
	view := s.db.View()
	a, err := findAPI(ctx, view, in.ApiId)
	if err != nil {
		return nil, err
	}
	rows, next, err := page(store.HTTPIntegrations.ListPrefix(view, a.ID+"/"), (*resource.HTTPIntegration).Key, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &api.GetIntegrationsOutput{NextToken: next, Items: []*api.Integration{}}
	for _, i := range rows {
		out.Items = append(out.Items, showIntegration(i))
	}
	return out, nil
}

// UpdateIntegration changes a backend.
func (s *Service) UpdateIntegration(ctx context.Context, in *api.UpdateIntegrationInput) (*api.UpdateIntegrationOutput, error) {
	var i *resource.HTTPIntegration
	_, err := s.changeAPI(ctx, in.ApiId, func(tx *store.Tx, a *resource.HTTPAPI) (err error) {
		if i, err = findIntegration(tx, a.ID, in.IntegrationId); err != nil {
			return err
		}
		return changeIntegration(ctx, tx, i, in)
	})
	if err != nil {
		return nil, err
	}
	return (*api.UpdateIntegrationOutput)(showIntegration(i)), nil
}

// DeleteIntegration removes a backend that no route leads to.
func (s *Service) DeleteIntegration(ctx context.Context, in *api.DeleteIntegrationInput) (*api.DeleteIntegrationOutput, error) {
	_, err := s.changeAPI(ctx, in.ApiId, func(tx *store.Tx, a *resource.HTTPAPI) error {
		i, err := findIntegration(tx, a.ID, in.IntegrationId)
		if err != nil {
			return err
		}
		var routes []string
		for r := range store.HTTPRoutes.ScanPrefix(tx, a.ID+"/") {
			if r.Integration == i.ID {
				routes = append(routes, r.ID)
			}
		}
		if len(routes) > 0 {
			return conflict("Cannot delete Integration because it is referenced by the following Routes with Ids: [%s]", strings.Join(routes, ", "))
		}
		store.HTTPIntegrations.Delete(tx, i.Key())
		return nil
	})
	return &api.DeleteIntegrationOutput{}, err
}

func newIntegration(r store.Reader, a *resource.HTTPAPI) *resource.HTTPIntegration {
	id := newID(7, func(id string) bool { _, taken := store.HTTPIntegrations.Get(r, a.ID+"/"+id); return !taken })
	return &resource.HTTPIntegration{
		API: a.ID, ID: id, ConnectionType: "INTERNET", PayloadFormatVersion: "1.0", TimeoutMillis: 30000,
	}
}

func findIntegration(r store.Reader, apiID string, id *string) (*resource.HTTPIntegration, error) {
	if i, ok := store.HTTPIntegrations.Get(r, apiID+"/"+wire.Val(id)); ok {
		return i, nil
	}
	return nil, notFound("Invalid Integration identifier specified %s", wire.Val(id))
}

// changeIntegration sets what is given, checks the result and writes it.
func changeIntegration(ctx context.Context, tx *store.Tx, i *resource.HTTPIntegration, in *api.UpdateIntegrationInput) error {
	if t := wire.Val(in.IntegrationType); t != "" && t != "HTTP_PROXY" || wire.Val(in.IntegrationSubtype) != "" {
		return badRequest("Integration type %s is not supported for HTTP protocol. Must be one of [HTTP_PROXY]", t)
	}
	if len(in.RequestTemplates) > 0 || wire.Val(in.TemplateSelectionExpression) != "" || wire.Val(in.ContentHandlingStrategy) != "" ||
		wire.Val(in.PassthroughBehavior) != "" || wire.Val(in.CredentialsArn) != "" {
		return badRequest("Templates, content handling, passthrough behavior and credentials are not supported for HTTP_PROXY integrations of HTTP APIs")
	}
	change(&i.Description, in.Description)
	change(&i.Method, in.IntegrationMethod)
	change(&i.ConnectionType, in.ConnectionType)
	change(&i.ConnectionID, in.ConnectionId)
	change(&i.URI, in.IntegrationUri)
	change(&i.PayloadFormatVersion, in.PayloadFormatVersion)
	change(&i.TimeoutMillis, in.TimeoutInMillis)
	if in.TlsConfig != nil {
		i.ServerNameToVerify = wire.Val(in.TlsConfig.ServerNameToVerify)
	}
	merge(&i.RequestParameters, in.RequestParameters)
	for status, mappings := range in.ResponseParameters {
		if i.ResponseParameters == nil {
			i.ResponseParameters = map[string]map[string]string{}
		}
		i.ResponseParameters[status] = mappings
		if len(mappings) == 0 {
			delete(i.ResponseParameters, status)
		}
	}
	if err := checkIntegration(ctx, tx, i); err != nil {
		return err
	}
	store.HTTPIntegrations.Put(tx, i)
	return nil
}

func checkIntegration(ctx context.Context, r store.Reader, i *resource.HTTPIntegration) error {
	if i.Method == "" {
		return badRequest("Enumeration value for HttpMethod must be non-empty")
	}
	if !slices.Contains(routeMethods, i.Method) {
		return badRequest("Invalid HttpMethod specified. Valid options are %s", strings.Join(routeMethods, ","))
	}
	if i.PayloadFormatVersion != "1.0" {
		return badRequest("Invalid PayloadFormatVersion specified for HTTP_PROXY. Supported versions are [1.0]")
	}
	if err := checkMappings(i); err != nil {
		return err
	}
	if i.ConnectionType == "VPC_LINK" {
		return checkPrivate(ctx, r, i)
	}
	if i.ConnectionID != "" {
		return badRequest("Connection id is only supported for connection type VPC_LINK")
	}
	if i.ServerNameToVerify != "" {
		return badRequest("TLS configuration is only supported for connection type VPC_LINK")
	}
	if !config.HasStageVariable(i.URI) {
		if _, err := config.ParseURI(i.URI); err != nil {
			return badRequest("Invalid HTTP endpoint specified for URI")
		}
	}
	return nil
}

var listenerARN = regexp.MustCompile(`^arn:[^:]+:elasticloadbalancing:[^:]+:\d{12}:listener/(app|net)/.+`)

const badTarget = "For VpcLink VPC_LINK, integration uri should be a valid ELB listener ARN or a valid Cloud Map service ARN."

// checkPrivate checks an integration through a VPC link.
func checkPrivate(ctx context.Context, r store.Reader, i *resource.HTTPIntegration) error {
	if i.ConnectionID == "" {
		return badRequest("Connection id is required for connection type VPC_LINK")
	}
	if !config.HasStageVariable(i.ConnectionID) {
		if l, ok := store.VPCLinksV2.Get(r, i.ConnectionID); !ok || !owned(ctx, l.Meta) {
			return badRequest("invalid vpclink id %s referenced in integration", i.ConnectionID)
		}
	}
	if config.HasStageVariable(i.URI) {
		return nil
	}
	if t, ok := resource.ParseCloudMapTarget(i.URI); ok {
		if s, ok := store.CloudMapServices.Get(r, t.Service); !ok || !owned(ctx, s.Meta) || t.Account != s.Account || t.Region != s.Region {
			return badRequest(badTarget)
		}
		return nil
	}
	if !listenerARN.MatchString(i.URI) {
		return badRequest(badTarget)
	}
	if l, ok := store.Listeners.Get(r, i.URI); !ok || !owned(ctx, l.Meta) {
		return badRequest("Unable to retrieve listener port and load balancer DNS name from ELB listener")
	}
	return nil
}

var (
	requestMapping  = regexp.MustCompile(`^((append|overwrite|remove):(header|querystring)\.(.+)|overwrite:path)$`)
	responseMapping = regexp.MustCompile(`^((append|overwrite|remove):header\.(.+)|overwrite:statuscode)$`)
	statusCode      = regexp.MustCompile(`^[2-5]\d\d$`)
	reserved        = regexp.MustCompile(`(?i)^(access-control-.*|apigw-.*|authorization|connection|content-encoding|content-length|content-location|forwarded|keep-alive|origin|proxy-.*|te|trailers|transfer-encoding|upgrade|x-amz-.*|x-amzn-.*|x-forwarded-for|x-forwarded-host|x-forwarded-proto|via)$`)
)

// checkMappings checks the parameter mappings of an integration.
func checkMappings(i *resource.HTTPIntegration) error {
	for _, to := range sortedKeys(i.RequestParameters) {
		p := requestMapping.FindStringSubmatch(to)
		if p == nil {
			return badRequest("Invalid mapping expression specified: %s", to)
		}
		if p[3] == "header" && reserved.MatchString(p[4]) {
			return badRequest("Operations on header %s are restricted", p[4])
		}
	}
	for _, status := range sortedKeys(i.ResponseParameters) {
		if !statusCode.MatchString(status) {
			return badRequest("Invalid status code specified for response parameters: %s", status)
		}
		for _, to := range sortedKeys(i.ResponseParameters[status]) {
			p := responseMapping.FindStringSubmatch(to)
			if p == nil {
				return badRequest("Invalid mapping expression specified: %s", to)
			}
			if p[3] != "" && reserved.MatchString(p[3]) {
				return badRequest("Operations on header %s are restricted", p[3])
			}
		}
	}
	return nil
}

// showIntegration is a backend on the wire.
func showIntegration(i *resource.HTTPIntegration) *api.Integration {
	out := &api.Integration{
		ApiGatewayManaged:    flag(i.Managed),
		ConnectionId:         optional(i.ConnectionID),
		ConnectionType:       &i.ConnectionType,
		Description:          optional(i.Description),
		IntegrationId:        &i.ID,
		IntegrationMethod:    &i.Method,
		IntegrationType:      wire.Ptr("HTTP_PROXY"),
		IntegrationUri:       &i.URI,
		PayloadFormatVersion: &i.PayloadFormatVersion,
		RequestParameters:    i.RequestParameters,
		ResponseParameters:   i.ResponseParameters,
		TimeoutInMillis:      &i.TimeoutMillis,
	}
	if i.ServerNameToVerify != "" {
		out.TlsConfig = &api.TlsConfig{ServerNameToVerify: &i.ServerNameToVerify}
	}
	return out
}

package machine

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	resttypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	httptypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// API is an API that leads through a VPC link.
type API struct {
	ID   string
	Link string
	URL  string // without a slash at the end; every path below it goes to the backend
}

// LinkV1 makes a version 1 VPC link to the site's load balancer; it does not
// wait for it.
func (s *Site) LinkV1(ctx context.Context) (string, error) {
	l, err := s.AWS.REST.CreateVpcLink(ctx, &apigateway.CreateVpcLinkInput{Name: aws.String("v1"), TargetArns: []string{s.LoadBalancer}})
	if err != nil {
		return "", err
	}
	return *l.Id, nil
}

// LinkV2 makes a version 2 VPC link into the site's subnet; it does not wait
// for it. Without groups it has the VPC's default group.
func (s *Site) LinkV2(ctx context.Context, groups ...string) (string, error) {
	l, err := s.AWS.HTTP.CreateVpcLink(ctx, &apigatewayv2.CreateVpcLinkInput{
		Name: aws.String("v2"), SubnetIds: []string{s.Subnet}, SecurityGroupIds: groups,
	})
	if err != nil {
		return "", err
	}
	return *l.VpcLinkId, nil
}

// WaitV1 waits until a version 1 link is AVAILABLE.
func (s *Site) WaitV1(ctx context.Context, link string) error {
	return Until(ctx, 10*time.Second, func() (bool, string, error) {
		l, err := s.AWS.REST.GetVpcLink(ctx, &apigateway.GetVpcLinkInput{VpcLinkId: &link})
		if err != nil {
			return false, "", err
		}
		return l.Status == resttypes.VpcLinkStatusAvailable, fmt.Sprint(l.Status, " ", aws.ToString(l.StatusMessage)), nil
	})
}

// WaitV2 waits until a version 2 link is AVAILABLE.
func (s *Site) WaitV2(ctx context.Context, link string) error {
	return Until(ctx, 10*time.Second, func() (bool, string, error) {
		l, err := s.AWS.HTTP.GetVpcLink(ctx, &apigatewayv2.GetVpcLinkInput{VpcLinkId: &link})
		if err != nil {
			return false, "", err
		}
		return l.VpcLinkStatus == httptypes.VpcLinkStatusAvailable, fmt.Sprint(l.VpcLinkStatus, " ", aws.ToString(l.VpcLinkStatusMessage)), nil
	})
}

// RESTOverV1 makes a REST API, of which every path leads through a new version
// 1 link to the site's backend, in a stage "prod" whose variable "link" names
// the link.
func (s *Site) RESTOverV1(ctx context.Context) (api API, err error) {
	if api.Link, err = s.LinkV1(ctx); err != nil {
		return api, err
	}
	if err := s.WaitV1(ctx, api.Link); err != nil {
		return api, err
	}
	api.ID, err = s.REST(ctx, api.Link)
	api.URL = fmt.Sprintf("http://%s.execute-api.localhost:8080/prod", api.ID)
	return api, err
}

// REST makes a REST API as RESTOverV1 does, over the link that its stage
// variable names.
func (s *Site) REST(ctx context.Context, link string) (string, error) {
	rest := s.AWS.REST
	api, err := rest.CreateRestApi(ctx, &apigateway.CreateRestApiInput{Name: aws.String("rest")})
	if err != nil {
		return "", err
	}
	proxy, err := rest.CreateResource(ctx, &apigateway.CreateResourceInput{
		RestApiId: api.Id, ParentId: api.RootResourceId, PathPart: aws.String("{proxy+}"),
	})
	if err != nil {
		return "", err
	}
	if _, err := rest.PutMethod(ctx, &apigateway.PutMethodInput{
		RestApiId: api.Id, ResourceId: proxy.Id, HttpMethod: aws.String("ANY"), AuthorizationType: aws.String("NONE"),
		RequestParameters: map[string]bool{"method.request.path.proxy": true},
	}); err != nil {
		return "", err
	}
	if _, err := rest.PutIntegration(ctx, &apigateway.PutIntegrationInput{
		RestApiId: api.Id, ResourceId: proxy.Id, HttpMethod: aws.String("ANY"),
		Type: resttypes.IntegrationTypeHttpProxy, IntegrationHttpMethod: aws.String("ANY"),
		ConnectionType: resttypes.ConnectionTypeVpcLink, ConnectionId: aws.String("${stageVariables.link}"),
		Uri:               aws.String("http://backend.internal/{proxy}"),
		RequestParameters: map[string]string{"integration.request.path.proxy": "method.request.path.proxy"},
	}); err != nil {
		return "", err
	}
	_, err = rest.CreateDeployment(ctx, &apigateway.CreateDeploymentInput{
		RestApiId: api.Id, StageName: aws.String("prod"), Variables: map[string]string{"link": link},
	})
	return *api.Id, err
}

// HTTPOverV2 makes an HTTP API, of which every path leads through a new
// version 2 link to the site's listener, in its $default stage.
func (s *Site) HTTPOverV2(ctx context.Context, groups ...string) (api API, err error) {
	if api.Link, err = s.LinkV2(ctx, groups...); err != nil {
		return api, err
	}
	if err := s.WaitV2(ctx, api.Link); err != nil {
		return api, err
	}
	api.ID, _, err = s.HTTP(ctx, api.Link)
	api.URL = fmt.Sprintf("http://%s.execute-api.localhost:8080", api.ID)
	return api, err
}

// HTTP makes an HTTP API as HTTPOverV2 does, over a link that exists.
func (s *Site) HTTP(ctx context.Context, link string) (id, integration string, err error) {
	c := s.AWS.HTTP
	api, err := c.CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: aws.String("http"), ProtocolType: httptypes.ProtocolTypeHttp})
	if err != nil {
		return "", "", err
	}
	integration, err = s.Route(ctx, *api.ApiId, "$default", link, s.Listener)
	if err != nil {
		return "", "", err
	}
	_, err = c.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: api.ApiId, StageName: aws.String("$default"), AutoDeploy: aws.Bool(true)})
	return *api.ApiId, integration, err
}

// Route leads a route of an HTTP API through a link to a listener or a Cloud
// Map service.
func (s *Site) Route(ctx context.Context, api, key, link, target string) (integration string, err error) {
	c := s.AWS.HTTP
	i, err := c.CreateIntegration(ctx, &apigatewayv2.CreateIntegrationInput{
		ApiId: &api, IntegrationType: httptypes.IntegrationTypeHttpProxy, IntegrationMethod: aws.String("ANY"),
		ConnectionType: httptypes.ConnectionTypeVpcLink, ConnectionId: &link, IntegrationUri: &target,
		PayloadFormatVersion: aws.String("1.0"),
	})
	if err != nil {
		return "", err
	}
	_, err = c.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{
		ApiId: &api, RouteKey: &key, Target: aws.String("integrations/" + *i.IntegrationId),
	})
	return *i.IntegrationId, err
}

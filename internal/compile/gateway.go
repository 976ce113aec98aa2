package compile

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/gateway/accesslog"
	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// GatewayInput is the rows from which the gateway's configuration is made.
// Rows of other regions are ignored.
type GatewayInput struct {
	Region            string
	RestAPIs          []*resource.RestAPI
	RestStages        []*resource.RestStage
	RestDeployments   []*resource.RestDeployment
	HTTPAPIs          []*resource.HTTPAPI
	HTTPStages        []*resource.HTTPStage
	HTTPDeployments   []*resource.HTTPDeployment
	LinksV1           []*resource.VPCLinkV1
	LinksV2           []*resource.VPCLinkV2
	Endpoints         []*resource.VPCEndpoint
	Interfaces        []*resource.NetworkInterface
	Subnets           []*resource.Subnet
	LoadBalancers     []*resource.LoadBalancer
	Listeners         []*resource.Listener
	ListenerRules     []*resource.ListenerRule
	TargetGroups      []*resource.TargetGroup
	TargetHealth      []*resource.TargetHealth
	CloudMapServices  []*resource.CloudMapService
	CloudMapInstances []*resource.CloudMapInstance
}

// Gateway compiles what the gateway of one region serves. The result is the
// same for the same rows in whatever order, and shares memory with them.
// Upstream fingerprints are left empty.
func Gateway(in GatewayInput) config.Config {
	u := newUpstreams(in)
	out := config.Config{Region: in.Region}

	restDeployments := index(in.RestDeployments)
	restStages := groupBy(in.RestStages, func(s *resource.RestStage) string { return s.API })
	for _, a := range in.RestAPIs {
		if a.Region != in.Region {
			continue
		}
		api := config.API{
			ID: a.ID, Account: a.Account, Kind: config.REST, Name: a.Name, EndpointType: a.EndpointType,
			VPCEndpoints: a.VPCEndpoints, DisableExecuteAPIEndpoint: a.DisableExecuteAPIEndpoint,
		}
		for _, s := range restStages[a.ID] {
			if d := restDeployments[s.API+"/"+s.Deployment]; d != nil {
				api.Stages = append(api.Stages, restStage(s, d, scope{a.Account, s.Variables, u}))
			}
		}
		out.APIs = append(out.APIs, api)
	}

	httpDeployments := index(in.HTTPDeployments)
	httpStages := groupBy(in.HTTPStages, func(s *resource.HTTPStage) string { return s.API })
	for _, a := range in.HTTPAPIs {
		if a.Region != in.Region {
			continue
		}
		api := config.API{
			ID: a.ID, Account: a.Account, Kind: config.HTTP, Name: a.Name, EndpointType: "REGIONAL",
			DisableExecuteAPIEndpoint: a.DisableExecuteAPIEndpoint,
		}
		for _, s := range httpStages[a.ID] {
			if d := httpDeployments[s.API+"/"+s.Deployment]; d != nil {
				api.Stages = append(api.Stages, httpStage(s, d, scope{a.Account, s.Variables, u}))
			}
		}
		out.APIs = append(out.APIs, api)
	}

	for i := range out.APIs {
		slices.SortFunc(out.APIs[i].Stages, func(a, b config.Stage) int { return cmp.Compare(a.Name, b.Name) })
	}
	slices.SortFunc(out.APIs, func(a, b config.API) int { return cmp.Compare(a.ID, b.ID) })
	out.Upstreams = u.made
	out.Endpoints = privateEndpoints(in)
	return out
}

// scope is what an integration's references are resolved in.
type scope struct {
	account   string
	variables map[string]string
	upstreams *upstreams
}

func restStage(s *resource.RestStage, d *resource.RestDeployment, sc scope) config.Stage {
	out := config.Stage{
		Name: s.Name, Deployment: d.ID, Variables: s.Variables,
		Policy: d.Policy, BinaryMediaTypes: d.BinaryMediaTypes, AccessLog: accessLog(s.AccessLog, s.Meta),
	}
	for _, r := range d.Resources {
		for _, method := range sortedKeys(r.Methods) {
			m := r.Methods[method]
			route := config.Route{
				ID: r.ID, Key: method + " " + r.Path, Method: method, Path: r.Path,
				AuthorizationType: m.AuthorizationType, APIKeyRequired: m.APIKeyRequired,
				RequestParameters: m.RequestParameters,
			}
			for _, status := range sortedKeys(m.Responses) {
				route.MethodResponses = append(route.MethodResponses, config.MethodResponse{
					StatusCode: statusCode(status), ResponseParameters: m.Responses[status].ResponseParameters,
				})
			}
			if m.Integration != nil {
				route.Integration = restIntegration(m.Integration, sc)
			}
			out.Routes = append(out.Routes, route)
		}
	}
	slices.SortFunc(out.Routes, compareRoutes)
	return out
}

func restIntegration(i *resource.RestIntegration, sc scope) *config.Integration {
	out := &config.Integration{
		Type: config.IntegrationType(i.Type), Method: i.Method, TimeoutMillis: int(i.TimeoutMillis),
		RequestParameters: i.RequestParameters, RequestTemplates: i.RequestTemplates,
		PassthroughBehavior: i.PassthroughBehavior, ContentHandling: i.ContentHandling,
	}
	for _, status := range sortedKeys(i.Responses) {
		r := i.Responses[status]
		out.Responses = append(out.Responses, config.IntegrationResponse{
			StatusCode: statusCode(status), SelectionPattern: deref(r.SelectionPattern),
			ResponseParameters: r.ResponseParameters, ResponseTemplates: r.ResponseTemplates,
			ContentHandling: r.ContentHandling,
		})
	}
	if out.Type == config.Mock {
		return out
	}
	if err := resolveREST(out, i, sc); err != nil {
		out.Error, out.URI, out.Upstream, out.TLS = err.Error(), nil, "", nil
	}
	return out
}

// resolveREST fills in where the request goes.
func resolveREST(out *config.Integration, i *resource.RestIntegration, sc scope) error {
	text, err := config.Substitute(i.URI, sc.variables)
	if err != nil {
		return err
	}
	if out.URI, err = config.ParseURI(text); err != nil {
		return err
	}
	if out.URI.Scheme == "https" {
		out.TLS = &config.TLS{InsecureSkipVerification: deref(i.InsecureSkipVerification)}
	}
	if i.ConnectionType != "VPC_LINK" {
		return nil
	}
	link, err := config.Substitute(i.ConnectionID, sc.variables)
	if err != nil {
		return err
	}
	target, err := config.Substitute(i.Target, sc.variables)
	if err != nil {
		return err
	}
	out.Upstream = sc.upstreams.rest(sc.account, link, target, out.URI.Port)
	return nil
}

func httpStage(s *resource.HTTPStage, d *resource.HTTPDeployment, sc scope) config.Stage {
	out := config.Stage{Name: s.Name, Deployment: d.ID, Variables: s.Variables, CORS: cors(d.CORS), AccessLog: accessLog(s.AccessLog, s.Meta)}
	integrations := make(map[string]*config.Integration, len(d.Integrations))
	for _, i := range d.Integrations {
		integrations[i.ID] = httpIntegration(i, sc)
	}
	for _, r := range d.Routes {
		method, path, ok := strings.Cut(r.RouteKey, " ")
		if !ok { // "$default"
			method, path = config.AnyMethod, r.RouteKey
		}
		out.Routes = append(out.Routes, config.Route{
			ID: r.ID, Key: r.RouteKey, Method: method, Path: path,
			AuthorizationType: r.AuthorizationType, Integration: integrations[r.Integration],
		})
	}
	slices.SortFunc(out.Routes, compareRoutes)
	return out
}

func httpIntegration(i *resource.HTTPIntegration, sc scope) *config.Integration {
	out := &config.Integration{
		ID: i.ID, Type: config.HTTPProxy, Method: i.Method, TimeoutMillis: int(i.TimeoutMillis),
		RequestParameters: i.RequestParameters, ResponseParameters: i.ResponseParameters,
	}
	if err := resolveHTTP(out, i, sc); err != nil {
		out.Error, out.URI, out.Upstream, out.TLS = err.Error(), nil, "", nil
	}
	return out
}

// resolveHTTP fills in where the request goes.
func resolveHTTP(out *config.Integration, i *resource.HTTPIntegration, sc scope) error {
	text, err := config.Substitute(i.URI, sc.variables)
	if err != nil {
		return err
	}
	if i.ConnectionType != "VPC_LINK" {
		if out.URI, err = config.ParseURI(text); err != nil {
			return err
		}
		if out.URI.Scheme == "https" {
			out.TLS = &config.TLS{}
		}
		return nil
	}
	if i.ServerNameToVerify != "" {
		out.TLS = &config.TLS{ServerName: i.ServerNameToVerify}
	}
	link, err := config.Substitute(i.ConnectionID, sc.variables)
	if err != nil {
		return err
	}
	out.Upstream = sc.upstreams.http(sc.account, link, text)
	return nil
}

func cors(c *resource.CORS) *config.CORS {
	if c == nil {
		return nil
	}
	out := &config.CORS{
		AllowCredentials: deref(c.AllowCredentials), AllowHeaders: c.AllowHeaders, AllowMethods: c.AllowMethods,
		AllowOrigins: c.AllowOrigins, ExposeHeaders: c.ExposeHeaders,
	}
	if c.MaxAgeSeconds != nil {
		age := int(*c.MaxAgeSeconds)
		out.MaxAgeSeconds = &age
	}
	return out
}

// accessLog is nil unless there are both a destination and a format.
func accessLog(l *resource.AccessLog, of resource.Meta) *config.AccessLog {
	if l == nil || l.Format == "" {
		return nil
	}
	group, err := accesslog.Group(l.Destination, of.Region, of.Account)
	if err != nil { // the services let no other in, but older ones did
		return nil
	}
	return &config.AccessLog{Format: l.Format, Path: accesslog.Path(of.Account, group)}
}

func compareRoutes(a, b config.Route) int {
	return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
}

// statusCode is a status code as a number; the services let only numbers in.
func statusCode(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// PreviewParams name a request of which is asked what would become of it.
type PreviewParams struct {
	Method string `json:"method"`
	Host   string `json:"host,omitempty"`
	Path   string `json:"path"` // escaped, beginning with "/"; with the stage
	Query  string `json:"query,omitempty"`
	Secure bool   `json:"secure,omitempty"`
	// Header holds all fields but Host.
	Header message.Header `json:"header,omitempty"`
	// API and Stage, if set, are where the request has arrived already: the
	// path is below the stage, and nobody is known who sent it, so that no
	// policy is asked.
	API   string `json:"api,omitempty"`
	Stage string `json:"stage,omitempty"`
	// Endpoint (vpce-…) is the interface endpoint that the request comes
	// through, from Client; empty for the public side.
	Endpoint string         `json:"endpoint,omitempty"`
	Client   netip.AddrPort `json:"client,omitzero"`
}

// Preview is what would become of a request, as far as it was come to.
type Preview struct {
	Account string `json:"account,omitempty"`
	API     string `json:"api,omitempty"`
	APIName string `json:"apiName,omitempty"`
	Kind    string `json:"kind,omitempty"` // "REST" or "HTTP"
	Stage   string `json:"stage,omitempty"`
	Route   string `json:"route,omitempty"` // the route's key, or method and path
	// Parameters are those of the path, by name.
	Parameters map[string]string `json:"parameters,omitempty"`
	// Integration is the type: "HTTP_PROXY", "HTTP" or "MOCK".
	Integration  string `json:"integration,omitempty"`
	Link         string `json:"link,omitempty"` // the VPC link's id
	Version      int    `json:"version,omitempty"`
	LoadBalancer string `json:"loadBalancer,omitempty"` // ARN
	// Backend is the request that the backend would get; nil if none would.
	Backend *PreviewBackend `json:"backend,omitempty"`
	// Ways are those to the backend, in the order in which they are tried.
	Ways []upstream.Way `json:"ways,omitempty"`
	// Status is that of an answer that the gateway gives by itself, and Cause
	// what its log says of it.
	Status int    `json:"status,omitempty"`
	Cause  string `json:"cause,omitempty"`
}

// PreviewBackend is a request to a backend.
type PreviewBackend struct {
	Method string `json:"method"`
	Scheme string `json:"scheme"`
	Host   string `json:"host"` // the Host header
	Path   string `json:"path"` // with the query
	// Header holds all fields but Host.
	Header message.Header `json:"header,omitempty"`
	// Address is where a backend on the internet is.
	Address string `json:"address,omitempty"`
	// ServerName is the name that its certificate must have.
	ServerName string `json:"serverName,omitempty"`
}

// onPreview answers the control process.
func (g *Gateway) onPreview(ctx context.Context, raw json.RawMessage) (any, error) {
	var p PreviewParams
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("read parameters: %w", err)
	}
	return g.Preview(ctx, p)
}

// Preview carries a request through the chain up to the backend, which is not
// called. An error means that the question makes no sense.
func (g *Gateway) Preview(ctx context.Context, p PreviewParams) (Preview, error) {
	r := &message.Request{
		Method: p.Method, Host: p.Host, Path: p.Path, Query: p.Query, Secure: p.Secure, Proto: "HTTP/1.1",
		Header: p.Header,
		Client: p.Client, Server: netip.AddrPortFrom(netip.Addr{}, endpointPort(p.Secure)),
	}
	x := g.begin(r)
	x.traceID = x.trace("")
	stage, refused, err := x.arrive(ctx, p)
	if err != nil {
		return Preview{}, err
	}
	var in *integration
	if refused == nil {
		in, refused = x.choose(stage)
	}
	var out *upstream.Request
	if refused == nil && in.pool != nil {
		out, refused = x.outgoing(in)
	}
	if refused == nil && in.Type == config.Mock {
		refused = x.mock(in)
	}
	v := x.preview(in, out)
	if refused != nil {
		v.Status, v.Cause = refused.Status, x.cause
	}
	return v, nil
}

// arrive brings a request of a preview to its API.
func (x *exchange) arrive(ctx context.Context, p PreviewParams) (stage string, refused *message.Response, err error) {
	switch {
	case p.API != "":
		x.path, x.assumed = x.request.Path, true
		if x.api = x.snapshot.apis[p.API]; x.api == nil {
			return "", nil, fmt.Errorf("there is no API %s", p.API)
		}
		if x.api.stages[p.Stage] == nil {
			return "", nil, fmt.Errorf("API %s has no deployed stage %q", p.API, p.Stage)
		}
		if x.request.Host == "" {
			x.request.Host = p.API + ".execute-api." + x.snapshot.region + ".amazonaws.com"
		}
		return p.Stage, nil, nil
	case p.Endpoint != "":
		for at, e := range x.snapshot.endpoints {
			if e.ID == p.Endpoint {
				ask := func(context.Context, netip.AddrPort, netip.AddrPort) (Caller, error) {
					return Caller{Client: p.Client, Server: x.request.Server, Endpoint: e.ID, VPC: e.VPC}, nil
				}
				return "", x.locatePrivate(ctx, &arrival{other: netip.AddrPortFrom(at, 0), ask: ask}), nil
			}
		}
		return "", nil, fmt.Errorf("%s is no endpoint to execute-api", p.Endpoint)
	}
	stage, refused = x.locate()
	return stage, refused, nil
}

// preview tells what is known of the exchange.
func (x *exchange) preview(in *integration, out *upstream.Request) Preview {
	var v Preview
	if x.api != nil {
		v.Account, v.API, v.APIName, v.Kind = x.api.Account, x.api.ID, x.api.Name, string(x.api.Kind)
	}
	if x.stage != nil {
		v.Stage = x.stage.Name
	}
	if x.route != nil {
		v.Route, v.Parameters = x.route.Key, map[string]string{}
		for i, name := range x.match.Names {
			v.Parameters[name] = x.match.Values[i]
		}
	}
	if in == nil {
		return v
	}
	if v.Integration = string(in.Type); in.pool == nil {
		return v
	}
	u := in.pool.Upstream()
	v.Link, v.Version, v.LoadBalancer = u.Link, u.Version, u.LoadBalancer
	if out == nil {
		return v
	}
	v.Backend = &PreviewBackend{Method: out.Method, Scheme: "http", Host: out.Host, Path: out.Path, Header: out.Header, Address: out.Address}
	if out.Query != "" {
		v.Backend.Path += "?" + out.Query
	}
	if out.Secure {
		v.Backend.Scheme, v.Backend.ServerName = "https", out.ServerName
	}
	ways, failed := in.pool.Ways()
	if v.Ways = ways; failed != nil {
		v.Cause, v.Status = failed.Error(), x.failUpstream(failed).Status
	}
	return v
}

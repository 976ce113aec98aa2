package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// Caller is who opened a connection through an interface endpoint.
type Caller struct {
	Client   netip.AddrPort `json:"client"`   // in its own VPC
	Server   netip.AddrPort `json:"server"`   // of the endpoint, as it was dialled
	Endpoint string         `json:"endpoint"` // vpce-…
	VPC      string         `json:"vpc"`
}

// arrival is a connection that came through an interface endpoint. All that is
// seen of its origin is the address that stands for the endpoint; who opened it
// is asked once.
type arrival struct {
	own, other netip.AddrPort
	ask        func(ctx context.Context, own, other netip.AddrPort) (Caller, error)

	mu     sync.Mutex
	caller *Caller
}

// Arrive makes what the requests of a connection inside API Gateway's VPC find
// as their Connection. It is for server.Options.Connect.
func (g *Gateway) Arrive(client, own netip.AddrPort) any {
	return &arrival{own: own, other: client, ask: g.options.Caller}
}

func (a *arrival) origin(ctx context.Context) (Caller, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.caller == nil {
		if a.ask == nil {
			return Caller{}, errors.New("there is nobody to ask")
		}
		c, err := a.ask(ctx, a.own, a.other)
		if err != nil {
			return Caller{}, err
		}
		a.caller = &c
	}
	return *a.caller, nil
}

// endpoint is an interface endpoint with its policy.
type endpoint struct {
	config.Endpoint
	policy *compiledPolicy // nil if there is none: everything is allowed
}

// compilePrivate takes over what private APIs need.
func (s *snapshot) compilePrivate(c *config.Config) {
	s.endpoints = make(map[netip.Addr]*endpoint, len(c.Endpoints))
	for at, e := range c.Endpoints {
		compiled := &endpoint{Endpoint: e}
		if e.Policy != "" {
			compiled.policy = compilePolicy("the policy of endpoint "+e.ID, e.Policy)
		}
		s.endpoints[at] = compiled
	}
}

// isEndpointHeader tells the headers by which API Gateway says through which
// endpoint a request came. What a client writes there is dropped.
func isEndpointHeader(name string) bool {
	const prefix = "x-amzn-vpc"
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// locatePrivate finds the API of a request that came through an interface
// endpoint.
func (x *exchange) locatePrivate(ctx context.Context, a *arrival) *message.Response {
	x.path = x.request.Path
	if refused := x.identify(ctx, a); refused != nil {
		return refused
	}
	id, through, ok := apiOfPrivateHost(x.request.Host, x.snapshot.region)
	if !ok {
		if id = x.request.Header.Get("x-apigw-api-id"); id == "" {
			return x.fail(forbidden, "request: neither host nor x-apigw-api-id name an API")
		}
	}
	x.api = x.snapshot.apis[id]
	switch {
	case x.api == nil:
		return x.fail(forbidden, "request: no API "+id)
	case x.api.EndpointType != "PRIVATE" && !x.gateway.options.PublicThroughEndpoints:
		return x.fail(forbidden, fmt.Sprintf("request: API %s is public, and %s leads to private APIs only; "+
			"call it by another name than its default one, or turn the endpoint's private DNS off", id, x.endpoint.ID))
	case through != "" && (through != x.endpoint.ID || !slices.Contains(x.api.VPCEndpoints, through)):
		return x.fail(forbidden, fmt.Sprintf("request: the host names endpoint %s, which is not one of API %s that the request came through", through, id))
	case x.api.DisableExecuteAPIEndpoint:
		return x.fail(endpointDisabled, "request: the API's default endpoint is disabled")
	}
	return nil
}

// identify finds out through which endpoint the request came, and who sent it.
// It believes the data plane only. The request is then as if the caller had
// connected to the gateway directly.
func (x *exchange) identify(ctx context.Context, a *arrival) *message.Response {
	r := x.request
	e := x.snapshot.endpoints[a.other.Addr()]
	if e == nil {
		return x.fail(forbidden, fmt.Sprintf("endpoint: %s stands for no endpoint", a.other.Addr()))
	}
	caller, err := a.origin(ctx)
	r.Header.Del("X-Forwarded-For")
	if err != nil {
		x.stranger = err
		r.SetClient(netip.AddrPort{})
		r.Server = netip.AddrPortFrom(netip.Addr{}, endpointPort(r.Secure))
	} else {
		if caller.Endpoint != e.ID || caller.VPC != e.VPC {
			// The address was given to another endpoint, and one of the two
			// who speak of it has not heard yet.
			return x.fail(forbidden, fmt.Sprintf("endpoint: the connection came through %s, not %s", caller.Endpoint, e.ID))
		}
		r.SetClient(caller.Client)
		r.Server = caller.Server
	}
	x.endpoint = e
	r.Header.Add("x-amzn-vpc-id", e.VPC)
	r.Header.Add("x-amzn-vpce-id", e.ID)
	r.Header.Add("x-amzn-vpce-config", "1")
	return nil
}

func endpointPort(secure bool) uint16 {
	if secure {
		return 443
	}
	return 80
}

// client is the caller's address as text.
func (x *exchange) client() string {
	if x.clientAddress == "" {
		x.clientAddress = "unknown"
		if x.request.Client.IsValid() {
			x.clientAddress = x.request.ClientAddress()
		}
	}
	return x.clientAddress
}

// apiOfPrivateHost reads "{api}.execute-api.{region}.amazonaws.com" and
// "{api}-{vpce}.execute-api.{region}.amazonaws.com".
func apiOfPrivateHost(host, region string) (api, vpce string, ok bool) {
	label, ok := strings.CutSuffix(hostname(host), ".execute-api."+region+".amazonaws.com")
	if !ok || label == "" || strings.Contains(label, ".") {
		return "", "", false
	}
	if i := strings.Index(label, "-vpce-"); i >= 0 {
		return label[:i], label[i+1:], true
	}
	return label, "", true
}

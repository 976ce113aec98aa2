package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	gw "github.com/isthmus-net/isthmus/internal/gateway"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/tables"
	"github.com/isthmus-net/isthmus/internal/trace"
)

// route traces what a route of an API leads to. place is ID/STAGE.
func (t *tracing) route(ctx context.Context, place string, p TraceParams) error {
	api, stage, _ := strings.Cut(place, "/")
	method, path, query, err := parseRequest(p.Request)
	if err != nil {
		return err
	}
	return t.request(ctx, p.From, gw.PreviewParams{Method: method, Path: path, Query: query, API: api, Stage: cmp.Or(stage, "$default")})
}

// public traces a request to the public side of the gateway.
func (t *tracing) public(ctx context.Context, to *url.URL, p TraceParams) error {
	q := previewURL(to, p)
	q.Client = netip.AddrPortFrom(p.Source, anyPort)
	return t.request(ctx, "a public client", q)
}

func previewURL(to *url.URL, p TraceParams) gw.PreviewParams {
	return gw.PreviewParams{
		Method: cmp.Or(p.Request, "GET"), Host: to.Host, Path: cmp.Or(to.EscapedPath(), "/"), Query: to.RawQuery, Secure: to.Scheme == "https",
	}
}

// throughEndpoint traces a request from inside a VPC: by the endpoint that its
// names lead to, and on from the gateway.
func (t *tracing) throughEndpoint(ctx context.Context, sender *tables.ENI, from probe, to *url.URL, p TraceParams) error {
	end, err := t.endpointOfHost(t.vpc(sender), to.Hostname())
	if err != nil {
		t.result.Legs = append(t.result.Legs, Leg{From: t.name(sender), To: to.String()})
		t.stop(err.Error())
		return nil
	}
	port := uint16(80)
	if to.Scheme == "https" {
		port = 443
	}
	leg := Leg{From: t.name(sender), To: end.ID + " (" + to.Hostname() + ")"}
	for _, d := range t.interfaces(end.Interfaces, port) {
		q := from
		q.to = d.address
		leg.Ways = append(leg.Ways, t.way(d, t.packet(sender, q)))
	}
	if _, ok := t.add(leg); !ok {
		return nil
	}
	q := previewURL(to, p)
	q.Endpoint, q.Client = end.ID, netip.AddrPortFrom(cmp.Or(from.source, sender.Addresses[0]), anyPort)
	return t.request(ctx, end.ID, q)
}

// endpointOfHost finds the endpoint that a name of an API leads to in a VPC.
func (t *tracing) endpointOfHost(vpcID, host string) (*resource.VPCEndpoint, error) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	base := ".execute-api." + t.region + ".amazonaws.com"
	label, isDefault := strings.CutSuffix(host, base)
	_, named, _ := strings.Cut(label, "-vpce-")
	for e := range store.VPCEndpoints.Scan(t.rows) {
		if e.AWS != "execute-api" || e.VPC != vpcID {
			continue
		}
		switch {
		case isDefault && named == "" && e.PrivateDNS, isDefault && named != "" && e.ID == "vpce-"+named, slices.Contains(t.endpointNames(e), host):
			return e, nil
		}
	}
	if isDefault && named == "" {
		return nil, fmt.Errorf("%s: %s has no endpoint to execute-api with private DNS, so that %s is a public name", dropNoAddress, vpcID, host)
	}
	return nil, fmt.Errorf("%s: %s is no name of an endpoint to execute-api in %s", dropNoAddress, host, vpcID)
}

// request adds what the gateway does with a request, and the way to the
// backend.
func (t *tracing) request(ctx context.Context, from string, q gw.PreviewParams) error {
	q.Header = t.header
	v, err := t.preview(ctx, q)
	if err != nil {
		return err
	}
	leg := Leg{From: from, To: "gateway", Request: &v, Steps: requestSteps(q, v, t.rows)}
	if v.Link != "" {
		leg.To = t.linkText(v)
	}
	t.result.Legs = append(t.result.Legs, leg)
	switch {
	case v.Cause != "":
		t.stop(v.Cause)
		return nil
	case len(v.Ways) == 0:
		t.result.Verdict = forwarded
		return nil
	}
	out := Leg{From: "gateway", To: v.Link}
	for _, w := range v.Ways {
		p, err := t.fromGateway(w.Source, w.Destination)
		if err != nil {
			return err
		}
		out.Ways = append(out.Ways, t.way(destination{name: w.Destination.String(), zone: w.Zone}, p))
	}
	if way, ok := t.add(out); ok {
		return t.atBalancer(ctx, way, v.Backend.Method+" "+v.Backend.Path, v.Backend.Host, v.Backend.Header, false)
	}
	return nil
}

// requestSteps tell what a gateway does with a request, as far as it comes.
func requestSteps(q gw.PreviewParams, v gw.Preview, r store.Reader) (steps []trace.Step) {
	say := func(at, format string, args ...any) {
		steps = append(steps, trace.Step{At: at, Text: fmt.Sprintf(format, args...)})
	}
	if v.API != "" {
		say(v.API, "%s API %q of account %s", v.Kind, v.APIName, v.Account)
	}
	if q.API != "" && v.API != "" {
		say(v.API, "policies are not asked: nobody is known who sends the request")
	}
	if v.Stage != "" {
		say(v.API, "stage %s", v.Stage)
	}
	if v.Route != "" {
		text := "route " + v.Route
		for _, name := range slices.Sorted(maps.Keys(v.Parameters)) {
			text += fmt.Sprintf(", %s = %q", name, v.Parameters[name])
		}
		say(v.API, "%s", text)
	}
	if v.Integration != "" {
		text := "integration " + v.Integration
		if v.Link != "" && v.Version != 0 {
			text += fmt.Sprintf(" through version %d VPC link %s", v.Version, v.Link)
		}
		say(v.API, "%s", text)
	}
	if status := linkStatus(r, v); status != "" {
		say(v.Link, "VPC link %s is %s", v.Link, status)
	}
	if b := v.Backend; b != nil {
		text := fmt.Sprintf("sends %s %s, Host: %s", b.Method, b.Path, b.Host)
		if b.ServerName != "" {
			text += ", over TLS to " + b.ServerName
		}
		if b.Address != "" {
			text += ", on the internet at " + b.Address
		}
		say("gateway", "%s", text)
	}
	if v.Status != 0 {
		say("gateway", "answers %d by itself", v.Status)
	}
	if v.Cause != "" {
		say("gateway", "%s", v.Cause)
	}
	return steps
}

// linkStatus is the state of the VPC link that a request takes.
func linkStatus(r store.Reader, v gw.Preview) resource.VPCLinkStatus {
	switch v.Version {
	case 1:
		if l, ok := store.VPCLinksV1.Get(r, v.Link); ok {
			return l.Status
		}
	case 2:
		if l, ok := store.VPCLinksV2.Get(r, v.Link); ok {
			return l.Status
		}
	}
	return ""
}

func (t *tracing) linkText(v gw.Preview) string {
	if v.LoadBalancer == "" {
		return v.Link
	}
	return v.Link + " to " + balancerName(v.LoadBalancer)
}

// errNoPort asks for a port.
var errNoPort = errors.New("a port is needed: NAME:PORT")

package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
)

// allowing is a policy that lets everybody in but whom the condition matches.
func allowing(condition string) string {
	p := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"*"}`
	if condition != "" {
		p += `,{"Sid":"No","Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"*","Condition":` + condition + `}`
	}
	return p + "]}"
}

// startInside is a gateway whose clients on loopback came through endpoint
// vpce-1 as far as the configuration says; whoever is asked says what ask says.
func startInside(t *testing.T, o Options, ask func() (Caller, error), apis ...config.API) *gatewayUnderTest {
	t.Helper()
	at := newBackend(t, func(r *http.Request, _ []byte) string { return plainOK })
	c := configured(upstreamTo(1, at.at), apis...)
	c.Endpoints = map[netip.Addr]config.Endpoint{netip.MustParseAddr("127.0.0.1"): {ID: "vpce-1", VPC: "vpc-1", Account: "111111111111"}}
	o.ExposeCause = true
	o.Caller = func(context.Context, netip.AddrPort, netip.AddrPort) (Caller, error) { return ask() }
	g := start(t, o, server.Options{}, c)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.at = l.Addr().String()
	s := server.New(g.Handle, server.Options{Connect: g.Arrive})
	go s.Serve(l)
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	return g
}

func privateAPI(id, policy string, endpoints ...string) config.API {
	a := restAPI(config.Route{Method: "GET", Path: "/{proxy+}", Integration: proxyTo("http://b/")})
	a.ID, a.EndpointType, a.VPCEndpoints, a.Stages[0].Policy = id, "PRIVATE", endpoints, policy
	return a
}

const awsHost = ".execute-api.us-east-1.amazonaws.com"

func (g *gatewayUnderTest) at80(t *testing.T, host, path string, header ...string) answered {
	t.Helper()
	return g.send(t, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\n"+strings.Join(append(header, ""), "\r\n")+"\r\n")
}

func TestPrivateHosts(t *testing.T) {
	public := restAPI(config.Route{Method: "GET", Path: "/x", Integration: proxyTo("http://b/")})
	known := func() (Caller, error) {
		return Caller{netip.MustParseAddrPort("10.0.1.5:7"), netip.MustParseAddrPort("10.0.1.9:80"), "vpce-1", "vpc-1"}, nil
	}
	apis := []config.API{public, privateAPI("priv000001", allowing(""), "vpce-1", "vpce-2"), privateAPI("priv000002", allowing("")), privateAPI("priv000003", "")}
	g := startInside(t, Options{}, known, apis...)
	for _, tt := range []struct {
		host, header string
		status       int
		cause        string
	}{
		{"priv000001" + awsHost, "", 200, ""},
		{"PRIV000001" + strings.ToUpper(awsHost) + ":443", "", 200, ""},
		{"priv000001-vpce-1" + awsHost, "", 200, ""},
		{"priv000001-vpce-2" + awsHost, "", 403, "the host names endpoint vpce-2"},
		{"priv000002-vpce-1" + awsHost, "", 403, "the host names endpoint vpce-1"},
		{"priv000001-vpce-" + awsHost, "", 403, "the host names endpoint vpce-,"},
		{"vpce-1-abcd.execute-api.us-east-1.vpce.amazonaws.com", "x-apigw-api-id: priv000001", 200, ""},
		{"priv000009" + awsHost, "x-apigw-api-id: priv000001", 403, "no API priv000009"},
		{"priv000001.execute-api.eu-west-1.amazonaws.com", "", 403, "neither host nor"},
		{"a.priv000001" + awsHost, "", 403, "neither host nor"},
		{"localhost", "", 403, "neither host nor"},
		{public.ID + awsHost, "", 403, "is public, and vpce-1 leads to private APIs only"},
		{"priv000003" + awsHost, "", 403, "without a resource policy"},
	} {
		a := g.at80(t, tt.host, "/prod/x", tt.header+"\r\nA: b")
		if a.status != tt.status || !strings.Contains(a.header.Get("x-isthmus-cause"), tt.cause) {
			t.Errorf("%s %s: %d %s: %s", tt.host, tt.header, a.status, a.body, a.header.Get("x-isthmus-cause"))
		}
	}
	if a := startInside(t, Options{PublicThroughEndpoints: true}, known, public).at80(t, public.ID+awsHost, "/prod/x"); a.status != 200 {
		t.Errorf("a public API where that is configured: %d %s", a.status, a.body)
	}
}

// TestPrivatePolicies: what is denied to whom, by what the data plane says.
func TestPrivatePolicies(t *testing.T) {
	for _, tt := range []struct {
		name, policy, path string
		ask                func() (Caller, error)
		status             int
		cause              string
	}{
		{"the endpoint", allowing(`{"StringNotEquals":{"aws:SourceVpce":"vpce-1"}}`), "/prod/x", nil, 200, ""},
		{"another endpoint", allowing(`{"StringNotEquals":{"aws:SourceVpce":"vpce-2"}}`), "/prod/x", nil, 403, `explicit deny by statement 2 "No"`},
		{"the VPC", allowing(`{"StringEquals":{"aws:SourceVpc":"vpc-1"}}`), "/prod/x", nil, 403, "explicit deny"},
		{"the address", allowing(`{"IpAddress":{"aws:VpcSourceIp":"10.0.1.0/24"}}`), "/prod/x", nil, 403, "explicit deny"},
		{"another address", allowing(`{"IpAddress":{"aws:VpcSourceIp":"10.0.2.0/24"}}`), "/prod/x", nil, 200, ""},
		{"no public address", allowing(`{"Null":{"aws:SourceIp":"false"}}`), "/prod/x", nil, 200, ""},
		{"no TLS", allowing(`{"Bool":{"aws:SecureTransport":"false"}}`), "/prod/x", nil, 403, "explicit deny"},
		{"a path", strings.Replace(allowing(`{}`), `"Resource":"*","Condition"`, `"Resource":"arn:aws:execute-api:*:*:*/prod/GET/admin/*","Condition"`, 1), "/prod/admin/x", nil, 403, "explicit deny"},
		{"a path in disguise", strings.Replace(allowing(`{}`), `"Resource":"*","Condition"`, `"Resource":"arn:aws:execute-api:*:*:*/prod/GET/admin/*","Condition"`, 1), "/prod/%61dmin/x", nil, 403, "explicit deny"},
		{"an unknown caller", allowing(""), "/prod/x", failing, 200, ""},
		{"an unknown caller, who may be denied", allowing(`{"IpAddress":{"aws:VpcSourceIp":"10.0.1.0/24"}}`), "/prod/x", failing, 403, "depends on aws:VpcSourceIp, which is not known: the node is away"},
		{"the same, written otherwise", allowing(`{"IpAddress":{"\u0061ws:vpcsourceip":"10.0.1.0/24"}}`), "/prod/x", failing, 403, "depends on aws:VpcSourceIp"},
		{"an address that was given to another endpoint", allowing(""), "/prod/x", other, 403, "came through vpce-2, not vpce-1"},
	} {
		ask := tt.ask
		if ask == nil {
			ask = func() (Caller, error) {
				return Caller{netip.MustParseAddrPort("10.0.1.5:7"), netip.MustParseAddrPort("10.0.1.9:80"), "vpce-1", "vpc-1"}, nil
			}
		}
		g := startInside(t, Options{}, ask, privateAPI("priv000001", tt.policy))
		a := g.at80(t, "priv000001"+awsHost, tt.path)
		if a.status != tt.status || !strings.Contains(a.header.Get("x-isthmus-cause"), tt.cause) {
			t.Errorf("%s: %d %s: %s", tt.name, a.status, a.body, a.header.Get("x-isthmus-cause"))
		}
	}
}

func failing() (Caller, error) { return Caller{}, errors.New("the node is away") }

func other() (Caller, error) {
	return Caller{netip.MustParseAddrPort("10.0.1.5:7"), netip.MustParseAddrPort("10.0.1.9:80"), "vpce-2", "vpc-1"}, nil
}

// TestCallerIsAskedOncePerConnection: and again only if nobody knew.
func TestCallerIsAskedOncePerConnection(t *testing.T) {
	var asked atomic.Int32
	g := startInside(t, Options{}, func() (Caller, error) {
		if asked.Add(1) == 1 {
			return failing()
		}
		return Caller{netip.MustParseAddrPort("10.0.1.5:7"), netip.MustParseAddrPort("10.0.1.9:80"), "vpce-1", "vpc-1"}, nil
	}, privateAPI("priv000001", allowing("")))
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for range 4 {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+g.at+"/prod/x", nil)
		r.Host = "priv000001" + awsHost
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Error(resp.Status)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}

// TestUnknownAddressIsNobody: whatever else is in API Gateway's VPC reaches no
// API by the private ports.
func TestUnknownAddressIsNobody(t *testing.T) {
	g := startInside(t, Options{}, failing, privateAPI("priv000001", allowing("")))
	c := configured(upstreamTo(1), privateAPI("priv000001", allowing("")))
	g.Apply(c)
	if a := g.at80(t, "priv000001"+awsHost, "/prod/x", "x-amzn-vpce-id: vpce-1"); a.status != 403 || a.body != `{"message":"Forbidden"}` {
		t.Errorf("%d %s", a.status, a.body)
	}
}

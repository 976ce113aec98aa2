// Package calls calls a private API at a rate, from several VPCs with the same
// addresses, and checks every answer.
package calls

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	resttypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"

	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/test/machine"
)

// Setup is a private API over a version 1 link, and VPCs from which it is
// called.
type Setup struct {
	host    string // of the API
	trust   *x509.CertPool
	callers []*caller
}

// caller is an instance in a VPC, with an address of its own in each.
type caller struct {
	*machine.Caller
	address string
	run     *exec.Cmd
	ns      *netns.NS
}

// echo answers with what the integration says of the caller, and the number of
// the call.
const echo = `location /echo { return 200 "$http_x_vpc $http_x_vpce $http_x_source $http_x_call"; }`

// New makes an API in one account, and a calling VPC in each of the others.
// Everything of it goes with the machine; Close must be called before.
func New(ctx context.Context, m *machine.Machine, owner string, callers ...string) (s *Setup, err error) {
	s = &Setup{trust: x509.NewCertPool()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	site, err := m.Site(ctx, m.AWS(owner), machine.SiteOptions{Locations: echo})
	if err != nil {
		return s, err
	}
	api, err := site.RESTOverV1(ctx)
	if err != nil {
		return s, err
	}
	s.host = api.ID + ".execute-api." + machine.Region + ".amazonaws.com"
	ca, err := machine.Output(m.Isthmus(ctx, "ca"))
	if err != nil {
		return s, err
	}
	if !s.trust.AppendCertsFromPEM([]byte(ca)) {
		return s, errors.New("isthmus ca prints no certificate")
	}
	var endpoints []string
	for i, account := range callers {
		c, err := newCaller(ctx, m, account, fmt.Sprintf("10.0.1.%d", 100+i))
		if c != nil {
			s.callers = append(s.callers, c)
		}
		if err != nil {
			return s, err
		}
		endpoints = append(endpoints, c.Endpoint)
	}
	if err := makePrivate(ctx, site.AWS.REST, api, endpoints); err != nil {
		return s, err
	}
	return s, s.await(ctx)
}

func newCaller(ctx context.Context, m *machine.Machine, account, address string) (*caller, error) {
	network, err := m.Caller(ctx, m.AWS(account))
	if err != nil {
		return nil, err
	}
	c := &caller{Caller: network, address: address}
	c.run = m.Run(context.WithoutCancel(ctx), account, network.Subnets[0], "", []string{"--private-ip", address}, "sleep", "infinity")
	told, err := c.run.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := c.run.Start(); err != nil {
		return nil, err
	}
	var instance, eni string
	if _, err := fmt.Fscanf(told, "isthmus: %s %s", &instance, &eni); err != nil {
		return c, fmt.Errorf("isthmus run tells of no instance: %w", err)
	}
	c.ns, err = m.Namespace(ctx, eni)
	return c, err
}

// makePrivate has the API tell its backend who calls, and lets these endpoints
// in and nobody else.
func makePrivate(ctx context.Context, rest *apigateway.Client, api machine.API, endpoints []string) error {
	resources, err := rest.GetResources(ctx, &apigateway.GetResourcesInput{RestApiId: &api.ID})
	if err != nil {
		return err
	}
	for _, r := range resources.Items {
		if aws.ToString(r.PathPart) != "{proxy+}" {
			continue
		}
		if _, err := rest.PutIntegration(ctx, &apigateway.PutIntegrationInput{
			RestApiId: &api.ID, ResourceId: r.Id, HttpMethod: aws.String("ANY"),
			Type: resttypes.IntegrationTypeHttpProxy, IntegrationHttpMethod: aws.String("ANY"),
			ConnectionType: resttypes.ConnectionTypeVpcLink, ConnectionId: &api.Link,
			Uri: aws.String("http://backend.internal/{proxy}"),
			RequestParameters: map[string]string{
				"integration.request.path.proxy":      "method.request.path.proxy",
				"integration.request.header.x-vpc":    "context.identity.vpcId",
				"integration.request.header.x-vpce":   "context.identity.vpceId",
				"integration.request.header.x-source": "context.identity.sourceIp",
			},
		}); err != nil {
			return err
		}
	}
	policy := fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke",
		"Resource": "execute-api:/*", "Condition": {"StringEquals": {"aws:SourceVpce": ["%s"]}}}]}`, strings.Join(endpoints, `", "`))
	if _, err := rest.UpdateRestApi(ctx, &apigateway.UpdateRestApiInput{RestApiId: &api.ID, PatchOperations: []resttypes.PatchOperation{
		{Op: resttypes.OpReplace, Path: aws.String("/endpointConfiguration/types/0"), Value: aws.String("PRIVATE")},
		{Op: resttypes.OpReplace, Path: aws.String("/policy"), Value: &policy},
	}}); err != nil {
		return err
	}
	_, err = rest.CreateDeployment(ctx, &apigateway.CreateDeploymentInput{RestApiId: &api.ID, StageName: aws.String("prod")})
	return err
}

// await calls from each VPC until the deployment has reached the gateway.
func (s *Setup) await(ctx context.Context) error {
	for i, c := range s.callers {
		client := s.client(c, false)
		defer client.CloseIdleConnections()
		if err := machine.Until(ctx, 10*time.Second, func() (bool, string, error) {
			err := s.call(ctx, client, c, -1)
			return err == nil, fmt.Sprintf("caller %d: %v", i, err), nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// dial opens a connection from the caller to its endpoint, in either zone in
// turn.
func (c *caller) dial(ctx context.Context, zone int) (conn net.Conn, err error) {
	err = c.ns.Do(func() error {
		conn, err = (&net.Dialer{Timeout: callTimeout}).DialContext(ctx, "tcp4", net.JoinHostPort(c.Addresses[zone], "443"))
		return err
	})
	return conn, err
}

// Close ends the calling instances.
func (s *Setup) Close() (err error) {
	for _, c := range s.callers {
		if c.ns != nil {
			err = errors.Join(err, c.ns.Close())
		}
		err = errors.Join(err, c.run.Process.Signal(syscall.SIGTERM))
		c.run.Wait() // it was told to end
	}
	return err
}

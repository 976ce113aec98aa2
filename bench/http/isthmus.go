package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	httptypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"github.com/isthmus-net/isthmus/bench/http/internal/contest"
	"github.com/isthmus-net/isthmus/bench/internal/namespace"
	"github.com/isthmus-net/isthmus/internal/node"
	"github.com/isthmus-net/isthmus/test/machine"
)

// isthmus is a running instance, with a VPC in which the backend and, for the
// load balancer's sake, the clients have an ENI each.
type isthmus struct {
	machine *machine.Machine
	site    *machine.Site
	zones   [2]string // subnets; the first is the ENIs' and the link's
}

// Addresses in the VPC.
const (
	vpcClient  = "10.0.1.20"
	vpcBackend = "10.0.1.10"
)

// The ports at which the gateway listens on the machine.
const (
	gatewayPort    = 8080
	gatewayTLSPort = 8443
)

// startIsthmus starts all of its processes on the proxies' CPU. While the
// gateway or a balancer is measured, the others have nothing to do.
func startIsthmus(ctx context.Context, binary string) (*isthmus, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	proxy, _, _, err := cpus()
	if err != nil {
		return nil, err
	}
	i := &isthmus{}
	return i, namespace.OnCPU(proxy, func() error {
		i.machine, err = machine.Start(ctx, binary,
			"--gateway-listen", fmt.Sprintf("0.0.0.0:%d", gatewayPort), "--gateway-https-listen", fmt.Sprintf("0.0.0.0:%d", gatewayTLSPort))
		return err
	})
}

// close removes everything; a failure is told with the end of the log.
func (i *isthmus) close(failed error) error {
	if failed != nil {
		failed = fmt.Errorf("the log ends:\n%s", i.machine.LogTail(10))
	}
	return errors.Join(failed, i.machine.Close())
}

// bringUp makes the VPC, plugs clients and backend into it, and puts a Network
// Load Balancer before the backend.
func (i *isthmus) bringUp(ctx context.Context, n *network) error {
	a := i.machine.AWS("111111111111")
	i.site = &machine.Site{AWS: a}
	v, err := a.EC2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	if err != nil {
		return err
	}
	i.site.VPC = *v.Vpc.VpcId
	for z, zone := range []string{"a", "b"} {
		s, err := a.EC2.CreateSubnet(ctx, &ec2.CreateSubnetInput{
			VpcId: &i.site.VPC, CidrBlock: aws.String(fmt.Sprintf("10.0.%d.0/24", z+1)), AvailabilityZone: aws.String(machine.Region + zone),
		})
		if err != nil {
			return err
		}
		i.zones[z] = *s.Subnet.SubnetId
	}
	i.site.Subnet = i.zones[0]
	if i.site.Group, err = i.group(ctx, "backend", backendPort, backendPort); err != nil {
		return err
	}
	for _, at := range []struct {
		ns      *namespace.NS
		address string
	}{{n.client, vpcClient}, {n.backend, vpcBackend}} {
		if err := i.plug(ctx, at.ns, at.address); err != nil {
			return fmt.Errorf("plug ENI %s: %w", at.address, err)
		}
	}
	return i.balance(ctx)
}

// group makes a security group that lets the VPC in at some ports.
func (i *isthmus) group(ctx context.Context, name string, from, to int32) (string, error) {
	g, err := i.site.AWS.EC2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName: &name, Description: &name, VpcId: &i.site.VPC,
	})
	if err != nil {
		return "", err
	}
	_, err = i.site.AWS.EC2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: g.GroupId, IpPermissions: []ec2types.IpPermission{{
			IpProtocol: aws.String("tcp"), FromPort: &from, ToPort: &to, IpRanges: []ec2types.IpRange{{CidrIp: aws.String("10.0.0.0/16")}},
		}},
	})
	return *g.GroupId, err
}

func (i *isthmus) plug(ctx context.Context, ns *namespace.NS, address string) error {
	e, err := i.site.AWS.EC2.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{
		SubnetId: &i.site.Subnet, PrivateIpAddress: &address, Groups: []string{i.site.Group},
	})
	if err != nil {
		return err
	}
	_, err = machine.Output(i.machine.Isthmus(ctx, "attach", *e.NetworkInterface.NetworkInterfaceId, "--netns", ns.Path()))
	return err
}

// startGateway makes an API for each number of routes, all of which lead
// through one version 2 link to the Network Load Balancer.
func startGateway(ctx context.Context, n *network, s *subject) error {
	site := n.isthmus.site
	link, err := site.LinkV2(ctx)
	if err != nil {
		return err
	}
	if err := site.WaitV2(ctx, link); err != nil {
		return err
	}
	hosts := map[int]string{}
	for _, routes := range routeCounts() {
		id, err := api(ctx, site, link, routes)
		if err != nil {
			return fmt.Errorf("make an API with %d routes: %w", routes, err)
		}
		hosts[routes] = id + ".execute-api.localhost"
	}
	s.log = n.isthmus.machine.LogPath()
	s.at = func(c kase) (target, error) {
		port := gatewayTLSPort
		if c.door == plain {
			port = gatewayPort
		}
		return target{fmt.Sprintf("%s:%d", proxyAddress, port), hosts[c.routes]}, nil
	}
	return n.isthmus.found(ctx, s, func(role string) bool { return role == node.OwnerGateway })
}

// writers is how many clients make routes at a time.
const writers = 8

// api makes an HTTP API, whose only stage is deployed last.
func api(ctx context.Context, site *machine.Site, link string, routes int) (string, error) {
	c := site.AWS.HTTP
	a, err := c.CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: aws.String(fmt.Sprint(routes)), ProtocolType: httptypes.ProtocolTypeHttp})
	if err != nil {
		return "", err
	}
	in, err := c.CreateIntegration(ctx, &apigatewayv2.CreateIntegrationInput{
		ApiId: a.ApiId, IntegrationType: httptypes.IntegrationTypeHttpProxy, IntegrationMethod: aws.String("ANY"),
		ConnectionType: httptypes.ConnectionTypeVpcLink, ConnectionId: &link, IntegrationUri: &site.Listener,
		PayloadFormatVersion: aws.String("1.0"),
	})
	if err != nil {
		return "", err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for r := range routes {
		group.Go(func() error {
			_, err := c.CreateRoute(groupCtx, &apigatewayv2.CreateRouteInput{
				ApiId: a.ApiId, RouteKey: aws.String("ANY " + contest.Route(r)), Target: aws.String("integrations/" + *in.IntegrationId),
			})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	_, err = c.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: a.ApiId, StageName: aws.String("$default"), AutoDeploy: aws.Bool(true)})
	return *a.ApiId, err
}

// found waits for a contestant's process, by its role, prefers it, and prepares its namespace.
func (i *isthmus) found(ctx context.Context, s *subject, is func(role string) bool) error {
	if err := machine.Until(ctx, patience, func() (bool, string, error) {
		out, err := machine.Output(i.machine.Isthmus(ctx, "status", "--json"))
		if err != nil {
			return false, "", err
		}
		var status node.Status
		if err := json.Unmarshal([]byte(out), &status); err != nil {
			return false, "", fmt.Errorf("read status: %w", err)
		}
		var roles []string
		for _, p := range status.Processes {
			if roles = append(roles, p.Role); is(p.Role) {
				s.pid = p.PID
			}
		}
		return s.pid != 0, "the processes are " + strings.Join(roles, ", "), nil
	}); err != nil {
		return err
	}
	ns, err := namespace.Open(fmt.Sprintf("/proc/%d/ns/net", s.pid))
	if err != nil {
		return err
	}
	return errors.Join(useReno(ns), namespace.Prefer(s.pid))
}

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/bench/http/internal/contest"
	"github.com/isthmus-net/isthmus/test/machine"
)

// balance puts a Network Load Balancer before the backend.
func (i *isthmus) balance(ctx context.Context) error {
	lb, err := i.site.AWS.ELB.CreateLoadBalancer(ctx, &elbv2.CreateLoadBalancerInput{
		Name: aws.String("network"), Type: elbtypes.LoadBalancerTypeEnumNetwork,
		Scheme: elbtypes.LoadBalancerSchemeEnumInternal, Subnets: i.zones[:1],
	})
	if err != nil {
		return err
	}
	i.site.LoadBalancer = *lb.LoadBalancers[0].LoadBalancerArn
	if i.site.TargetGroup, err = i.targets(ctx, "network", elbtypes.ProtocolEnumTcp); err != nil {
		return err
	}
	l, err := i.site.AWS.ELB.CreateListener(ctx, &elbv2.CreateListenerInput{
		LoadBalancerArn: &i.site.LoadBalancer, Protocol: elbtypes.ProtocolEnumTcp, Port: aws.Int32(80),
		DefaultActions: forward(i.site.TargetGroup),
	})
	if err != nil {
		return err
	}
	i.site.Listener = *l.Listeners[0].ListenerArn
	return i.healthy(ctx, i.site.TargetGroup)
}

// targets makes a target group that holds the backend.
func (i *isthmus) targets(ctx context.Context, name string, protocol elbtypes.ProtocolEnum) (string, error) {
	g, err := i.site.AWS.ELB.CreateTargetGroup(ctx, &elbv2.CreateTargetGroupInput{
		Name: &name, Protocol: protocol, Port: aws.Int32(backendPort), TargetType: elbtypes.TargetTypeEnumIp, VpcId: &i.site.VPC,
	})
	if err != nil {
		return "", err
	}
	arn := g.TargetGroups[0].TargetGroupArn
	_, err = i.site.AWS.ELB.RegisterTargets(ctx, &elbv2.RegisterTargetsInput{
		TargetGroupArn: arn, Targets: []elbtypes.TargetDescription{{Id: aws.String(vpcBackend)}},
	})
	return *arn, err
}

func forward(group string) []elbtypes.Action {
	return []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: &group}}
}

// healthy waits until the backend is in service.
func (i *isthmus) healthy(ctx context.Context, group string) error {
	return machine.Until(ctx, patience, func() (bool, string, error) {
		h, err := i.site.AWS.ELB.DescribeTargetHealth(ctx, &elbv2.DescribeTargetHealthInput{TargetGroupArn: &group})
		if err != nil {
			return false, "", err
		}
		state := h.TargetHealthDescriptions[0].TargetHealth
		return state.State == elbtypes.TargetHealthStateEnumHealthy, fmt.Sprint("target is ", state.State, " ", aws.ToString(state.Description)), nil
	})
}

// A load balancer may have 100 rules, and a rule five paths.
const (
	pathsOfRule   = 5
	routesOfALB   = 100
	firstListener = 80
)

// startALB makes an Application Load Balancer with a listener for each number
// of routes that it may have.
func startALB(ctx context.Context, n *network, s *subject) error {
	i := n.isthmus
	own, err := i.group(ctx, "balancer", firstListener, firstListener+10)
	if err != nil {
		return err
	}
	lb, err := i.site.AWS.ELB.CreateLoadBalancer(ctx, &elbv2.CreateLoadBalancerInput{
		Name: aws.String("application"), Type: elbtypes.LoadBalancerTypeEnumApplication,
		Scheme: elbtypes.LoadBalancerSchemeEnumInternal, Subnets: i.zones[:], SecurityGroups: []string{own},
	})
	if err != nil {
		return err
	}
	arn := *lb.LoadBalancers[0].LoadBalancerArn
	group, err := i.targets(ctx, "application", elbtypes.ProtocolEnumHttp)
	if err != nil {
		return err
	}
	ports := map[int]int32{}
	for k, routes := range routeCounts() {
		if routes > routesOfALB {
			continue
		}
		ports[routes] = int32(firstListener + k)
		if err := i.listen(ctx, arn, ports[routes], "", group, routes); err != nil {
			return fmt.Errorf("make a listener with %d routes: %w", routes, err)
		}
	}
	certificate, err := i.certify(ctx, n)
	if err != nil {
		return fmt.Errorf("import certificate: %w", err)
	}
	const tlsPort = firstListener + tlsOffset
	if err := i.listen(ctx, arn, tlsPort, certificate, group, 1); err != nil {
		return fmt.Errorf("make a listener with TLS: %w", err)
	}
	eni, address, err := i.node(ctx, arn)
	if err != nil {
		return err
	}
	s.log = i.machine.LogPath()
	s.at = func(c kase) (target, error) {
		switch {
		case c.door != plain:
			return target{fmt.Sprintf("%s:%d", address, tlsPort), serverName}, nil
		case ports[c.routes] == 0:
			return target{}, fmt.Errorf("%w: a load balancer has 100 rules at most", errUnsupported)
		}
		return target{fmt.Sprintf("%s:%d", address, ports[c.routes]), serverName}, nil
	}
	if err := i.found(ctx, s, func(role string) bool { return strings.HasSuffix(role, eni) }); err != nil {
		return err
	}
	return i.healthy(ctx, group)
}

// certify imports the certificate that all contestants have.
func (i *isthmus) certify(ctx context.Context, n *network) (string, error) {
	certificate, err := os.ReadFile(n.certificate())
	if err != nil {
		return "", err
	}
	key, err := os.ReadFile(n.key())
	if err != nil {
		return "", err
	}
	c, err := i.site.AWS.ACM.ImportCertificate(ctx, &acm.ImportCertificateInput{Certificate: certificate, PrivateKey: key})
	if err != nil {
		return "", err
	}
	return *c.CertificateArn, nil
}

// listen makes a listener whose rules have the paths of a number of routes;
// with TLS if a certificate is given.
func (i *isthmus) listen(ctx context.Context, balancer string, port int32, certificate, group string, routes int) error {
	in := &elbv2.CreateListenerInput{
		LoadBalancerArn: &balancer, Protocol: elbtypes.ProtocolEnumHttp, Port: &port,
		DefaultActions: []elbtypes.Action{{
			Type: elbtypes.ActionTypeEnumFixedResponse, FixedResponseConfig: &elbtypes.FixedResponseActionConfig{StatusCode: aws.String("404")},
		}},
	}
	if certificate != "" {
		in.SslPolicy = aws.String("ELBSecurityPolicy-TLS13-1-3-2021-06") // the default one has no TLS 1.3
		in.Protocol, in.Certificates = elbtypes.ProtocolEnumHttps, []elbtypes.Certificate{{CertificateArn: &certificate}}
	}
	l, err := i.site.AWS.ELB.CreateListener(ctx, in)
	if err != nil {
		return err
	}
	var paths []string
	for r := range routes {
		paths = append(paths, contest.Prefix(r)+"*")
	}
	priority := int32(0)
	for some := range slices.Chunk(paths, pathsOfRule) {
		priority++
		if _, err := i.site.AWS.ELB.CreateRule(ctx, &elbv2.CreateRuleInput{
			ListenerArn: l.Listeners[0].ListenerArn, Priority: &priority, Actions: forward(group),
			Conditions: []elbtypes.RuleCondition{{
				Field: aws.String("path-pattern"), PathPatternConfig: &elbtypes.PathPatternConditionConfig{Values: some},
			}},
		}); err != nil {
			return err
		}
	}
	return nil
}

// node is the balancer's ENI in the clients' zone, and its address.
func (i *isthmus) node(ctx context.Context, balancer string) (eni, address string, err error) {
	_, name, _ := strings.Cut(balancer, ":loadbalancer/")
	n, err := i.site.AWS.EC2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: aws.String("description"), Values: []string{"ELB " + name}},
		{Name: aws.String("subnet-id"), Values: i.zones[:1]},
	}})
	if err != nil {
		return "", "", err
	}
	if len(n.NetworkInterfaces) != 1 {
		return "", "", fmt.Errorf("the balancer has %d nodes in a zone", len(n.NetworkInterfaces))
	}
	return *n.NetworkInterfaces[0].NetworkInterfaceId, *n.NetworkInterfaces[0].PrivateIpAddress, nil
}

package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// Site is a customer's network: a VPC 10.0.0.0/16 with nginx at 10.0.1.10
// behind a Network Load Balancer. All sites have the same addresses.
type Site struct {
	AWS          AWS
	VPC          string
	Subnet       string // 10.0.1.0/24
	Group        string // of the backend: tcp/80 from 10.0.1.0/24
	LoadBalancer string // ARN
	Node         string // address of the load balancer's node
	TargetGroup  string // ARN
	Listener     string // ARN, port 80
	Backend      *exec.Cmd
	Dir          string // files that the backend serves and keeps
}

// BackendAddress is where every site's nginx listens, on port 80.
const BackendAddress = "10.0.1.10"

// SiteOptions vary a site.
type SiteOptions struct {
	// PreserveClient has the targets see the client's address.
	PreserveClient bool
	// Locations are nginx location blocks beside "location /", which answers
	// with the account and the caller's address.
	Locations string
}

// Site makes a site for an account, and returns when its target is healthy.
func (m *Machine) Site(ctx context.Context, a AWS, o SiteOptions) (s *Site, err error) {
	s = &Site{AWS: a}
	vpc, err := a.EC2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	if err != nil {
		return nil, err
	}
	s.VPC = *vpc.Vpc.VpcId
	subnet, err := a.EC2.CreateSubnet(ctx, &ec2.CreateSubnetInput{
		VpcId: vpc.Vpc.VpcId, CidrBlock: aws.String("10.0.1.0/24"), AvailabilityZone: aws.String(Region + "a"),
	})
	if err != nil {
		return nil, err
	}
	s.Subnet = *subnet.Subnet.SubnetId
	group, err := a.EC2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName: aws.String("web"), Description: aws.String("the backend"), VpcId: vpc.Vpc.VpcId,
	})
	if err != nil {
		return nil, err
	}
	s.Group = *group.GroupId
	if err := s.Allow(ctx); err != nil {
		return nil, err
	}
	if err := m.backend(ctx, s, o.Locations); err != nil {
		return nil, err
	}
	if err := s.balance(ctx, o); err != nil {
		return nil, err
	}
	return s, s.healthy(ctx)
}

// rule is the backend's ingress rule.
func (s *Site) rule() []ec2types.IpPermission {
	return []ec2types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(80), ToPort: aws.Int32(80),
		IpRanges: []ec2types.IpRange{{CidrIp: aws.String("10.0.1.0/24")}},
	}}
}

// Allow lets the subnet reach the backend.
func (s *Site) Allow(ctx context.Context) error {
	_, err := s.AWS.EC2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &s.Group, IpPermissions: s.rule()})
	return err
}

// Revoke takes back what Allow gave.
func (s *Site) Revoke(ctx context.Context) error {
	_, err := s.AWS.EC2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: &s.Group, IpPermissions: s.rule()})
	return err
}

const nginxConf = `daemon off; worker_processes 1; pid DIR/pid; error_log DIR/error.log;
events { worker_connections 4096; }
http {
  access_log off; client_max_body_size 0; sendfile on; keepalive_requests 1000000;
  client_body_temp_path DIR/t1; proxy_temp_path DIR/t2; fastcgi_temp_path DIR/t3;
  uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5; root DIR;
  server {
    listen 80 backlog=4096;
    location / { return 200 "ACCOUNT $remote_addr $request_uri\n"; }
    location /files/ { alias DIR/; dav_methods PUT; }
    LOCATIONS
  }
}
`

func (m *Machine) backend(ctx context.Context, s *Site, locations string) (err error) {
	if s.Dir, err = os.MkdirTemp(m.Dir, "backend-"); err != nil {
		return err
	}
	if err := os.Chmod(s.Dir, 0o777); err != nil {
		return err
	}
	conf := strings.NewReplacer("DIR", s.Dir, "ACCOUNT", s.AWS.Account, "LOCATIONS", locations).Replace(nginxConf)
	if err := os.WriteFile(filepath.Join(s.Dir, "nginx.conf"), []byte(conf), 0o644); err != nil {
		return err
	}
	s.Backend = m.Run(context.WithoutCancel(ctx), s.AWS.Account, s.Subnet, s.Group, []string{"--private-ip", BackendAddress},
		"nginx", "-c", filepath.Join(s.Dir, "nginx.conf"))
	out, err := os.Create(filepath.Join(s.Dir, "run.log"))
	if err != nil {
		return err
	}
	s.Backend.Stderr = out
	return s.Backend.Start()
}

// Run is "isthmus run": a program in a subnet.
func (m *Machine) Run(ctx context.Context, account, subnet, group string, options []string, program ...string) *exec.Cmd {
	args := append([]string{"--account", account, "--subnet", subnet}, options...)
	if group != "" {
		args = append(args, "--security-group", group)
	}
	return m.Isthmus(ctx, "run", append(append(args, "--"), program...)...)
}

func (s *Site) balance(ctx context.Context, o SiteOptions) error {
	elb := s.AWS.ELB
	lb, err := elb.CreateLoadBalancer(ctx, &elbv2.CreateLoadBalancerInput{
		Name: aws.String("lb-" + s.VPC[len(s.VPC)-8:]), Type: elbtypes.LoadBalancerTypeEnumNetwork,
		Scheme: elbtypes.LoadBalancerSchemeEnumInternal, Subnets: []string{s.Subnet},
	})
	if err != nil {
		return err
	}
	s.LoadBalancer = *lb.LoadBalancers[0].LoadBalancerArn
	group, err := elb.CreateTargetGroup(ctx, &elbv2.CreateTargetGroupInput{
		Name: aws.String("tg-" + s.VPC[len(s.VPC)-8:]), Protocol: elbtypes.ProtocolEnumTcp, Port: aws.Int32(80),
		TargetType: elbtypes.TargetTypeEnumIp, VpcId: &s.VPC,
	})
	if err != nil {
		return err
	}
	s.TargetGroup = *group.TargetGroups[0].TargetGroupArn
	if _, err := elb.ModifyTargetGroupAttributes(ctx, &elbv2.ModifyTargetGroupAttributesInput{
		TargetGroupArn: &s.TargetGroup,
		Attributes: []elbtypes.TargetGroupAttribute{{
			Key: aws.String("preserve_client_ip.enabled"), Value: aws.String(fmt.Sprint(o.PreserveClient)),
		}},
	}); err != nil {
		return err
	}
	if _, err := elb.RegisterTargets(ctx, &elbv2.RegisterTargetsInput{
		TargetGroupArn: &s.TargetGroup, Targets: []elbtypes.TargetDescription{{Id: aws.String(BackendAddress)}},
	}); err != nil {
		return err
	}
	l, err := elb.CreateListener(ctx, &elbv2.CreateListenerInput{
		LoadBalancerArn: &s.LoadBalancer, Protocol: elbtypes.ProtocolEnumTcp, Port: aws.Int32(80),
		DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: &s.TargetGroup}},
	})
	if err != nil {
		return err
	}
	s.Listener = *l.Listeners[0].ListenerArn
	nodes, err := s.AWS.EC2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: aws.String("vpc-id"), Values: []string{s.VPC}},
		{Name: aws.String("interface-type"), Values: []string{"network_load_balancer"}},
	}})
	if err != nil {
		return err
	}
	s.Node = *nodes.NetworkInterfaces[0].PrivateIpAddress
	return nil
}

func (s *Site) healthy(ctx context.Context) error {
	return Until(ctx, 20*time.Second, func() (bool, string, error) {
		h, err := s.AWS.ELB.DescribeTargetHealth(ctx, &elbv2.DescribeTargetHealthInput{TargetGroupArn: &s.TargetGroup})
		if err != nil {
			return false, "", err
		}
		state := h.TargetHealthDescriptions[0].TargetHealth
		return state.State == elbtypes.TargetHealthStateEnumHealthy, fmt.Sprint("target is ", state.State, " ", aws.ToString(state.Description)), nil
	})
}

// Until asks done again and again until it says true, fails, or the time is
// over; then the error holds what it said last.
func Until(ctx context.Context, patience time.Duration, done func() (bool, string, error)) error {
	deadline := time.Now().Add(patience)
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		ok, state, err := done()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %s: %s", patience, state)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

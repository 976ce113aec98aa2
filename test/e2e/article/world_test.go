// Package article tests what the article "Understanding VPC links in Amazon API
// Gateway private integrations" says that things do: one test per statement,
// which its comment quotes, with real packets. Where the article is out of
// date, today's behaviour is tested, and the article's where it can be switched
// on.
package article

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

const (
	provider   = "111111111111" // has a backend behind a load balancer
	callers    = "222222222222" // a VPC with an endpoint to API Gateway
	strangers  = "333333333333" // a VPC without any endpoint
	apiGateway = "392220576650" // the account of API Gateway in us-east-1

	executeAPI = "com.amazonaws." + machine.Region + ".execute-api"
	domain     = "execute-api." + machine.Region + ".amazonaws.com"
	forbidden  = `403 {"message":"Forbidden"}`
)

// world is what the tests share. Nobody changes it, but adds to it.
type world struct {
	m      *machine.Machine
	site   *machine.Site // of the provider
	v1, v2 machine.API   // public APIs of the provider, a REST API and an HTTP API
	caller *network
	other  *network // of the strangers
	trust  string   // file with the certificate of the authority
}

// network is a VPC 10.0.0.0/16 with subnets 10.0.1.0/24 and 10.0.2.0/24 in two
// zones.
type network struct {
	m       *machine.Machine
	aws     machine.AWS
	vpc     string
	subnets []string
	// The interface endpoint to API Gateway, if there is one.
	endpoint  string
	addresses []string
}

var (
	binary string
	once   sync.Once
	shared *world
	failed error
)

func TestMain(m *testing.M) {
	os.Exit(machine.Main(m, &binary, func() error {
		if shared == nil || shared.m == nil {
			return nil
		}
		return shared.m.CloseClean()
	}))
}

// theWorld makes the world when it is asked for first.
func theWorld(t *testing.T) *world {
	t.Helper()
	once.Do(func() {
		shared = &world{}
		failed = shared.make(context.WithoutCancel(t.Context()))
	})
	if failed != nil {
		t.Fatal(failed)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the log:\n%s", shared.m.LogTail(20))
		}
	})
	return shared
}

// seen is where a backend tells what API Gateway told it of the caller.
const seen = `location /seen { return 200 "$http_x_amzn_vpce_id $http_x_forwarded_for"; }`

func (w *world) make(ctx context.Context) (err error) {
	if w.m, err = machine.Start(ctx, binary); err != nil {
		return err
	}
	if w.site, err = w.m.Site(ctx, w.m.AWS(provider), machine.SiteOptions{Locations: seen}); err != nil {
		return err
	}
	if w.v1, err = w.site.RESTOverV1(ctx); err != nil {
		return err
	}
	if w.v2, err = w.site.HTTPOverV2(ctx); err != nil {
		return err
	}
	if w.caller, err = newNetwork(ctx, w.m, callers); err != nil {
		return err
	}
	if err := w.caller.connect(ctx, executeAPI, 80, 443); err != nil {
		return err
	}
	if w.other, err = newNetwork(ctx, w.m, strangers); err != nil {
		return err
	}
	pem, err := machine.Output(w.m.Isthmus(ctx, "ca"))
	if err != nil {
		return err
	}
	w.trust = filepath.Join(w.m.Dir, "trust.pem")
	return os.WriteFile(w.trust, []byte(pem), 0o644)
}

func newNetwork(ctx context.Context, m *machine.Machine, account string) (*network, error) {
	n := &network{m: m, aws: m.AWS(account)}
	v, err := n.aws.EC2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	if err != nil {
		return nil, err
	}
	n.vpc = *v.Vpc.VpcId
	if _, err := n.aws.EC2.ModifyVpcAttribute(ctx, &ec2.ModifyVpcAttributeInput{
		VpcId: &n.vpc, EnableDnsHostnames: &ec2types.AttributeBooleanValue{Value: aws.Bool(true)},
	}); err != nil {
		return nil, err
	}
	for i, zone := range []string{"a", "b"} {
		s, err := n.aws.EC2.CreateSubnet(ctx, &ec2.CreateSubnetInput{
			VpcId: &n.vpc, CidrBlock: aws.String(fmt.Sprintf("10.0.%d.0/24", i+1)), AvailabilityZone: aws.String(machine.Region + zone),
		})
		if err != nil {
			return nil, err
		}
		n.subnets = append(n.subnets, *s.Subnet.SubnetId)
	}
	return n, nil
}

// connect makes an interface endpoint to a service in each subnet, open at
// ports to the whole VPC.
func (n *network) connect(ctx context.Context, service string, ports ...int32) error {
	g, err := n.aws.EC2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName: &service, Description: aws.String("the endpoint"), VpcId: &n.vpc,
	})
	if err != nil {
		return err
	}
	for _, p := range ports {
		if _, err := n.aws.EC2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
			GroupId: g.GroupId, IpPermissions: []ec2types.IpPermission{fromCIDR(p, "10.0.0.0/16")},
		}); err != nil {
			return err
		}
	}
	e, err := n.aws.EC2.CreateVpcEndpoint(ctx, &ec2.CreateVpcEndpointInput{
		VpcId: &n.vpc, ServiceName: &service, VpcEndpointType: ec2types.VpcEndpointTypeInterface,
		SubnetIds: n.subnets, SecurityGroupIds: []string{*g.GroupId},
	})
	if err != nil {
		return err
	}
	n.endpoint = *e.VpcEndpoint.VpcEndpointId
	i, err := n.aws.EC2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: e.VpcEndpoint.NetworkInterfaceIds})
	if err != nil {
		return err
	}
	if len(i.NetworkInterfaces) != len(n.subnets) {
		return fmt.Errorf("endpoint %s has %d network interfaces in %d subnets", n.endpoint, len(i.NetworkInterfaces), len(n.subnets))
	}
	n.addresses = make([]string, len(n.subnets))
	for _, x := range i.NetworkInterfaces {
		for at, subnet := range n.subnets {
			if *x.SubnetId == subnet {
				n.addresses[at] = *x.PrivateIpAddress
			}
		}
	}
	return nil
}

func fromCIDR(port int32, cidr string) ec2types.IpPermission {
	return ec2types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: &port, ToPort: &port, IpRanges: []ec2types.IpRange{{CidrIp: &cidr}}}
}

func fromGroup(port int32, group string) ec2types.IpPermission {
	return ec2types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: &port, ToPort: &port,
		UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: &group}}}
}

// curl is what a host in the VPC is answered: status and body; nothing if
// nobody answers.
func (n *network) curl(t *testing.T, url string, options ...string) string {
	t.Helper()
	return curl(t, n.m, n.aws.Account, n.subnets[0], append(options, url)...)
}

func curl(t *testing.T, m *machine.Machine, account, subnet string, args ...string) string {
	t.Helper()
	args = append([]string{"curl", "-sS", "-m", "3", "-o", "-", "-w", ` %{http_code}`}, args...)
	out, err := machine.Output(m.Run(t.Context(), account, subnet, "", nil, args...))
	if err != nil {
		t.Logf("%v", err)
		return ""
	}
	at := strings.LastIndexByte(out, ' ')
	return out[at+1:] + " " + strings.TrimSpace(out[:at])
}

// call is what the machine itself is answered by the gateway, where clients of
// the internet are.
func call(t *testing.T, m *machine.Machine, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := m.Client()
	defer c.CloseIdleConnections()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(b)))
}

// becomes asks until the answer is the wanted one: a change is in force a
// moment after the AWS API has acknowledged it.
func becomes(t *testing.T, want string, ask func() string) {
	t.Helper()
	err := machine.Until(t.Context(), 20*time.Second, func() (bool, string, error) {
		got := ask()
		return got == want, got, nil
	})
	if err != nil {
		t.Fatalf("want %q: %v", want, err)
	}
}

// nobody checks that there is no answer.
func nobody(t *testing.T, what, answer string) {
	t.Helper()
	if answer != "" {
		t.Errorf("%s: answered %q", what, answer)
	}
}

// answer is that of a site's backend, called by an address at a path.
func answer(s *machine.Site, caller, path string) string {
	return strings.Join([]string{"200", s.AWS.Account, caller, path}, " ")
}

// must returns a value unless there is an error.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// refused checks that an operation was refused with a code.
func refused(t *testing.T, err error, code string) {
	t.Helper()
	var e interface{ ErrorCode() string }
	if !errors.As(err, &e) || e.ErrorCode() != code {
		t.Errorf("error %v, want %s", err, code)
	}
}

// output is what a command prints; it must succeed.
func output(t *testing.T, c *exec.Cmd) string {
	t.Helper()
	return must(machine.Output(c))(t)
}

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	resttypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

const executeAPI = "com.amazonaws." + machine.Region + ".execute-api"

// callerVPC is a VPC 10.0.0.0/16 with an interface endpoint to execute-api in
// two zones.
type callerVPC struct {
	aws       machine.AWS
	vpc       string
	subnets   [2]string // 10.0.1.0/24 and 10.0.2.0/24
	group     string    // of the endpoint
	endpoint  string    // vpce-…
	name      string    // regional
	addresses [2]string // of the endpoint, by subnet
}

func newCallerVPC(t *testing.T, m *machine.Machine, account string) *callerVPC {
	t.Helper()
	c := &callerVPC{aws: m.AWS(account)}
	api, ctx := c.aws.EC2, t.Context()
	v, err := api.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	if err != nil {
		t.Fatal(err)
	}
	c.vpc = *v.Vpc.VpcId
	if _, err := api.ModifyVpcAttribute(ctx, &ec2.ModifyVpcAttributeInput{
		VpcId: &c.vpc, EnableDnsHostnames: &ec2types.AttributeBooleanValue{Value: aws.Bool(true)},
	}); err != nil {
		t.Fatal(err)
	}
	for i, zone := range []string{"a", "b"} {
		s, err := api.CreateSubnet(ctx, &ec2.CreateSubnetInput{
			VpcId: &c.vpc, CidrBlock: aws.String(fmt.Sprintf("10.0.%d.0/24", i+1)), AvailabilityZone: aws.String(machine.Region + zone),
		})
		if err != nil {
			t.Fatal(err)
		}
		c.subnets[i] = *s.Subnet.SubnetId
	}
	g, err := api.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName: aws.String("endpoint"), Description: aws.String("the endpoint"), VpcId: &c.vpc,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.group = *g.GroupId
	if _, err := api.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &c.group, IpPermissions: append(c.port(443), c.port(80)...),
	}); err != nil {
		t.Fatal(err)
	}
	e, err := api.CreateVpcEndpoint(ctx, &ec2.CreateVpcEndpointInput{
		VpcId: &c.vpc, ServiceName: aws.String(executeAPI), VpcEndpointType: ec2types.VpcEndpointTypeInterface,
		SubnetIds: c.subnets[:], SecurityGroupIds: []string{c.group}, PrivateDnsEnabled: aws.Bool(true),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.endpoint = *e.VpcEndpoint.VpcEndpointId
	c.await(t)
	return c
}

// port is a rule that lets the VPC in.
func (c *callerVPC) port(n int32) []ec2types.IpPermission {
	return []ec2types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: &n, ToPort: &n, IpRanges: []ec2types.IpRange{{CidrIp: aws.String("10.0.0.0/16")}},
	}}
}

// await waits until the endpoint is available, and reads its names and
// addresses.
func (c *callerVPC) await(t *testing.T) {
	t.Helper()
	var e ec2types.VpcEndpoint
	if err := machine.Until(t.Context(), 10*time.Second, func() (bool, string, error) {
		out, err := c.aws.EC2.DescribeVpcEndpoints(t.Context(), &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{c.endpoint}})
		if err != nil {
			return false, "", err
		}
		e = out.VpcEndpoints[0]
		return e.State == "available", fmt.Sprint("endpoint is ", e.State), nil
	}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range e.DnsEntries {
		names = append(names, *d.DnsName)
	}
	if len(names) != 5 || names[3] != "execute-api.us-east-1.amazonaws.com" || names[4] != "*.execute-api.us-east-1.amazonaws.com" {
		t.Fatalf("names of the endpoint: %q", names)
	}
	c.name = names[0]
	n, err := c.aws.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: e.NetworkInterfaceIds})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range n.NetworkInterfaces {
		for i, s := range c.subnets {
			if *n.SubnetId == s {
				c.addresses[i] = *n.PrivateIpAddress
			}
		}
	}
}

// call runs curl on an instance of the VPC with a connection to the endpoint,
// and returns "status body", or an empty text if nobody answered.
func (c *callerVPC) call(t *testing.T, m *machine.Machine, zone int, from, url string, options ...string) string {
	t.Helper()
	args := []string{
		"curl", "-sS", "-m", "5", "--cacert", authorityFile(t, m), "--connect-to", "::" + c.addresses[zone] + ":",
		"-o", "-", "-w", " %{http_code}",
	}
	cmd := m.Run(t.Context(), c.aws.Account, c.subnets[zone], "", []string{"--private-ip", from}, append(append(args, options...), url)...)
	out, err := machine.Output(cmd)
	body, status, ok := cut(strings.TrimSpace(out))
	if err != nil || !ok {
		t.Logf("%s: %v", url, err)
		return ""
	}
	return status + " " + body
}

// cut takes the last word off a text.
func cut(s string) (rest, last string, ok bool) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return "", s, len(s) == 3
	}
	return strings.TrimSpace(s[:i]), s[i+1:], true
}

// authorityFile holds what "isthmus ca" prints, for users of all kinds.
func authorityFile(t *testing.T, m *machine.Machine) string {
	t.Helper()
	file := filepath.Join(m.Dir, "trust.pem")
	if _, err := os.Stat(file); err != nil {
		pem := output(t, m.Isthmus(t.Context(), "ca"))
		if err := os.WriteFile(file, []byte(pem+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// policyOf is a resource policy of statements.
func policyOf(statements ...map[string]any) string {
	for _, s := range statements {
		s["Principal"], s["Action"], s["Resource"] = "*", "execute-api:Invoke", "execute-api:/*"
	}
	b, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func allowAll() map[string]any { return map[string]any{"Effect": "Allow"} }

func denyIf(operator, key string, values ...string) map[string]any {
	return map[string]any{"Effect": "Deny", "Condition": map[string]any{operator: map[string]any{key: values}}}
}

// patch changes an API without deploying it.
func patch(t *testing.T, a machine.AWS, api string, pathsAndValues ...string) {
	t.Helper()
	in := &apigateway.UpdateRestApiInput{RestApiId: &api}
	for i := 0; i < len(pathsAndValues); i += 2 {
		op := resttypes.OpReplace
		if strings.HasSuffix(pathsAndValues[i], "vpcEndpointIds") {
			op = resttypes.OpAdd
		}
		in.PatchOperations = append(in.PatchOperations, resttypes.PatchOperation{Op: op, Path: &pathsAndValues[i], Value: &pathsAndValues[i+1]})
	}
	if _, err := a.REST.UpdateRestApi(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func deploy(t *testing.T, a machine.AWS, api string) {
	t.Helper()
	if _, err := a.REST.CreateDeployment(t.Context(), &apigateway.CreateDeploymentInput{RestApiId: &api, StageName: aws.String("prod")}); err != nil {
		t.Fatal(err)
	}
}

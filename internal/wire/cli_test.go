package wire_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/apigateway"
	"github.com/isthmus-net/isthmus/internal/wire/apigatewayv2"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
	"github.com/isthmus-net/isthmus/internal/wire/elbv2"
	"github.com/isthmus-net/isthmus/internal/wire/sts"
)

// The fakes record what they are asked and answer with fixed shapes. A method
// they lack panics, which the handler must survive.

// last holds the input of the last call.
type last struct{ in atomic.Pointer[any] }

func (l *last) set(in any) { l.in.Store(&in) }
func (l *last) get() any   { return *l.in.Load() }

type fakeEC2 struct {
	ec2.Server
	last
}

func (f *fakeEC2) CreateVpc(_ context.Context, in *ec2.CreateVpcInput) (*ec2.CreateVpcOutput, error) {
	f.set(in)
	return &ec2.CreateVpcOutput{Vpc: &ec2.Vpc{
		VpcId:     wire.Ptr("vpc-1"),
		CidrBlock: in.CidrBlock,
		IsDefault: wire.Ptr(false),
		Tags:      []*ec2.Tag{{Key: wire.Ptr("Name"), Value: wire.Ptr(`a<b>&"c"`)}},
	}}, nil
}

func (f *fakeEC2) DeleteVpc(_ context.Context, in *ec2.DeleteVpcInput) (*ec2.DeleteVpcOutput, error) {
	f.set(in)
	return nil, wire.Errorf(400, "InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", *in.VpcId)
}

func (f *fakeEC2) DescribeVpcs(_ context.Context, in *ec2.DescribeVpcsInput) (*ec2.DescribeVpcsOutput, error) {
	f.set(in)
	return nil, nil
}

func (f *fakeEC2) AuthorizeSecurityGroupIngress(_ context.Context, in *ec2.AuthorizeSecurityGroupIngressInput) (*ec2.AuthorizeSecurityGroupIngressOutput, error) {
	f.set(in)
	return nil, nil
}

type fakeELB struct {
	elbv2.Server
	last
}

func (f *fakeELB) CreateTargetGroup(_ context.Context, in *elbv2.CreateTargetGroupInput) (*elbv2.CreateTargetGroupOutput, error) {
	f.set(in)
	return &elbv2.CreateTargetGroupOutput{TargetGroups: []*elbv2.TargetGroup{{
		TargetGroupName: in.Name, Port: in.Port, Protocol: in.Protocol, LoadBalancerArns: []string{},
	}}}, nil
}

func (f *fakeELB) DescribeLoadBalancers(_ context.Context, in *elbv2.DescribeLoadBalancersInput) (*elbv2.DescribeLoadBalancersOutput, error) {
	f.set(in)
	return nil, nil
}

type fakeREST struct {
	apigateway.Server
	last
}

func (f *fakeREST) CreateRestApi(_ context.Context, in *apigateway.CreateRestApiInput) (*apigateway.RestApi, error) {
	f.set(in)
	return &apigateway.RestApi{
		Id: wire.Ptr("abc123"), Name: in.Name, CreatedDate: wire.Ptr(time.Unix(1700000000, 0)),
		EndpointConfiguration: in.EndpointConfiguration,
	}, nil
}

func (f *fakeREST) GetRestApis(context.Context, *apigateway.GetRestApisInput) (*apigateway.GetRestApisOutput, error) {
	return nil, nil
}

func (f *fakeREST) GetVpcLink(_ context.Context, in *apigateway.GetVpcLinkInput) (*apigateway.VpcLink, error) {
	f.set(in)
	return nil, wire.Errorf(404, "NotFoundException", "Invalid Vpc Link identifier specified")
}

func (f *fakeREST) TagResource(_ context.Context, in *apigateway.TagResourceInput) (*apigateway.TagResourceOutput, error) {
	f.set(in)
	return nil, nil
}

type fakeHTTP struct {
	apigatewayv2.Server
	last
}

func (f *fakeHTTP) CreateVpcLink(_ context.Context, in *apigatewayv2.CreateVpcLinkInput) (*apigatewayv2.CreateVpcLinkOutput, error) {
	f.set(in)
	return &apigatewayv2.CreateVpcLinkOutput{
		Name: in.Name, VpcLinkId: wire.Ptr("xyz"), SubnetIds: in.SubnetIds, SecurityGroupIds: in.SecurityGroupIds,
		VpcLinkStatus: wire.Ptr(apigatewayv2.VpcLinkStatusPending), CreatedDate: wire.Ptr(time.Unix(1700000000, 0)),
	}, nil
}

func (f *fakeHTTP) GetApis(context.Context, *apigatewayv2.GetApisInput) (*apigatewayv2.GetApisOutput, error) {
	return nil, nil
}

type fakeSTS struct{}

func (fakeSTS) GetCallerIdentity(ctx context.Context, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	c := wire.CallerFrom(ctx)
	return &sts.GetCallerIdentityOutput{
		Account: &c.Account,
		UserId:  &c.AccessKey,
		Arn:     wire.Ptr("arn:aws:iam::" + c.Account + ":root"),
	}, nil
}

type fakes struct {
	ec2  fakeEC2
	elb  fakeELB
	rest fakeREST
	http fakeHTTP
}

func (f *fakes) services() []wire.Service {
	return []wire.Service{
		{API: ec2.API, Server: &f.ec2},
		{API: elbv2.API, Server: &f.elb},
		{API: apigateway.API, Server: &f.rest},
		{API: apigatewayv2.API, Server: &f.http},
		{API: sts.API, Server: fakeSTS{}},
	}
}

// TestCLI drives each protocol with the real aws CLI.
func TestCLI(t *testing.T) {
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Fatal("the aws CLI is not installed; scripts/install-dependencies run installs it")
	}
	var f fakes
	srv := httptest.NewServer(wire.NewHandler(wire.Options{Log: discard}, f.services()...))
	defer srv.Close()
	home := t.TempDir()

	tests := []struct {
		args string
		out  string // JSON
		fail string // end of stderr
		got  func() any
		want any
	}{
		{
			args: `ec2 create-vpc --cidr-block 10.0.0.0/16 --tag-specifications ResourceType=vpc,Tags=[{Key=a,Value=b},{Key=c,Value=d}]`,
			out:  `{"Vpc": {"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16", "IsDefault": false, "Tags": [{"Key": "Name", "Value": "a<b>&\"c\""}]}}`,
			got:  f.ec2.get,
			want: &ec2.CreateVpcInput{CidrBlock: wire.Ptr("10.0.0.0/16"), TagSpecifications: []*ec2.TagSpecification{{
				ResourceType: wire.Ptr("vpc"),
				Tags: []*ec2.Tag{
					{Key: wire.Ptr("a"), Value: wire.Ptr("b")}, {Key: wire.Ptr("c"), Value: wire.Ptr("d")}},
			}}},
		},
		{
			args: `ec2 describe-vpcs --filters Name=tag:a,Values=b,c Name=cidr,Values=10.0.0.0/8`,
			out:  `{"Vpcs": []}`,
			got:  f.ec2.get,
			want: &ec2.DescribeVpcsInput{Filters: []*ec2.Filter{
				{Name: wire.Ptr("tag:a"), Values: []string{"b", "c"}},
				{Name: wire.Ptr("cidr"), Values: []string{"10.0.0.0/8"}},
			}},
		},
		{
			args: `ec2 authorize-security-group-ingress --group-id sg-1 --ip-permissions IpProtocol=tcp,FromPort=80,ToPort=81,UserIdGroupPairs=[{GroupId=sg-2}],IpRanges=[{CidrIp=10.0.0.0/8,Description=x}]`,
			out:  `{"Return": true, "SecurityGroupRules": []}`,
			got:  f.ec2.get,
			want: &ec2.AuthorizeSecurityGroupIngressInput{GroupId: wire.Ptr("sg-1"), IpPermissions: []*ec2.IpPermission{{
				IpProtocol: wire.Ptr("tcp"), FromPort: wire.Ptr[int64](80), ToPort: wire.Ptr[int64](81),
				UserIdGroupPairs: []*ec2.UserIdGroupPair{{GroupId: wire.Ptr("sg-2")}},
				IpRanges:         []*ec2.IpRange{{CidrIp: wire.Ptr("10.0.0.0/8"), Description: wire.Ptr("x")}},
			}}},
		},
		{
			args: `ec2 delete-vpc --vpc-id vpc-9`,
			fail: `An error occurred (InvalidVpcID.NotFound) when calling the DeleteVpc operation: The vpc ID 'vpc-9' does not exist`,
		},
		{
			args: `ec2 describe-nat-gateways`,
			fail: `An error occurred (UnsupportedOperation) when calling the DescribeNatGateways operation: Isthmus does not support the operation DescribeNatGateways of ec2.`,
		},
		{
			args: `elbv2 create-target-group --name tg --protocol TCP --port 80 --target-type ip --vpc-id vpc-1 --tags Key=a,Value=b --health-check-enabled`,
			out:  `{"TargetGroups": [{"TargetGroupName": "tg", "Port": 80, "Protocol": "TCP", "LoadBalancerArns": []}]}`,
			got:  f.elb.get,
			want: &elbv2.CreateTargetGroupInput{
				Name: wire.Ptr("tg"), Protocol: wire.Ptr("TCP"), Port: wire.Ptr[int64](80), TargetType: wire.Ptr("ip"),
				VpcId: wire.Ptr("vpc-1"), HealthCheckEnabled: wire.Ptr(true),
				Tags: []*elbv2.Tag{{Key: wire.Ptr("a"), Value: wire.Ptr("b")}},
			},
		},
		{
			args: `elbv2 create-target-group --name tg --protocol XYZ --port 80`,
			fail: `An error occurred (ValidationError) when calling the CreateTargetGroup operation: 1 validation error detected: Value 'XYZ' at 'protocol' failed to satisfy constraint: Member must satisfy enum value set: [HTTP, HTTPS, TCP, TLS, UDP, TCP_UDP, GENEVE]`,
		},
		{
			args: `elbv2 describe-load-balancers --names a b`,
			out:  `{"LoadBalancers": []}`,
			got:  f.elb.get,
			want: &elbv2.DescribeLoadBalancersInput{Names: []string{"a", "b"}},
		},
		{
			args: `apigateway create-rest-api --name demo --endpoint-configuration types=REGIONAL --binary-media-types a/b`,
			out:  `{"id": "abc123", "name": "demo", "createdDate": 1700000000, "endpointConfiguration": {"types": ["REGIONAL"]}}`,
			got:  f.rest.get,
			want: &apigateway.CreateRestApiInput{Name: wire.Ptr("demo"), BinaryMediaTypes: []string{"a/b"},
				EndpointConfiguration: &apigateway.EndpointConfiguration{Types: []string{"REGIONAL"}}},
		},
		{
			args: `apigateway get-rest-apis`,
			out:  `{"items": []}`,
		},
		{
			args: `apigateway get-vpc-link --vpc-link-id zz9/%41`,
			fail: `An error occurred (NotFoundException) when calling the GetVpcLink operation: Invalid Vpc Link identifier specified`,
			got:  f.rest.get,
			want: &apigateway.GetVpcLinkInput{VpcLinkId: wire.Ptr("zz9/%41")},
		},
		{
			args: `apigateway tag-resource --resource-arn arn:aws:apigateway:us-east-1::/restapis/abc --tags a=b`,
			got:  f.rest.get,
			want: &apigateway.TagResourceInput{
				ResourceArn: wire.Ptr("arn:aws:apigateway:us-east-1::/restapis/abc"), Tags: map[string]string{"a": "b"}},
		},
		{
			args: `apigatewayv2 create-vpc-link --name l --subnet-ids s-1 s-2 --security-group-ids sg-1`,
			out: `{"Name": "l", "VpcLinkId": "xyz", "SubnetIds": ["s-1", "s-2"], "SecurityGroupIds": ["sg-1"],
				"VpcLinkStatus": "PENDING", "CreatedDate": "2023-11-14T22:13:20+00:00"}`,
			got: f.http.get,
			want: &apigatewayv2.CreateVpcLinkInput{Name: wire.Ptr("l"), SubnetIds: []string{"s-1", "s-2"},
				SecurityGroupIds: []string{"sg-1"}},
		},
		{
			args: `apigatewayv2 get-apis`,
			out:  `{"Items": []}`,
		},
		{
			args: `sts get-caller-identity`,
			out:  `{"Account": "123456789012", "UserId": "123456789012", "Arn": "arn:aws:iam::123456789012:root"}`,
		},
		{
			args: `dynamodb list-tables`,
			fail: `An error occurred (UnsupportedOperationException) when calling the ListTables operation: Isthmus does not serve the service dynamodb.`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			cmd := exec.Command(path, strings.Fields(tt.args)...)
			cmd.Args = append(cmd.Args, "--endpoint-url", srv.URL, "--output", "json")
			cmd.Env = append(os.Environ(), "HOME="+home, "AWS_CONFIG_FILE="+filepath.Join(home, "none"),
				"AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(home, "none"), "AWS_PAGER=",
				"AWS_ACCESS_KEY_ID=123456789012", "AWS_SECRET_ACCESS_KEY=x", "AWS_REGION=eu-west-1",
				"AWS_DEFAULT_REGION=eu-west-1", "AWS_EC2_METADATA_DISABLED=true")
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if msg := strings.TrimSpace(stderr.String()); tt.fail != "" {
				if err == nil || !strings.HasSuffix(msg, tt.fail) {
					t.Errorf("failed with %q, want %q", msg, tt.fail)
				}
			} else if err != nil {
				t.Fatalf("%v: %s", err, msg)
			}
			if tt.out != "" && !equalJSON(stdout.String(), tt.out) {
				t.Errorf("printed %s, want %s", stdout.String(), tt.out)
			}
			if tt.got != nil && !reflect.DeepEqual(tt.got(), tt.want) {
				t.Errorf("the server got %s, want %s", asJSON(tt.got()), asJSON(tt.want))
			}
		})
	}
}

// equalJSON compares what the CLI printed. Its versions print times in
// different ways.
func equalJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil &&
		reflect.DeepEqual(timesAsNumbers(x), timesAsNumbers(y))
}

func timesAsNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = timesAsNumbers(v[k])
		}
	case string:
		if t, err := time.Parse(time.RFC3339, v); err == nil {
			return float64(t.Unix())
		}
	}
	return v
}

func asJSON(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

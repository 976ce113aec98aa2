package ec2

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/service/sts"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
	wirests "github.com/isthmus-net/isthmus/internal/wire/sts"
)

// cli runs the real AWS CLI as an account against a service on loopback.
type cli struct {
	t       *testing.T
	url     string
	account string
}

func newCLI(t *testing.T, f fixture) cli {
	t.Helper()
	if _, err := exec.LookPath("aws"); err != nil {
		t.Fatal("the aws CLI is not installed; scripts/install-dependencies run installs it")
	}
	server := httptest.NewServer(wire.NewHandler(wire.Options{},
		wire.Service{API: ec2.API, Server: f.Service}, wire.Service{API: wirests.API, Server: sts.Service{}}))
	t.Cleanup(server.Close)
	return cli{t, server.URL, testAccount}
}

// run runs a command and returns its output and its error text.
func (c cli) run(args string, more ...string) (stdout, stderr string) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), "aws", append(strings.Fields(args), append(more, "--endpoint-url", c.url)...)...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+c.account, "AWS_SECRET_ACCESS_KEY=x", "AWS_REGION="+testRegion,
		"AWS_DEFAULT_REGION="+testRegion, "AWS_DEFAULT_OUTPUT=json", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1",
		"AWS_CONFIG_FILE="+filepath.Join(c.t.TempDir(), "none"), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(c.t.TempDir(), "none"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && errs.Len() == 0 {
		c.t.Fatalf("aws %s: %v", args, err)
	}
	return out.String(), errs.String()
}

// get runs a command that must succeed and returns a value of its answer by the
// names and indices that lead there.
func (c cli) get(path, args string, more ...string) string {
	c.t.Helper()
	out, errs := c.run(args, more...)
	if errs != "" {
		c.t.Fatalf("aws %s: %s", args, errs)
	}
	if path == "" {
		return out
	}
	var v any
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		c.t.Fatalf("aws %s: %v in %s", args, err, out)
	}
	for _, step := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			i := int(step[0] - '0')
			if i >= len(x) {
				c.t.Fatalf("aws %s: no %s in %s", args, path, out)
			}
			v = x[i]
		}
	}
	s, ok := v.(string)
	if !ok {
		b, _ := json.Marshal(v)
		return string(b)
	}
	return s
}

// fails runs a command that must fail with this code and message.
func (c cli) fails(code, message, args string, more ...string) {
	c.t.Helper()
	_, errs := c.run(args, more...)
	if !strings.Contains(errs, "("+code+")") || !strings.Contains(errs, message) {
		c.t.Errorf("aws %s: got %q, want %s: %s", args, errs, code, message)
	}
}

// TestCLI makes a network with the AWS CLI, looks at it, and takes it apart.
func TestCLI(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := newCLI(t, f)
	if got := c.get("Arn", "sts get-caller-identity"); got != "arn:aws:iam::"+testAccount+":root" {
		t.Errorf("caller %s", got)
	}
	vpc := c.get("Vpc.VpcId", "ec2 create-vpc --cidr-block 10.0.0.0/16 --tag-specifications", "ResourceType=vpc,Tags=[{Key=Name,Value=a b}]")
	c.fails("DryRunOperation", "Request would have succeeded", "ec2 create-vpc --cidr-block 10.0.0.0/16 --dry-run")
	c.get("", "ec2 modify-vpc-attribute --enable-dns-hostnames --vpc-id "+vpc)
	if got := c.get("EnableDnsHostnames.Value", "ec2 describe-vpc-attribute --attribute enableDnsHostnames --vpc-id "+vpc); got != "true" {
		t.Errorf("host names: %s", got)
	}
	if got := c.get("Vpcs.0.Tags.0.Value", "ec2 describe-vpcs --filters", "Name=tag:Name,Values=a*"); got != "a b" {
		t.Errorf("name %q", got)
	}
	subnet := c.get("Subnet.SubnetId", "ec2 create-subnet --cidr-block 10.0.1.0/24 --availability-zone us-east-1b --vpc-id "+vpc)
	c.fails("InvalidSubnet.Conflict", "The CIDR '10.0.1.0/25' conflicts with another subnet", "ec2 create-subnet --cidr-block 10.0.1.0/25 --vpc-id "+vpc)

	web := c.get("GroupId", "ec2 create-security-group --group-name web --description web --vpc-id "+vpc)
	db := c.get("GroupId", "ec2 create-security-group --group-name db --description db --vpc-id "+vpc)
	rule := c.get("SecurityGroupRules.0.SecurityGroupRuleId", "ec2 authorize-security-group-ingress --protocol tcp --port 80 --cidr 0.0.0.0/0 --group-id "+web)
	c.fails("InvalidPermission.Duplicate", `the specified rule "peer: 0.0.0.0/0, TCP, from port: 80, to port: 80, ALLOW" already exists`,
		"ec2 authorize-security-group-ingress --protocol tcp --port 80 --cidr 0.0.0.0/0 --group-id "+web)
	c.get("", "ec2 authorize-security-group-ingress --group-id "+db+" --ip-permissions",
		"IpProtocol=tcp,FromPort=5432,ToPort=5432,UserIdGroupPairs=[{GroupId="+web+",Description=from web}]",
		"IpProtocol=icmp,FromPort=8,ToPort=-1,IpRanges=[{CidrIp=10.0.0.0/16}]", "IpProtocol=-1,Ipv6Ranges=[{CidrIpv6=::/0}]")
	if got := c.get("SecurityGroups.0.IpPermissions.2.UserIdGroupPairs.0.Description", "ec2 describe-security-groups --group-ids "+db); got != "from web" {
		t.Errorf("description of a rule: %q", got)
	}
	if got := c.get("SecurityGroupRules.0.CidrIpv4", "ec2 describe-security-group-rules --security-group-rule-ids "+rule); got != "0.0.0.0/0" {
		t.Errorf("rule: %q", got)
	}

	eni := c.get("NetworkInterface.NetworkInterfaceId", "ec2 create-network-interface --private-ip-address 10.0.1.9 --groups "+db+" --description x --subnet-id "+subnet)
	if got := c.get("NetworkInterfaces.0.PrivateDnsName", "ec2 describe-network-interfaces --filters Name=group-id,Values="+db); got != "ip-10-0-1-9.ec2.internal" {
		t.Errorf("name of the interface: %q", got)
	}
	c.fails("InvalidIPAddress.InUse", "Address 10.0.1.9 is in use.", "ec2 create-network-interface --private-ip-address 10.0.1.9 --subnet-id "+subnet)
	c.fails("InvalidParameterValue", "The filter 'nonsense' is invalid", "ec2 describe-network-interfaces --filters Name=nonsense,Values=1")
	c.fails("DependencyViolation", "The subnet '"+subnet+"' has dependencies and cannot be deleted.", "ec2 delete-subnet --subnet-id "+subnet)
	c.fails("DependencyViolation", "resource "+web+" has a dependent object", "ec2 delete-security-group --group-id "+web)

	igw := c.get("InternetGateway.InternetGatewayId", "ec2 create-internet-gateway")
	c.get("", "ec2 attach-internet-gateway --vpc-id "+vpc+" --internet-gateway-id "+igw)
	table := c.get("RouteTables.0.RouteTableId", "ec2 describe-route-tables --filters Name=vpc-id,Values="+vpc)
	c.get("", "ec2 create-route --destination-cidr-block 0.0.0.0/0 --gateway-id "+igw+" --route-table-id "+table)
	if got := c.get("RouteTables.0.Routes.1.State", "ec2 describe-route-tables --route-table-ids "+table); got != "active" {
		t.Errorf("route %q", got)
	}
	if got := c.get("NetworkAcls.0.Associations.0.SubnetId", "ec2 describe-network-acls --filters Name=vpc-id,Values="+vpc); got != subnet {
		t.Errorf("subnet of the ACL: %q", got)
	}

	// Pages, put together by the CLI.
	var more []string
	for range 6 {
		more = append(more, f.eni(f.ctx, subnet))
	}
	var all struct{ NetworkInterfaces []any }
	if err := json.Unmarshal([]byte(c.get("", "ec2 describe-network-interfaces --page-size 5")), &all); err != nil || len(all.NetworkInterfaces) != 7 {
		t.Errorf("%d interfaces in pages, want 7: %v", len(all.NetworkInterfaces), err)
	}

	// Another account sees none of it.
	stranger := c
	stranger.account = otherAccount
	stranger.fails("InvalidVpcID.NotFound", "The vpc ID '"+vpc+"' does not exist", "ec2 delete-vpc --vpc-id "+vpc)

	c.get("", "ec2 revoke-security-group-ingress --group-id "+db+" --ip-permissions",
		"IpProtocol=tcp,FromPort=5432,ToPort=5432,UserIdGroupPairs=[{GroupId="+web+"}]")
	for _, n := range more {
		must[*ec2.DeleteNetworkInterfaceOutput](t)(f.DeleteNetworkInterface(f.ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: &n}))
	}
	c.get("", "ec2 delete-network-interface --network-interface-id "+eni)
	c.fails("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '"+eni+"' does not exist", "ec2 delete-network-interface --network-interface-id "+eni)
	for _, args := range []string{
		"delete-security-group --group-id " + db, "delete-security-group --group-id " + web, "delete-subnet --subnet-id " + subnet,
		"detach-internet-gateway --vpc-id " + vpc + " --internet-gateway-id " + igw, "delete-internet-gateway --internet-gateway-id " + igw,
		"delete-vpc --vpc-id " + vpc,
	} {
		c.get("", "ec2 "+args)
	}
	if got := c.get("Vpcs", "ec2 describe-vpcs"); got != "[]" {
		t.Errorf("VPCs that are left: %s", got)
	}
}

// TestCLIPrivateLink makes an endpoint service and connects to it with the AWS
// CLI.
func TestCLIPrivateLink(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	provider := newCLI(t, f)
	consumer := provider
	consumer.account = otherAccount
	arn := f.balancer("one", "a")
	service := provider.get("ServiceConfiguration.ServiceId", "ec2 create-vpc-endpoint-service-configuration --acceptance-required --network-load-balancer-arns "+arn)
	provider.get("", "ec2 modify-vpc-endpoint-service-permissions --service-id "+service+" --add-allowed-principals arn:aws:iam::"+otherAccount+":root")
	name := "com.amazonaws.vpce." + testRegion + "." + service
	if got := consumer.get("ServiceDetails.0.Owner", "ec2 describe-vpc-endpoint-services --service-names "+name); got != testAccount {
		t.Errorf("owner %s", got)
	}
	vpc := consumer.get("Vpc.VpcId", "ec2 create-vpc --cidr-block 10.0.0.0/16")
	subnet := consumer.get("Subnet.SubnetId", "ec2 create-subnet --cidr-block 10.0.0.0/24 --vpc-id "+vpc)
	endpoint := consumer.get("VpcEndpoint.VpcEndpointId", "ec2 create-vpc-endpoint --vpc-endpoint-type Interface --vpc-id "+vpc+" --subnet-ids "+subnet+" --service-name "+name)
	if got := provider.get("VpcEndpointConnections.0.VpcEndpointState", "ec2 describe-vpc-endpoint-connections --filters Name=service-id,Values="+service); got != "pendingAcceptance" {
		t.Errorf("state %s", got)
	}
	if got := provider.get("Unsuccessful", "ec2 accept-vpc-endpoint-connections --service-id "+service+" --vpc-endpoint-ids "+endpoint); got != "[]" {
		t.Errorf("not accepted: %s", got)
	}
	if got := consumer.get("VpcEndpoints.0.State", "ec2 describe-vpc-endpoints --vpc-endpoint-ids "+endpoint); got != "pending" {
		t.Errorf("state %s", got)
	}
	if got := provider.get("Unsuccessful.0.Error.Code", "ec2 delete-vpc-endpoint-service-configurations --service-ids "+service); got != "ExistingVpcEndpointConnections" {
		t.Errorf("delete a service in use: %s", got)
	}
	consumer.get("Unsuccessful", "ec2 delete-vpc-endpoints --vpc-endpoint-ids "+endpoint)
	provider.get("Unsuccessful", "ec2 delete-vpc-endpoint-service-configurations --service-ids "+service)
}

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// locations of the backend of a private API: what it is told of the caller, and
// a way on to whom the header x-far names.
const privateLocations = `
    location /seen { return 200 "$remote_addr|$http_x_amzn_vpce_id|$http_x_amzn_vpc_id|$http_x_amzn_vpce_config|$http_x_forwarded_for|$http_x_forwarded_proto"; }
    location /far { proxy_pass http://$http_x_far; }`

const forbidden = `403 {"message":"Forbidden"}`

// TestPrivateAPI: callers in one account, the API and its backend in another,
// a stranger and a further backend in a third; all networks with the same
// addresses.
func TestPrivateAPI(t *testing.T) {
	m := start(t)
	a, c := newCallerVPC(t, m, accountA), newCallerVPC(t, m, accountC)
	b := site(t, m, accountB, machine.SiteOptions{Locations: privateLocations})
	api := overV1(t, b)
	patch(t, b.AWS, api.ID, "/endpointConfiguration/types/0", "PRIVATE", "/endpointConfiguration/vpcEndpointIds", a.endpoint,
		"/policy", policyOf(allowAll(), denyIf("StringNotEquals", "aws:SourceVpce", a.endpoint)))
	deploy(t, b.AWS, api.ID)

	host := api.ID + ".execute-api.us-east-1.amazonaws.com"
	url := "https://" + host + "/prod"
	arn := func(path string) string {
		return fmt.Sprintf("arn:aws:execute-api:us-east-1:********%s:%s/prod/GET%s", accountB[8:], api.ID, path)
	}
	denied := func(path string) string {
		return `403 {"Message":"User: anonymous is not authorized to perform: execute-api:Invoke on resource: ` + arn(path) + ` with an explicit deny"}`
	}
	// want calls until the answer is as wanted: a change reaches the gateway a
	// moment after it was acknowledged.
	want := func(t *testing.T, x *callerVPC, answer, url string, options ...string) {
		t.Helper()
		if err := machine.Until(t.Context(), 10*time.Second, func() (bool, string, error) {
			got := x.call(t, m, 0, "10.0.1.77", url, options...)
			return got == answer, got, nil
		}); err != nil {
			t.Errorf("%s %q: want %s: %v", url, options, answer, err)
		}
	}
	seen := func(from, proto string) string {
		return "200 " + strings.Join([]string{b.Node, a.endpoint, a.vpc, "1", from, proto}, "|")
	}
	want(t, a, seen("10.0.1.77", "https"), url+"/seen")

	t.Run("each way to call, in each zone", func(t *testing.T) {
		for _, way := range []struct {
			url     string
			options []string
		}{
			{url + "/seen", nil},
			{"https://" + api.ID + "-" + a.endpoint + ".execute-api.us-east-1.amazonaws.com/prod/seen", nil},
			{"https://" + a.name + "/prod/seen", []string{"-H", "Host: " + host}},
			{"https://" + a.name + "/prod/seen", []string{"-H", "x-apigw-api-id: " + api.ID}},
			{"http://" + host + "/prod/seen", nil},
		} {
			for zone, from := range []string{"10.0.1.70", "10.0.2.70"} {
				proto, _, _ := strings.Cut(way.url, ":")
				if got := a.call(t, m, zone, from, way.url, way.options...); got != seen(from, proto) {
					t.Errorf("%s %q in zone %d: %s", way.url, way.options, zone, got)
				}
			}
		}
	})
	t.Run("over HTTP/2, unless the client wants none", func(t *testing.T) {
		for _, version := range []string{"2", "1.1"} {
			from, option := "10.0.1.71", "--http"+version
			if got := a.call(t, m, 0, from, url+"/seen", option, "-w", " HTTP/%{http_version} %{http_code}"); got != seen(from, "https")+" HTTP/"+version {
				t.Errorf("%s: %s", option, got)
			}
		}
	})
	t.Run("forged headers have no effect", func(t *testing.T) {
		forged := []string{"-H", "x-amzn-vpce-id: " + c.endpoint, "-H", "X-Amzn-Vpc-Id: " + c.vpc, "-H", "x-amzn-vpce-config: 0", "-H", "X-Forwarded-For: 10.9.9.9"}
		want(t, a, seen("10.0.1.77", "https"), url+"/seen", forged...)
		forged[1], forged[3] = "x-amzn-vpce-id: "+a.endpoint, "X-Amzn-Vpc-Id: "+a.vpc
		want(t, c, denied("/seen"), url+"/seen", forged...)
	})
	t.Run("what does not exist", func(t *testing.T) {
		for _, path := range []string{"/", "/none/seen"} {
			want(t, a, `403 {"message":"Missing Authentication Token"}`, "https://"+host+path)
		}
		want(t, a, forbidden, "https://abcdefghij.execute-api.us-east-1.amazonaws.com/prod/seen")
		want(t, a, forbidden, "https://"+a.name+"/prod/seen")
		want(t, a, forbidden, "https://"+a.name+"/prod/seen", "-H", "Host: localhost")
	})
	t.Run("nobody else reaches it", func(t *testing.T) {
		want(t, c, denied("/seen"), url+"/seen")
		for _, guess := range []string{a.endpoint, c.endpoint} {
			want(t, c, forbidden, "https://"+api.ID+"-"+guess+".execute-api.us-east-1.amazonaws.com/prod/seen")
		}
		want(t, a, forbidden, "https://"+api.ID+"-"+c.endpoint+".execute-api.us-east-1.amazonaws.com/prod/seen")
		public := m.Client()
		defer public.CloseIdleConnections()
		for _, guess := range []string{api.ID, api.ID + "-" + a.endpoint} {
			for _, domain := range []string{"localhost:8080", "us-east-1.amazonaws.com:8080"} {
				r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+guess+".execute-api."+domain+"/prod/seen", nil)
				r.Header.Set("x-amzn-vpce-id", a.endpoint)
				r.Header.Set("x-apigw-api-id", api.ID)
				resp, err := public.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != 403 {
					t.Errorf("the public gateway answers %s to %s", resp.Status, guess)
				}
			}
		}
		curl := []string{"curl", "-sS", "-m", "2", "-k", "-o", "/dev/null", "--connect-to", "::" + a.addresses[0] + ":", url + "/seen"}
		atNode := []string{"curl", "-sS", "-m", "2", "http://" + nodeOf(t, m, a) + "/"}
		other := emptyVPC(t, m)
		for who, cmd := range map[string]interface{ CombinedOutput() ([]byte, error) }{
			"the machine":                  m.Command(t.Context(), curl[0], curl[1:]...),
			"a VPC without an endpoint":    m.Run(t.Context(), accountC, subnet(t, other, "10.0.1.0/24"), "", nil, curl...),
			"the VPC of the API's backend": m.Run(t.Context(), accountB, b.Subnet, "", nil, curl...),
			"API Gateway's own interface":  m.Isthmus(t.Context(), "exec", append([]string{"gateway", "--"}, atNode...)...),
			"the health checker":           m.Isthmus(t.Context(), "exec", append([]string{"health", "--"}, atNode...)...),
		} {
			if out, err := cmd.CombinedOutput(); err == nil {
				t.Errorf("%s: answered %s", who, out)
			}
		}
	})
	t.Run("a public API is refused, and the log says why", func(t *testing.T) {
		open, err := b.REST(t.Context(), api.Link)
		if err != nil {
			t.Fatal(err)
		}
		answers(t, m, "http://"+open+".execute-api.localhost:8080/prod/seen", 200, b.Node+"||||127.0.0.1|http")
		want(t, a, forbidden, "https://"+open+".execute-api.us-east-1.amazonaws.com/prod/seen")
		m.Logged(t, "API "+open+" is public, and "+a.endpoint+" leads to private APIs only")
	})
	t.Run("policies of the caller's address need a deployment", func(t *testing.T) {
		patch(t, b.AWS, api.ID, "/policy", policyOf(allowAll(), denyIf("NotIpAddress", "aws:VpcSourceIp", "10.0.1.64/28")))
		if got := a.call(t, m, 0, "10.0.1.99", url+"/seen"); got != seen("10.0.1.99", "https") {
			t.Errorf("before the deployment: %s", got)
		}
		deploy(t, b.AWS, api.ID)
		if err := machine.Until(t.Context(), 10*time.Second, func() (bool, string, error) {
			got := a.call(t, m, 0, "10.0.1.99", url+"/seen")
			return got == denied("/seen"), got, nil
		}); err != nil {
			t.Error(err)
		}
		want(t, a, seen("10.0.1.77", "https"), url+"/seen")
		want(t, c, "200 "+strings.Join([]string{b.Node, c.endpoint, c.vpc, "1", "10.0.1.77", "https"}, "|"), url+"/seen")
	})
	t.Run("the endpoint's policy must allow too", func(t *testing.T) {
		modify := func(in ec2.ModifyVpcEndpointInput) {
			t.Helper()
			in.VpcEndpointId = &a.endpoint
			if _, err := a.aws.EC2.ModifyVpcEndpoint(t.Context(), &in); err != nil {
				t.Fatal(err)
			}
		}
		modify(ec2.ModifyVpcEndpointInput{PolicyDocument: aws.String(strings.ReplaceAll(
			policyOf(allowAll()), "execute-api:/*", "arn:aws:execute-api:us-east-1:"+accountB+":"+api.ID+"/prod/GET/other"))})
		want(t, a, strings.TrimSuffix(denied("/seen"), ` with an explicit deny"}`)+`"}`, url+"/seen")
		m.Logged(t, "the policy of endpoint "+a.endpoint)
		want(t, a, fmt.Sprintf("200 %s %s /other", accountB, b.Node), url+"/other")
		modify(ec2.ModifyVpcEndpointInput{ResetPolicy: aws.Bool(true)})
		want(t, a, seen("10.0.1.77", "https"), url+"/seen")
	})
	t.Run("the endpoint's security group stops packets, and the trace says so", func(t *testing.T) {
		rule := a.port(443)
		if _, err := a.aws.EC2.RevokeSecurityGroupIngress(t.Context(), &ec2.RevokeSecurityGroupIngressInput{GroupId: &a.group, IpPermissions: rule}); err != nil {
			t.Fatal(err)
		}
		want(t, a, "", url+"/seen", "-m", "1")
		n, err := a.aws.EC2.CreateNetworkInterface(t.Context(), &ec2.CreateNetworkInterfaceInput{SubnetId: &a.subnets[0]})
		if err != nil {
			t.Fatal(err)
		}
		out, _ := m.Isthmus(t.Context(), "trace", "--from", *n.NetworkInterface.NetworkInterfaceId, "--to", a.addresses[0]+":443").CombinedOutput()
		if cause := "sg-ingress: " + a.group; !strings.Contains(string(out), cause) {
			t.Errorf("the trace does not say %q:\n%s", cause, out)
		}
		if status := output(t, m.Isthmus(t.Context(), "status")); !strings.Contains(status, "sg-ingress") {
			t.Errorf("no drop was counted:\n%s", status)
		}
		if _, err := a.aws.EC2.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &a.group, IpPermissions: rule}); err != nil {
			t.Fatal(err)
		}
		want(t, a, seen("10.0.1.77", "https"), url+"/seen")
	})
	t.Run("a backend in a third account", func(t *testing.T) { thirdAccount(t, m, a, b, want, url) })
	t.Run("from private to regional and back", func(t *testing.T) {
		patch(t, b.AWS, api.ID, "/endpointConfiguration/types/0", "REGIONAL", "/policy", "")
		deploy(t, b.AWS, api.ID)
		answers(t, m, api.URL+"/seen", 200, b.Node+"||||127.0.0.1|http")
		want(t, a, forbidden, url+"/seen")
		patch(t, b.AWS, api.ID, "/endpointConfiguration/types/0", "PRIVATE", "/policy", policyOf(allowAll()))
		deploy(t, b.AWS, api.ID)
		want(t, a, seen("10.0.1.77", "https"), url+"/seen")
		answers(t, m, api.URL+"/seen", 403, `{"message":"Forbidden"}`)
	})
}

// TestPublicAPIThroughEndpoint: by configuration, public APIs are called
// through endpoints; by default they are not, which TestPrivateAPI shows.
func TestPublicAPIThroughEndpoint(t *testing.T) {
	m := start(t, "--public-through-endpoints")
	a := newCallerVPC(t, m, accountA)
	b := site(t, m, accountB, machine.SiteOptions{Locations: privateLocations})
	api := overV1(t, b)
	answers(t, m, api.URL+"/seen", 200, b.Node+"||||127.0.0.1|http")
	url := "https://" + api.ID + ".execute-api.us-east-1.amazonaws.com/prod/seen"
	want := "200 " + strings.Join([]string{b.Node, a.endpoint, a.vpc, "1", "10.0.1.77", "https"}, "|")
	if got := a.call(t, m, 0, "10.0.1.77", url, "-H", "x-amzn-vpce-id: vpce-0", "-H", "X-Forwarded-For: 10.9.9.9"); got != want {
		t.Errorf("through the endpoint: %s, want %s", got, want)
	}
	// The name that holds an endpoint is one of private APIs.
	other := "https://" + api.ID + "-" + a.endpoint + ".execute-api.us-east-1.amazonaws.com/prod/seen"
	if got := a.call(t, m, 0, "10.0.1.77", other); got != forbidden {
		t.Errorf("by the name of the API and the endpoint: %s", got)
	}
}

// nodeOf is the address in API Gateway's VPC that stands for an endpoint.
func nodeOf(t *testing.T, m *machine.Machine, c *callerVPC) string {
	t.Helper()
	n, err := m.AWS("392220576650").EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: aws.String("description"), Values: []string{"Isthmus node of " + c.endpoint}},
	}})
	if err != nil || len(n.NetworkInterfaces) != 2 {
		t.Fatalf("nodes of %s: %v, %v", c.endpoint, n, err)
	}
	return *n.NetworkInterfaces[0].PrivateIpAddress
}

// thirdAccount: the backend of the API's account calls a service of another one
// by PrivateLink, so that caller, API and backend are in three accounts.
func thirdAccount(t *testing.T, m *machine.Machine, a *callerVPC, b *machine.Site, want func(*testing.T, *callerVPC, string, string, ...string), url string) {
	c := site(t, m, accountC, machine.SiteOptions{})
	service, err := c.AWS.EC2.CreateVpcEndpointServiceConfiguration(t.Context(), &ec2.CreateVpcEndpointServiceConfigurationInput{
		NetworkLoadBalancerArns: []string{c.LoadBalancer}, AcceptanceRequired: aws.Bool(false),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AWS.EC2.ModifyVpcEndpointServicePermissions(t.Context(), &ec2.ModifyVpcEndpointServicePermissionsInput{
		ServiceId: service.ServiceConfiguration.ServiceId, AddAllowedPrincipals: []string{"arn:aws:iam::" + accountB + ":root"},
	}); err != nil {
		t.Fatal(err)
	}
	e, err := b.AWS.EC2.CreateVpcEndpoint(t.Context(), &ec2.CreateVpcEndpointInput{
		VpcId: &b.VPC, ServiceName: service.ServiceConfiguration.ServiceName, VpcEndpointType: ec2types.VpcEndpointTypeInterface,
		SubnetIds: []string{b.Subnet}, SecurityGroupIds: []string{b.Group}, // lets the subnet in on port 80
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := b.AWS.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: e.VpcEndpoint.NetworkInterfaceIds})
	if err != nil {
		t.Fatal(err)
	}
	want(t, a, fmt.Sprintf("200 %s %s /far", accountC, c.Node), url+"/far", "-H", "x-far: "+*n.NetworkInterfaces[0].PrivateIpAddress)
}

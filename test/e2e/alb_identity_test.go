package e2e

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/golang-jwt/jwt/v5"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestALBIdentity: users log in with an OpenID provider that stands behind a
// load balancer of its own, in the same VPC.
func TestALBIdentity(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{})
	b := newBalancer(t, a)
	allow(t, a, b.ownGroup, fromCIDR("tcp", 443, 443, "10.0.0.0/16"))
	red := b.addTarget(t, m, "red")
	group := b.group(t, "red", red)
	client := addHost(t, m, accountA, a.Subnet, "", nil)
	p := newProvider(t, m, b, client)
	certificate := requestCertificate(t, a, "shop.example")
	created, err := a.AWS.ELB.CreateListener(t.Context(), &elbv2.CreateListenerInput{
		LoadBalancerArn: &b.arn, Protocol: elbtypes.ProtocolEnumHttps, Port: aws.Int32(443), DefaultActions: []elbtypes.Action{forwardTo(group)},
		Certificates: []elbtypes.Certificate{{CertificateArn: &certificate}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.listener = *created.Listeners[0].ListenerArn
	authority := readable(t, m, "acm.pem", []byte(output(t, m.Isthmus(t.Context(), "ca", "--acm"))))
	jar := filepath.Join(p.dir, "jar")
	// stranger has curl ask for a path at a node, and ask with the cookies that
	// it has.
	stranger := func(node albNode, path string, more ...string) []string {
		return append([]string{"https://shop.example" + path, "--resolve", "shop.example:443:" + node.address, "--cacert", authority}, more...)
	}
	ask := func(node albNode, path string, more ...string) []string {
		return stranger(node, path, append(more, "-b", jar, "-c", jar)...)
	}
	code := []string{"-o", "/dev/null", "-w", "%{http_code} %{redirect_url}"}
	nodes := b.nodes

	logIn := elbtypes.Action{Type: elbtypes.ActionTypeEnumAuthenticateOidc, Order: aws.Int32(1), AuthenticateOidcConfig: &elbtypes.AuthenticateOidcActionConfig{
		Issuer: aws.String(p.issuer), AuthorizationEndpoint: aws.String(p.issuer + "/auth"), TokenEndpoint: aws.String(p.issuer + "/oauth/token"),
		UserInfoEndpoint: aws.String(p.issuer + "/userinfo"), ClientId: aws.String(providerClient), ClientSecret: aws.String(providerSecret),
		Scope: aws.String("openid email offline_access"),
	}}
	rule := b.guard(t, 10, "/user*", logIn, group)
	login := func(path string) (page string) {
		t.Helper()
		args := ask(nodes[0], path, "-L", "-o", "/dev/null", "-w", "%{url_effective}")
		at := output(t, client.curl(t.Context(), args[0], args[1:]...))
		u, err := url.Parse(at)
		if err != nil || u.Query().Get("authRequestID") == "" {
			t.Fatalf("the client was sent to %q: %v", at, err)
		}
		form := []string{"-L", "--data-urlencode", "username=test-user@" + u.Hostname(), "--data-urlencode", "password=verysecure", "--data-urlencode", "id=" + u.Query().Get("authRequestID")}
		args = ask(nodes[0], "", form...)
		out, _ := machine.Output(client.exec(t.Context(), append([]string{"curl", "-sS", "-w", "\n%{http_code}", p.issuer + "/login/username"}, args[1:]...)...))
		return out
	}

	t.Run("who has not logged in is sent to the provider", func(t *testing.T) {
		b.answers(t, client, "302 "+p.issuer+"/auth?client_id="+providerClient, ask(nodes[0], "/user?a=b", code...))
		b.answers(t, client, "red ", ask(nodes[0], "/"))
	})
	t.Run("the load balancer can't reach the provider", func(t *testing.T) {
		// The client can, which is in the VPC; the group allows nobody else.
		if page := login("/user?a=b"); !strings.HasSuffix(page, "500") {
			t.Errorf("the client saw %q", page)
		}
		m.Logged(t, "AuthTokenEpRequestTimeout")
		m.Logged(t, "sg-ingress: "+p.group)
		allow(t, a, p.group, fromGroup("tcp", 443, 443, b.ownGroup))
	})
	var token string
	t.Run("log in", func(t *testing.T) {
		var seen string
		err := machine.Until(t.Context(), patience, func() (bool, string, error) {
			seen = login("/user?a=b")
			return strings.Contains(seen, "red identity=id1"), seen, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var data string
		for line := range strings.Lines(seen) {
			if value, ok := strings.CutPrefix(line, "data="); ok {
				data = strings.TrimSpace(value)
			} else if value, ok := strings.CutPrefix(line, "token="); ok {
				token = strings.TrimSpace(value)
			}
		}
		verifyData(t, m, b, p, data)
	})
	t.Run("the session is good at both nodes, and survives their processes", func(t *testing.T) {
		for _, n := range nodes {
			b.answers(t, client, "red identity=id1", ask(n, "/user", "-H", "x-amzn-oidc-identity: root"))
		}
		kill(t, nodes[0].eni, nodeProcess(t, m, nodes[0].eni))
		b.answers(t, client, "red identity=id1", ask(nodes[0], "/user"))
	})
	t.Run("without a session", func(t *testing.T) {
		for _, c := range []struct {
			on   elbtypes.AuthenticateOidcActionConditionalBehaviorEnum
			want string
		}{
			{elbtypes.AuthenticateOidcActionConditionalBehaviorEnumDeny, "401 "},
			{elbtypes.AuthenticateOidcActionConditionalBehaviorEnumAllow, "200 "},
		} {
			changed := *logIn.AuthenticateOidcConfig
			changed.OnUnauthenticatedRequest, changed.ClientSecret, changed.UseExistingClientSecret = c.on, nil, aws.Bool(true)
			if _, err := a.AWS.ELB.ModifyRule(t.Context(), &elbv2.ModifyRuleInput{RuleArn: &rule, Actions: []elbtypes.Action{
				{Type: logIn.Type, Order: logIn.Order, AuthenticateOidcConfig: &changed}, last(group),
			}}); err != nil {
				t.Fatal(err)
			}
			// -f makes curl fail for 401.
			b.answers(t, client, c.want, stranger(nodes[0], "/user", append([]string{"--no-fail"}, code...)...))
			b.answers(t, client, "red identity=id1", ask(nodes[0], "/user"))
		}
	})
	t.Run("a bearer token", func(t *testing.T) {
		b.guard(t, 5, "/user/api", elbtypes.Action{Type: elbtypes.ActionTypeEnumJwtValidation, Order: aws.Int32(1), JwtValidationConfig: &elbtypes.JwtValidationActionConfig{
			Issuer: aws.String(p.issuer), JwksEndpoint: aws.String(p.issuer + "/keys"),
			AdditionalClaims: []elbtypes.JwtValidationActionAdditionalClaim{{Name: aws.String("aud"), Format: elbtypes.JwtValidationActionAdditionalClaimFormatEnumStringArray, Values: []string{providerClient}}},
		}}, group)
		b.answers(t, client, "401 ", ask(nodes[0], "/user/api", append([]string{"--no-fail"}, code...)...))
		b.answers(t, client, "red identity=\n", ask(nodes[0], "/user/api", "-H", "Authorization: Bearer "+token, "-H", "x-amzn-oidc-identity: root"))
		b.answers(t, client, "401 ", ask(nodes[0], "/user/api", append([]string{"--no-fail", "-H", "Authorization: Bearer " + token[:len(token)-9] + "AAAAAAAAA"}, code...)...))
		m.Logged(t, "JWTSignatureValidationError")
	})
	t.Run("secrets are nowhere but where they belong", func(t *testing.T) {
		shown, err := a.AWS.ELB.DescribeRules(t.Context(), &elbv2.DescribeRulesInput{RuleArns: []string{rule}})
		if err != nil {
			t.Fatal(err)
		}
		if c := shown.Rules[0].Actions[0].AuthenticateOidcConfig; c.ClientSecret != nil || *c.ClientId != providerClient {
			t.Errorf("the rule shows %+v", c)
		}
		for _, secret := range []string{providerSecret, token, "PRIVATE KEY"} {
			if secret == "" || strings.Contains(m.Log(), secret) {
				t.Errorf("the log holds %.20q", secret)
			}
		}
	})
}

// guard adds a rule for paths, whose first action lets requests pass.
func (b *balancer) guard(t *testing.T, priority int32, path string, before elbtypes.Action, group string) (rule string) {
	t.Helper()
	r, err := b.site.AWS.ELB.CreateRule(t.Context(), &elbv2.CreateRuleInput{
		ListenerArn: &b.listener, Priority: &priority, Actions: []elbtypes.Action{before, last(group)},
		Conditions: []elbtypes.RuleCondition{{Field: aws.String("path-pattern"), Values: []string{path}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return *r.Rules[0].RuleArn
}

// last forwards after another action.
func last(group string) elbtypes.Action {
	a := forwardTo(group)
	a.Order = aws.Int32(2)
	return a
}

// provider is an OpenID provider behind an Application Load Balancer, whose
// security group allows one client only.
type provider struct{ issuer, group, dir string }

const providerClient, providerSecret = "shop", "verysecret-of-shop"

func newProvider(t *testing.T, m *machine.Machine, b *balancer, client *host) provider {
	t.Helper()
	dir, err := os.MkdirTemp(m.Dir, "provider")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // curl is nobody
		t.Fatal(err)
	}
	program := filepath.Join(dir, "oidcprovider")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = filepath.Join("..", "oidcprovider")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the provider: %v: %s", err, out)
	}
	s := b.site
	p := provider{group: addGroup(t, s, "provider"), dir: dir}
	subnets, err := s.AWS.EC2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{Filters: []ec2types.Filter{{Name: aws.String("vpc-id"), Values: []string{s.VPC}}}})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, subnet := range subnets.Subnets {
		ids = append(ids, *subnet.SubnetId)
	}
	lb, err := s.AWS.ELB.CreateLoadBalancer(t.Context(), &elbv2.CreateLoadBalancerInput{
		Name: aws.String("idp"), Type: elbtypes.LoadBalancerTypeEnumApplication, Scheme: elbtypes.LoadBalancerSchemeEnumInternal,
		Subnets: ids, SecurityGroups: []string{p.group},
	})
	if err != nil {
		t.Fatal(err)
	}
	own := &balancer{site: s, arn: *lb.LoadBalancers[0].LoadBalancerArn}
	_, tail, _ := strings.Cut(own.arn, ":loadbalancer/")
	n, err := s.AWS.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: aws.String("description"), Values: []string{"ELB " + tail}},
	}})
	if err != nil || len(n.NetworkInterfaces) == 0 {
		t.Fatalf("interfaces of the provider's balancer: %+v, %v", n, err)
	}
	if _, err := s.AWS.EC2.ModifyVpcAttribute(t.Context(), &ec2.ModifyVpcAttributeInput{
		VpcId: &s.VPC, EnableDnsHostnames: &ec2types.AttributeBooleanValue{Value: aws.Bool(true)},
	}); err != nil {
		t.Fatal(err)
	}
	const name = "idp.web.shop"
	newCloudMap(t, s).register(t, "idp", *n.NetworkInterfaces[0].PrivateIpAddress, "")
	p.issuer = "https://" + name
	allow(t, s, b.targetsGroup, fromGroup("tcp", 8080, 8080, p.group))
	op := addHost(t, m, s.AWS.Account, s.Subnet, b.targetsGroup, nil, program,
		"-issuer", p.issuer, "-client", providerClient, "-secret", providerSecret, "-redirect", "https://shop.example/oauth2/idpresponse")
	certificate := requestCertificate(t, s, name)
	if _, err := s.AWS.ELB.CreateListener(t.Context(), &elbv2.CreateListenerInput{
		LoadBalancerArn: &own.arn, Protocol: elbtypes.ProtocolEnumHttps, Port: aws.Int32(443), DefaultActions: []elbtypes.Action{forwardTo(own.group(t, "idp", op))},
		Certificates: []elbtypes.Certificate{{CertificateArn: &certificate}},
	}); err != nil {
		t.Fatal(err)
	}
	allow(t, s, p.group, fromCIDR("tcp", 443, 443, client.address+"/32"))
	return p
}

// verifyData verifies the claims that a target was sent, as a target would.
func verifyData(t *testing.T, m *machine.Machine, b *balancer, p provider, data string) {
	t.Helper()
	parts := strings.Split(data, ".")
	if len(parts) != 3 {
		t.Fatalf("the target was sent the data %q", data)
	}
	var header, claims map[string]any
	for i, to := range []*map[string]any{&header, &claims} {
		text, err := base64.URLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, to); err != nil {
			t.Fatal(err)
		}
	}
	if header["signer"] != b.arn || header["client"] != providerClient || header["iss"] != p.issuer || claims["sub"] != "id1" || claims["email"] != "test-user@zitadel.ch" {
		t.Errorf("header %v, claims %v", header, claims)
	}
	id, _ := header["kid"].(string)
	text := output(t, m.Command(t.Context(), "curl", "-sSf", "-H", "Host: public-keys.auth.elb."+machine.Region+".amazonaws.com", "http://127.0.0.1:4566/"+id))
	block, _ := pem.Decode([]byte(text + "\n"))
	if block == nil {
		t.Fatalf("the public key is %q", text)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := base64.URLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := jwt.SigningMethodES256.Verify(parts[0]+"."+parts[1], signature, key.(*ecdsa.PublicKey)); err != nil {
		t.Error(err)
	}
}

package elbv2

import (
	"slices"
	"strconv"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// certificate stores a certificate, which this service only refers to.
func (f *fixture) certificate(owner, id string) string {
	f.t.Helper()
	c := &resource.Certificate{Meta: resource.Meta{Account: owner, Region: region}, ARN: "arn:aws:acm:" + region + ":" + owner + ":certificate/" + id}
	f.update(func(tx *store.Tx) error {
		store.Certificates.Put(tx, c)
		return nil
	})
	return c.ARN
}

func overHTTPS(certificate string) func(*api.CreateListenerInput) {
	return func(in *api.CreateListenerInput) {
		in.Protocol, in.Certificates = wire.Ptr("HTTPS"), []*api.Certificate{{CertificateArn: &certificate}}
	}
}

func TestHTTPSListener(t *testing.T) {
	f := newRules(t)
	first, second, third := f.certificate(account, "1"), f.certificate(account, "2"), f.certificate(account, "3")
	in := listenerInput(f.lb.LoadBalancerArn, f.targets.TargetGroupArn, 443, overHTTPS(first))
	made := must[*api.CreateListenerOutput](t)(f.CreateListener(f.ctx, in)).Listeners[0]
	if *made.SslPolicy != "ELBSecurityPolicy-2016-08" || len(made.Certificates) != 1 || *made.Certificates[0].CertificateArn != first || *made.MutualAuthentication.Mode != "off" {
		t.Errorf("made %+v", made)
	}
	if again := must[*api.CreateListenerOutput](t)(f.CreateListener(f.ctx, in)).Listeners[0]; *again.ListenerArn != *made.ListenerArn {
		t.Error("the same listener was made twice")
	}
	_, err := f.CreateListener(f.ctx, listenerInput(f.lb.LoadBalancerArn, f.targets.TargetGroupArn, 443, overHTTPS(second)))
	wantError(t, err, "DuplicateListener", "port")

	list := func(arns ...string) (out []*api.Certificate) {
		for _, arn := range arns {
			out = append(out, &api.Certificate{CertificateArn: &arn})
		}
		return out
	}
	shown := func() (arns []string) {
		t.Helper()
		for i, c := range must[*api.DescribeListenerCertificatesOutput](t)(f.DescribeListenerCertificates(f.ctx, &api.DescribeListenerCertificatesInput{ListenerArn: made.ListenerArn})).Certificates {
			if *c.IsDefault != (i == 0) {
				t.Errorf("%s is default: %v", *c.CertificateArn, *c.IsDefault)
			}
			arns = append(arns, *c.CertificateArn)
		}
		return arns
	}
	add := func(arns ...string) error {
		_, err := f.AddListenerCertificates(f.ctx, &api.AddListenerCertificatesInput{ListenerArn: made.ListenerArn, Certificates: list(arns...)})
		return err
	}
	remove := func(arns ...string) error {
		_, err := f.RemoveListenerCertificates(f.ctx, &api.RemoveListenerCertificatesInput{ListenerArn: made.ListenerArn, Certificates: list(arns...)})
		return err
	}
	if err := add(third, second, third); err != nil {
		t.Fatal(err)
	}
	if got := shown(); !slices.Equal(got, []string{first, second, third}) {
		t.Errorf("certificates %v", got)
	}
	wantError(t, add("arn:aws:acm:us-east-1:111111111111:certificate/9"), "CertificateNotFound", "certificate/9")
	wantError(t, add(f.certificate("222222222222", "4")), "CertificateNotFound", "222222222222")
	wantError(t, remove(first), "OperationNotPermitted", first)
	wantError(t, add(), "ValidationError", "certificate")
	if err := remove(second); err != nil {
		t.Fatal(err)
	}
	var many []string
	for i := range maxCertificates {
		many = append(many, f.certificate(account, "many"+strconv.Itoa(i)))
	}
	wantError(t, add(many...), "TooManyCertificates", "25")

	modify := func(change func(*api.ModifyListenerInput)) (*api.Listener, error) {
		in := &api.ModifyListenerInput{ListenerArn: made.ListenerArn}
		change(in)
		out, err := f.ModifyListener(f.ctx, in)
		if err != nil {
			return nil, err
		}
		return out.Listeners[0], nil
	}
	l, err := modify(func(in *api.ModifyListenerInput) {
		in.Certificates, in.SslPolicy = list(second), wire.Ptr("ELBSecurityPolicy-TLS13-1-3-2021-06")
		in.MutualAuthentication = &api.MutualAuthenticationAttributes{Mode: wire.Ptr("passthrough")}
	})
	if err != nil || *l.SslPolicy != "ELBSecurityPolicy-TLS13-1-3-2021-06" || *l.MutualAuthentication.Mode != "passthrough" {
		t.Errorf("modified to %+v, %v", l, err)
	}
	if got := shown(); !slices.Equal(got, []string{second, third}) {
		t.Errorf("certificates %v", got)
	}
	l, err = modify(func(in *api.ModifyListenerInput) { in.Protocol = wire.Ptr("HTTP") })
	if err != nil || l.SslPolicy != nil || l.Certificates != nil || len(shown()) != 0 {
		t.Errorf("modified to %+v, %v", l, err)
	}
	wantError(t, add(second), "InvalidConfigurationRequest", "without TLS")
	_, err = modify(func(in *api.ModifyListenerInput) { in.Protocol = wire.Ptr("HTTPS") })
	wantError(t, err, "ValidationError", "certificate")
	if l, err = modify(func(in *api.ModifyListenerInput) {
		in.Protocol, in.Certificates = wire.Ptr("HTTPS"), list(third)
	}); err != nil || *l.SslPolicy != "ELBSecurityPolicy-2016-08" {
		t.Errorf("modified to %+v, %v", l, err)
	}
}

func TestHTTPSListenerRefuses(t *testing.T) {
	f := newRules(t)
	certificate := f.certificate(account, "1")
	for name, c := range map[string]struct {
		change     func(*api.CreateListenerInput)
		code, text string
	}{
		"no certificate":      {func(in *api.CreateListenerInput) { in.Certificates = nil }, "ValidationError", "certificate"},
		"two certificates":    {func(in *api.CreateListenerInput) { in.Certificates = append(in.Certificates, in.Certificates[0]) }, "ValidationError", "'1'"},
		"unknown certificate": {func(in *api.CreateListenerInput) { in.Certificates[0].CertificateArn = wire.Ptr("x") }, "CertificateNotFound", "'x'"},
		"unknown policy":      {func(in *api.CreateListenerInput) { in.SslPolicy = wire.Ptr("x") }, "SSLPolicyNotFound", "'x'"},
		"policy for FIPS":     {func(in *api.CreateListenerInput) { in.SslPolicy = wire.Ptr("ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04") }, "InvalidConfigurationRequest", "FIPS"},
		"ALPN":                {func(in *api.CreateListenerInput) { in.AlpnPolicy = []string{"HTTP2Only"} }, "InvalidConfigurationRequest", "ALPN"},
		"verified clients": {func(in *api.CreateListenerInput) {
			in.MutualAuthentication = &api.MutualAuthenticationAttributes{Mode: wire.Ptr("verify"), TrustStoreArn: wire.Ptr("x")}
		}, "ValidationError", "trust store ARN"},
		"a trust store for nothing": {func(in *api.CreateListenerInput) {
			in.MutualAuthentication = &api.MutualAuthenticationAttributes{Mode: wire.Ptr("passthrough"), TrustStoreArn: wire.Ptr("x")}
		}, "ValidationError", "verify"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.CreateListener(f.ctx, listenerInput(f.lb.LoadBalancerArn, f.targets.TargetGroupArn, 443, overHTTPS(certificate), c.change))
			wantError(t, err, c.code, c.text)
		})
	}
	// HTTPS leads to groups of either protocol, but to none over TCP.
	secure := f.group("secure", web, func(in *api.CreateTargetGroupInput) { in.Protocol = wire.Ptr("HTTPS") })
	if *secure.ProtocolVersion != "HTTP1" || *secure.HealthCheckProtocol != "HTTP" {
		t.Errorf("made %+v", secure)
	}
	must[*api.CreateListenerOutput](t)(f.CreateListener(f.ctx, listenerInput(f.lb.LoadBalancerArn, secure.TargetGroupArn, 443, overHTTPS(certificate))))
	_, err := f.CreateListener(f.ctx, listenerInput(f.lb.LoadBalancerArn, f.group("tcp").TargetGroupArn, 444, overHTTPS(certificate)))
	wantError(t, err, "IncompatibleProtocols", "HTTPS")
}

func TestSSLPolicies(t *testing.T) {
	f := newFixture(t)
	all := must[*api.DescribeSSLPoliciesOutput](t)(f.DescribeSSLPolicies(f.ctx, &api.DescribeSSLPoliciesInput{})).SslPolicies
	if len(all) != 24 {
		t.Errorf("%d policies", len(all))
	}
	one := must[*api.DescribeSSLPoliciesOutput](t)(f.DescribeSSLPolicies(f.ctx, &api.DescribeSSLPoliciesInput{Names: []string{"ELBSecurityPolicy-TLS13-1-3-2021-06"}})).SslPolicies
	if len(one) != 1 || !slices.Equal(one[0].SslProtocols, []string{"TLSv1.3"}) || len(one[0].Ciphers) != 3 || *one[0].Ciphers[2].Priority != 3 || *one[0].Ciphers[2].Name != "TLS_CHACHA20_POLY1305_SHA256" {
		t.Errorf("%+v", one)
	}
	_, err := f.DescribeSSLPolicies(f.ctx, &api.DescribeSSLPoliciesInput{Names: []string{"x"}})
	wantError(t, err, "SSLPolicyNotFound", "'x'")
}

func TestFieldNames(t *testing.T) {
	f := newRules(t)
	made := must[*api.CreateListenerOutput](t)(f.CreateListener(f.ctx, listenerInput(f.lb.LoadBalancerArn, f.targets.TargetGroupArn, 443, overHTTPS(f.certificate(account, "1"))))).Listeners[0]
	name := func(field, value string) error {
		_, err := f.ModifyListenerAttributes(f.ctx, &api.ModifyListenerAttributesInput{ListenerArn: made.ListenerArn, Attributes: []*api.ListenerAttribute{
			{Key: wire.Ptr("routing.http.request." + field + ".header_name"), Value: &value},
		}})
		return err
	}
	if err := name("x_amzn_tls_version", "X-Secure"); err != nil {
		t.Error(err)
	}
	wantError(t, name("x_amzn_tls_cipher_suite", "x-secure"), "ValidationError", "x-secure")
	wantError(t, name("x_amzn_mtls_clientcert", "X-Amzn-Mtls-Clientcert-Leaf"), "ValidationError", "clientcert-leaf")
}

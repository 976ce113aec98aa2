package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	acmtypes "github.com/aws/aws-sdk-go-v2/service/acm/types"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	httptypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestALBTLS: HTTPS and HTTP/2 to an Application Load Balancer, with
// certificates of Certificate Manager.
func TestALBTLS(t *testing.T) {
	objects := t.TempDir()
	for _, dir := range []string{filepath.Dir(objects), objects} { // the control process has no privileges
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m := start(t, "--s3-dir", objects)
	a := site(t, m, accountA, machine.SiteOptions{})
	b := newBalancer(t, a)
	allow(t, a, b.ownGroup, fromCIDR("tcp", 443, 443, "10.0.0.0/16"))
	red := b.addTarget(t, m, "red")
	client := addHost(t, m, accountA, a.Subnet, "", nil)
	at := b.nodes[0].address

	requested := requestCertificate(t, a, "shop.example", "*.shop.example")
	own := selfSigned(t, m, "other.example")
	imported, err := a.AWS.ACM.ImportCertificate(t.Context(), &acm.ImportCertificateInput{Certificate: own.certificate, PrivateKey: own.key})
	if err != nil {
		t.Fatal(err)
	}
	created, err := a.AWS.ELB.CreateListener(t.Context(), &elbv2.CreateListenerInput{
		LoadBalancerArn: &b.arn, Protocol: elbtypes.ProtocolEnumHttps, Port: aws.Int32(443), DefaultActions: []elbtypes.Action{forwardTo(b.group(t, "red", red))},
		Certificates: []elbtypes.Certificate{{CertificateArn: &requested}}, SslPolicy: aws.String("ELBSecurityPolicy-TLS13-1-2-2021-06"),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.listener = *created.Listeners[0].ListenerArn
	authority := readable(t, m, "acm.pem", []byte(output(t, m.Isthmus(t.Context(), "ca", "--acm"))))
	// ask has curl ask for a path of a host, which it finds at the balancer.
	ask := func(host, path string, more ...string) []string {
		return append([]string{"https://" + host + path, "--resolve", host + ":443:" + at, "--cacert", authority}, more...)
	}

	t.Run("HTTP/2, verified by the authority of Certificate Manager", func(t *testing.T) {
		b.answers(t, client, "red from="+at+" host=shop.example uri=/a?b xff="+client.address+" proto=https port=443", ask("shop.example", "/a?b", "--http2"))
		b.answers(t, client, "2 200", ask("www.shop.example", "/", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"))
		b.answers(t, client, "1.1 200", ask("shop.example", "/", "--http1.1", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"))
		// Another name is not vouched for.
		if out, err := machine.Output(client.curl(t.Context(), "https://other.example/", "--resolve", "other.example:443:"+at, "--cacert", authority)); err == nil {
			t.Errorf("the default certificate passed for another name: %q", out)
		}
	})
	t.Run("bodies", func(t *testing.T) {
		body := readable(t, m, "body", []byte(strings.Repeat("0123456789abcdef", 40<<10)))
		b.answers(t, client, "2 200 655360", ask("shop.example", "/upload", "--http2", "-T", body, "-o", "/dev/null", "-w", "%{http_version} %{http_code} %{size_upload}"))
		b.answers(t, client, "2 200 0", ask("shop.example", "/", "--http2", "-I", "-o", "/dev/null", "-w", "%{http_version} %{http_code} %{size_download}"))
	})
	t.Run("the certificate is chosen by name", func(t *testing.T) {
		if _, err := a.AWS.ELB.AddListenerCertificates(t.Context(), &elbv2.AddListenerCertificatesInput{
			ListenerArn: &b.listener, Certificates: []elbtypes.Certificate{{CertificateArn: imported.CertificateArn}},
		}); err != nil {
			t.Fatal(err)
		}
		b.answers(t, client, "red ", []string{"https://other.example/", "--resolve", "other.example:443:" + at, "--cacert", own.path})
		b.answers(t, client, "red ", ask("shop.example", "/"))
		_, err := a.AWS.ACM.DeleteCertificate(t.Context(), &acm.DeleteCertificateInput{CertificateArn: imported.CertificateArn})
		if err == nil || !strings.Contains(err.Error(), "ResourceInUseException") {
			t.Errorf("a certificate in use was deleted: %v", err)
		}
		if _, err := a.AWS.ELB.RemoveListenerCertificates(t.Context(), &elbv2.RemoveListenerCertificatesInput{
			ListenerArn: &b.listener, Certificates: []elbtypes.Certificate{{CertificateArn: imported.CertificateArn}},
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.AWS.ACM.DeleteCertificate(t.Context(), &acm.DeleteCertificateInput{CertificateArn: imported.CertificateArn}); err != nil {
			t.Error(err)
		}
	})
	// handshake is what openssl tells of a handshake.
	handshake := func(t *testing.T, args ...string) string {
		t.Helper()
		args = append([]string{"s_client", "-connect", at + ":443", "-servername", "shop.example", "-CAfile", authority, "-brief"}, args...)
		c := client.exec(t.Context(), append([]string{"openssl"}, args...)...)
		out, _ := c.CombinedOutput() // a failed handshake is an error, too
		return string(out)
	}
	t.Run("security policies", func(t *testing.T) {
		for _, p := range []struct {
			policy string
			good   [][]string
			bad    [][]string
		}{
			{"ELBSecurityPolicy-TLS13-1-3-2021-06", [][]string{{"-tls1_3"}}, [][]string{{"-tls1_2"}}},
			{"ELBSecurityPolicy-FS-1-2-Res-2020-10", [][]string{{"-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"}},
				[][]string{{"-tls1_3"}, {"-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"}, {"-tls1_2", "-cipher", "AES128-GCM-SHA256"}}},
			{"ELBSecurityPolicy-2016-08", [][]string{{"-tls1_2", "-cipher", "AES128-SHA"}, {"-tls1", "-cipher", "ECDHE-RSA-AES128-SHA:@SECLEVEL=0"}, {"-tls1_1", "-cipher", "ECDHE-RSA-AES256-SHA:@SECLEVEL=0"}},
				[][]string{{"-tls1_3"}, {"-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"}}},
			{"ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", [][]string{{"-tls1_3"}, {"-tls1_2"}}, [][]string{{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}}},
		} {
			if _, err := a.AWS.ELB.ModifyListener(t.Context(), &elbv2.ModifyListenerInput{ListenerArn: &b.listener, SslPolicy: &p.policy}); err != nil {
				t.Fatal(err)
			}
			for _, args := range p.good {
				becomesTrue(t, p.policy+" allows "+strings.Join(args, " "), func() (bool, string) {
					out := handshake(t, args...)
					return strings.Contains(out, "CONNECTION ESTABLISHED") && strings.Contains(out, "Verification: OK"), out
				})
			}
			for _, args := range p.bad {
				becomesTrue(t, p.policy+" refuses "+strings.Join(args, " "), func() (bool, string) {
					out := handshake(t, args...)
					return strings.Contains(out, "alert") && !strings.Contains(out, "CONNECTION ESTABLISHED"), out
				})
			}
		}
	})
	t.Run("what targets are told of TLS", func(t *testing.T) {
		b.set(t, "routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "true")
		b.answers(t, client, "tls=TLSv1.2 cipher=ECDHE-RSA-AES128-GCM-SHA256", ask("shop.example", "/tls", "--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES128-GCM-SHA256"))
		b.answers(t, client, "tls=TLSv1.3 cipher=TLS_", ask("shop.example", "/tls"))
	})
	t.Run("HTTP/2 can be turned off", func(t *testing.T) {
		b.set(t, "routing.http2.enabled", "false")
		b.answers(t, client, "1.1 200", ask("shop.example", "/", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"))
		b.set(t, "routing.http2.enabled", "true")
		b.answers(t, client, "2 200", ask("shop.example", "/", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"))
	})
	t.Run("client certificates are passed through", func(t *testing.T) {
		mutual := func(mode string) error {
			_, err := a.AWS.ELB.ModifyListener(t.Context(), &elbv2.ModifyListenerInput{
				ListenerArn: &b.listener, MutualAuthentication: &elbtypes.MutualAuthenticationAttributes{Mode: &mode},
			})
			return err
		}
		if err := mutual("verify"); err == nil || !strings.Contains(err.Error(), "trust store ARN") {
			t.Errorf("the mode verify without a trust store: %v", err)
		}
		if err := mutual("passthrough"); err != nil {
			t.Fatal(err)
		}
		shown := []string{"--cert", own.path, "--key", own.keyPath, "-H", "X-Amzn-Mtls-Clientcert-Subject: forged"}
		b.answers(t, client, "cert=-----BEGIN%20CERTIFICATE-----%0AMII", ask("shop.example", "/tls", shown...))
		out := output(t, client.curl(t.Context(), ask("shop.example", "/tls", shown...)[0], ask("shop.example", "/tls", shown...)[1:]...))
		if !strings.Contains(out, "-----END%20CERTIFICATE-----%0A") || strings.Contains(out, "forged") {
			t.Errorf("the target was sent %q", out)
		}
		b.answers(t, client, "cert= ", ask("shop.example", "/tls", "-H", "X-Amzn-Mtls-Clientcert: forged"))
		if err := mutual("off"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("client certificates are verified", func(t *testing.T) {
		b.verifyClients(t, m, client, handshake, ask, objects)
	})
	t.Run("a port becomes plain, and secure again", func(t *testing.T) {
		if _, err := a.AWS.ELB.ModifyListener(t.Context(), &elbv2.ModifyListenerInput{ListenerArn: &b.listener, Protocol: elbtypes.ProtocolEnumHttp}); err != nil {
			t.Fatal(err)
		}
		b.answers(t, client, "red ", []string{"http://" + at + ":443/"})
		if _, err := a.AWS.ELB.ModifyListener(t.Context(), &elbv2.ModifyListenerInput{
			ListenerArn: &b.listener, Protocol: elbtypes.ProtocolEnumHttps, Certificates: []elbtypes.Certificate{{CertificateArn: &requested}},
		}); err != nil {
			t.Fatal(err)
		}
		b.answers(t, client, "red ", ask("shop.example", "/"))
	})
	t.Run("through an HTTP API and a link, verified", func(t *testing.T) {
		link := linkV2(t, a)
		a.Listener = b.listener
		api, integration, err := a.HTTP(t.Context(), link)
		if err != nil {
			t.Fatal(err)
		}
		verify := func(name string) {
			t.Helper()
			if _, err := a.AWS.HTTP.UpdateIntegration(t.Context(), &apigatewayv2.UpdateIntegrationInput{
				ApiId: &api, IntegrationId: &integration, TlsConfig: &httptypes.TlsConfigInput{ServerNameToVerify: &name},
			}); err != nil {
				t.Fatal(err)
			}
		}
		verify("shop.example")
		answers(t, m, "http://"+api+".execute-api.localhost:8080/over", 200, "proto=https port=443")
		verify("other.example")
		answers(t, m, "http://"+api+".execute-api.localhost:8080/over", 503, "")
		m.Logged(t, "certificate is valid for shop.example, *.shop.example, not other.example")
	})
	t.Run("keys are nowhere but where they belong", func(t *testing.T) {
		if log := m.Log(); strings.Contains(log, "PRIVATE KEY") {
			t.Error("the log holds a private key")
		}
	})
}

// set sets an attribute of the balancer.
func (b *balancer) set(t *testing.T, key, value string) {
	t.Helper()
	if _, err := b.site.AWS.ELB.ModifyLoadBalancerAttributes(t.Context(), &elbv2.ModifyLoadBalancerAttributesInput{
		LoadBalancerArn: &b.arn, Attributes: []elbtypes.LoadBalancerAttribute{{Key: &key, Value: &value}},
	}); err != nil {
		t.Fatal(err)
	}
}

// requestCertificate has Certificate Manager issue a certificate.
func requestCertificate(t *testing.T, s *machine.Site, name string, others ...string) string {
	t.Helper()
	c, err := s.AWS.ACM.RequestCertificate(t.Context(), &acm.RequestCertificateInput{
		DomainName: &name, SubjectAlternativeNames: others, ValidationMethod: acmtypes.ValidationMethodDns,
	})
	if err != nil {
		t.Fatal(err)
	}
	waiter := acm.NewCertificateValidatedWaiter(s.AWS.ACM, func(o *acm.CertificateValidatedWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, 100*time.Millisecond // not the SDK's minute
	})
	if err := waiter.Wait(t.Context(), &acm.DescribeCertificateInput{CertificateArn: c.CertificateArn}, patience); err != nil {
		t.Fatal(err)
	}
	return *c.CertificateArn
}

// pair is a certificate with its key, PEM, and the files of them.
type pair struct {
	certificate, key []byte
	path, keyPath    string
}

func selfSigned(t *testing.T, m *machine.Machine, name string) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p := pair{certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})}
	p.path, p.keyPath = readable(t, m, name+".pem", p.certificate), readable(t, m, name+".key", p.key)
	return p
}

// readable writes a file that curl, who is nobody, can read.
func readable(t *testing.T, m *machine.Machine, name string, data []byte) string {
	t.Helper()
	dir := filepath.Join(m.Dir, "files")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// becomesTrue waits until something holds; what tells what, and the second
// result how things are.
func becomesTrue(t *testing.T, what string, holds func() (bool, string)) {
	t.Helper()
	err := machine.Until(context.WithoutCancel(t.Context()), patience, func() (bool, string, error) {
		ok, now := holds()
		return ok, now, nil
	})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// makeAuthority has openssl make an authority, certificates of clients, and a
// list on which one of them is revoked.
const makeAuthority = `set -eu
cat > ca.conf <<END
[ca]
default_ca = own
[own]
database = index.txt
serial = serial
crlnumber = crlnumber
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
unique_subject = no
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
[client]
extendedKeyUsage = clientAuth
END
: > index.txt
echo 0A > serial
echo 01 > crlnumber
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=authority -days 30 -config ca.conf -extensions authority
for name in good gone old stranger; do
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.csr -subj /CN=$name -config ca.conf
done
openssl ca -batch -config ca.conf -extensions client -in good.csr -out good.pem -notext
openssl ca -batch -config ca.conf -extensions client -in gone.csr -out gone.pem -notext
openssl ca -batch -config ca.conf -extensions client -in old.csr -out old.pem -notext -startdate 20200101000000Z -enddate 20200201000000Z
openssl req -x509 -key stranger.key -out stranger.pem -subj /CN=authority -days 30 -config ca.conf -extensions client
openssl ca -config ca.conf -revoke gone.pem
openssl ca -config ca.conf -gencrl -out list.crl
chmod 644 *
`

// verifyClients has the listener verify certificates of clients. handshake tells
// what openssl says of one, ask makes curl's arguments.
func (b *balancer) verifyClients(t *testing.T, m *machine.Machine, client *host, handshake func(*testing.T, ...string) string, ask func(host, path string, more ...string) []string, objects string) {
	elb := b.site.AWS.ELB
	bucket := filepath.Join(objects, "certificates")
	if err := os.Mkdir(bucket, 0o755); err != nil {
		t.Fatal(err)
	}
	openssl := m.Command(t.Context(), "sh", "-c", "umask 022; "+makeAuthority)
	openssl.Dir = bucket
	if out, err := openssl.CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v: %s", err, out)
	}
	made, err := elb.CreateTrustStore(t.Context(), &elbv2.CreateTrustStoreInput{
		Name: aws.String("clients"), CaCertificatesBundleS3Bucket: aws.String("certificates"), CaCertificatesBundleS3Key: aws.String("ca.pem"),
	})
	if err != nil {
		t.Fatal(err)
	}
	trustStore := made.TrustStores[0].TrustStoreArn
	mutual := func(a elbtypes.MutualAuthenticationAttributes) {
		t.Helper()
		if _, err := elb.ModifyListener(t.Context(), &elbv2.ModifyListenerInput{ListenerArn: &b.listener, MutualAuthentication: &a}); err != nil {
			t.Fatal(err)
		}
	}
	verify := elbtypes.MutualAuthenticationAttributes{Mode: aws.String("verify"), TrustStoreArn: trustStore}
	show := func(name string) []string {
		return []string{"--cert", filepath.Join(bucket, name+".pem"), "--key", filepath.Join(bucket, name+".key")}
	}
	refused := func(name, code string) {
		t.Helper()
		args := ask("shop.example", "/tls", show(name)...)
		becomesTrue(t, name+" is refused", func() (bool, string) {
			out, err := machine.Output(client.curl(t.Context(), args[0], args[1:]...))
			return err != nil, out
		})
		m.Logged(t, "tls_verify_status=Failed:"+code)
	}
	mutual(verify)
	refused("stranger", "ClientCertUntrusted")
	refused("old", "ClientCertExpired")
	if out := handshake(t, "-tls1_2"); !strings.Contains(out, "alert") {
		t.Errorf("without a certificate: %s", out)
	}
	for _, name := range []string{"good", "gone"} {
		b.answers(t, client, "cert= subject=CN="+name+" serial=", ask("shop.example", "/tls", append(show(name), "-H", "X-Amzn-Mtls-Clientcert-Subject: forged")...))
	}
	b.answers(t, client, "serial=0A validity=NotBefore=2", ask("shop.example", "/tls", append(show("good"), "--http2")...))
	b.answers(t, client, "leaf=-----BEGIN%20CERTIFICATE-----%0AMII", ask("shop.example", "/tls", show("good")...))

	if _, err := elb.AddTrustStoreRevocations(t.Context(), &elbv2.AddTrustStoreRevocationsInput{
		TrustStoreArn: trustStore, RevocationContents: []elbtypes.RevocationContent{{S3Bucket: aws.String("certificates"), S3Key: aws.String("list.crl")}},
	}); err != nil {
		t.Fatal(err)
	}
	refused("gone", "ClientCertCrlHit")
	b.answers(t, client, "subject=CN=good", ask("shop.example", "/tls", show("good")...))

	verify.IgnoreClientCertificateExpiry, verify.AdvertiseTrustStoreCaNames = aws.Bool(true), elbtypes.AdvertiseTrustStoreCaNamesEnumOn
	mutual(verify)
	b.answers(t, client, "subject=CN=old", ask("shop.example", "/tls", show("old")...))
	advertised := func() string {
		c := client.exec(t.Context(), "openssl", "s_client", "-connect", b.nodes[0].address+":443", "-servername", "shop.example", "-tls1_2")
		out, _ := c.CombinedOutput() // the handshake fails for want of a certificate
		return string(out)
	}
	becomesTrue(t, "the authority is named", func() (bool, string) {
		out := advertised()
		return strings.Contains(out, "Acceptable client certificate CA names\nCN = authority"), out
	})
	bundle, err := elb.GetTrustStoreCaCertificatesBundle(t.Context(), &elbv2.GetTrustStoreCaCertificatesBundleInput{TrustStoreArn: trustStore})
	if err != nil {
		t.Fatal(err)
	}
	if out := output(t, m.Command(t.Context(), "curl", "-sSf", *bundle.Location)); !strings.HasPrefix(out, "-----BEGIN CERTIFICATE-----") {
		t.Errorf("the bundle is %q", out)
	}
	mutual(elbtypes.MutualAuthenticationAttributes{Mode: aws.String("off")})
	b.answers(t, client, "cert= subject= ", ask("shop.example", "/tls"))
	if _, err := elb.DeleteTrustStore(t.Context(), &elbv2.DeleteTrustStoreInput{TrustStoreArn: trustStore}); err != nil {
		t.Error(err)
	}
}

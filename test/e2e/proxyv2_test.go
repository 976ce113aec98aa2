package e2e

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestProxyProtocol: a provider tells two consumers with one address apart, in
// VPCs with the CIDR of its own, by the endpoint in the PROXY header, which the
// packet program puts before their bytes.
func TestProxyProtocol(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{Locations: `
    listen 8090 proxy_protocol;
    location /proxied { return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port\n"; }`})
	open := addGroup(t, a, "open")
	allow(t, a, open, fromCIDR("tcp", 0, 65535, "10.0.1.0/24"))
	allow(t, a, a.Group, fromCIDR("tcp", 8090, 8090, "10.0.1.0/24"))
	proxied := buildProxied(t)
	reader := addHost(t, m, accountA, a.Subnet, open, []string{"--private-ip", "10.0.1.20"}, proxied, "serve")
	announced := addListener(t, a, 8080, reader.address, 80, true)
	addListener(t, a, 8081, reader.address, 81, true)
	addListener(t, a, 8090, machine.BackendAddress, 8090, true)
	b, bob := consumer(t, m, accountB)
	c, carol := consumer(t, m, accountC)
	_, name := offer(t, a, false, accountB, accountC)
	ofBob, toB := connect(t, b, name)
	ofCarol, toC := connect(t, c, name)
	endpointBecomes(t, b, ofBob, "available")
	endpointBecomes(t, c, ofCarol, "available")
	consumers := map[string]struct {
		host         *host
		endpoint, at string
	}{"bob": {bob, ofBob, toB}, "carol": {carol, ofCarol, toC}}

	t.Run("health checks bring a header, without a client", func(t *testing.T) {
		b := *a
		b.TargetGroup = announced
		targetBecomes(t, &b, "healthy")
	})
	for who, x := range consumers {
		t.Run(who+" is told by address, port and endpoint", func(t *testing.T) {
			told, port := x.host.called(t, "http://"+x.at+":8080/")
			if want := "10.0.1.10:" + port + " " + x.at + ":8080 " + x.endpoint; told != want {
				t.Errorf("the header says %q, want %q", told, want)
			}
			told, port = x.host.called(t, "http://"+x.at+":8090/proxied")
			if want := "10.0.1.10 " + port + " " + x.at + " 8090"; told != want {
				t.Errorf("nginx reads %q, want %q", told, want)
			}
		})
		t.Run("a server that speaks first, to "+who, func(t *testing.T) {
			script := fmt.Sprintf(`exec 3<>/dev/tcp/%s/8081; read -t 5 -u 3 hello; sleep 0.3; echo "my name is %s" >&3; read -t 5 -u 3 back; echo "$hello; $back"`, x.at, who)
			out := becomes(t, true, func() *exec.Cmd { return x.host.exec(t.Context(), "bash", "-c", script) })
			if want := "220 ready; 250 " + x.endpoint + " my name is " + who; strings.TrimSpace(out) != want {
				t.Errorf("it says %q, want %q", out, want)
			}
		})
		t.Run("10 MB both ways, of "+who, func(t *testing.T) { announcedBytes(t, m, x.host, x.at, 10<<20) })
		t.Run("3,000 connections of "+who, func(t *testing.T) {
			if out := output(t, x.host.exec(t.Context(), proxied, "dial", x.at+":8080", "3000")); out != x.endpoint {
				t.Errorf("they come through %q, want %q", out, x.endpoint)
			}
		})
	}
	t.Run("a client of the VPC comes through no endpoint", func(t *testing.T) {
		near := addHost(t, m, accountA, a.Subnet, "", nil)
		if out := output(t, near.exec(t.Context(), proxied, "dial", a.Node+":8080", "1")); out != "" {
			t.Errorf("it comes through %q", out)
		}
	})
	t.Run("while every process is killed", func(t *testing.T) {
		fetch := transferOf(t, carol, fmt.Sprintf("http://%s:8080/?bytes=%d", toC, 10<<20), "--limit-rate", "4M")
		dial := bob.exec(t.Context(), "bash", "-c", fmt.Sprintf("echo begun; exec %s dial %s:8080 20000", proxied, toB))
		pipe, err := dial.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		dial.Stderr = os.Stderr
		if err := dial.Start(); err != nil {
			t.Fatal(err)
		}
		told := bufio.NewReader(pipe)
		if line, err := told.ReadString('\n'); line != "begun\n" {
			t.Fatalf("connections of bob: %q, %v", line, err)
		}
		killEverything(t, m)
		fetch.complete(t, fmt.Sprintf("%x", sha256.Sum256(stream(10<<20))))
		endpoint, err := told.ReadString('\n')
		if err := errors.Join(err, dial.Wait()); err != nil || strings.TrimSpace(endpoint) != ofBob {
			t.Errorf("connections of bob: %s, %v", endpoint, err)
		}
		if err := m.Serve(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("with losses", func(t *testing.T) {
		rules := `add table ip loss
add chain ip loss in { type filter hook input priority 0; }
add chain ip loss out { type filter hook output priority 0; }
add rule ip loss in numgen random mod 100 < 3 counter drop
add rule ip loss out numgen random mod 100 < 3 counter drop
`
		file := filepath.Join(m.Dir, "loss.nft")
		if err := os.WriteFile(file, []byte(rules), 0o644); err != nil {
			t.Fatal(err)
		}
		output(t, m.Isthmus(t.Context(), "exec", reader.eni, "--", "nft", "-f", file))
		for who, x := range consumers {
			if out := output(t, x.host.exec(t.Context(), proxied, "dial", x.at+":8080", "200")); out != x.endpoint {
				t.Errorf("connections of %s come through %q, want %q", who, out, x.endpoint)
			}
			announcedBytes(t, m, x.host, x.at, 1<<20)
		}
		if lost := output(t, m.Isthmus(t.Context(), "exec", reader.eni, "--", "nft", "list", "ruleset")); strings.Count(lost, "counter packets 0 ") > 0 {
			t.Errorf("nothing was lost:\n%s", lost)
		}
	})
}

// announcedBytes sends bytes to the reader and fetches others from it.
func announcedBytes(t *testing.T, m *machine.Machine, from *host, at string, size int) {
	t.Helper()
	body := make([]byte, size)
	rand.Read(body)
	file := filepath.Join(m.Dir, "body")
	if err := os.WriteFile(file, body, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, want := output(t, from.curl(t.Context(), "http://"+at+":8080/", "-T", file, "--connect-timeout", "20")), fmt.Sprintf("%x", sha256.Sum256(body)); got != want {
		t.Errorf("sent bytes have the checksum %s, want %s", got, want)
	}
	script := fmt.Sprintf("curl -sSf --connect-timeout 20 'http://%s:8080/?bytes=%d' | sha256sum", at, size)
	if got, want := output(t, from.exec(t.Context(), "bash", "-c", script)), fmt.Sprintf("%x  -", sha256.Sum256(stream(size))); got != want {
		t.Errorf("fetched bytes have the checksum %s, want %s", got, want)
	}
}

// stream is what the reader sends when asked for bytes.
func stream(size int) []byte {
	b := make([]byte, size)
	mathrand.NewChaCha8([32]byte{7}).Read(b)
	return b
}

// buildProxied builds the program of proxied/ where every user may run it.
func buildProxied(t *testing.T) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(binary), "proxied")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./proxied")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// addListener leads a port of a site's load balancer to a target, and returns
// the target group.
func addListener(t *testing.T, s *machine.Site, port int32, target string, targetPort int32, proxy bool) string {
	t.Helper()
	g, err := s.AWS.ELB.CreateTargetGroup(t.Context(), &elbv2.CreateTargetGroupInput{
		Name: aws.String(fmt.Sprint("port-", port)), Protocol: elbtypes.ProtocolEnumTcp, Port: aws.Int32(targetPort),
		TargetType: elbtypes.TargetTypeEnumIp, VpcId: &s.VPC,
	})
	if err != nil {
		t.Fatal(err)
	}
	group := *g.TargetGroups[0].TargetGroupArn
	setProxy(t, s, group, proxy)
	if _, err := s.AWS.ELB.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{
		TargetGroupArn: &group, Targets: []elbtypes.TargetDescription{{Id: &target}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AWS.ELB.CreateListener(t.Context(), &elbv2.CreateListenerInput{
		LoadBalancerArn: &s.LoadBalancer, Protocol: elbtypes.ProtocolEnumTcp, Port: &port,
		DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: &group}},
	}); err != nil {
		t.Fatal(err)
	}
	return group
}

func setProxy(t *testing.T, s *machine.Site, group string, on bool) {
	t.Helper()
	if _, err := s.AWS.ELB.ModifyTargetGroupAttributes(t.Context(), &elbv2.ModifyTargetGroupAttributesInput{
		TargetGroupArn: &group, Attributes: []elbtypes.TargetGroupAttribute{{Key: aws.String("proxy_protocol_v2.enabled"), Value: aws.String(fmt.Sprint(on))}},
	}); err != nil {
		t.Fatal(err)
	}
}

// targetBecomes waits for a state of the only target of a site's group.
func targetBecomes(t *testing.T, s *machine.Site, state elbtypes.TargetHealthStateEnum) {
	t.Helper()
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		h, err := s.AWS.ELB.DescribeTargetHealth(t.Context(), &elbv2.DescribeTargetHealthInput{TargetGroupArn: &s.TargetGroup})
		if err != nil {
			return false, "", err
		}
		got := h.TargetHealthDescriptions[0].TargetHealth
		return got.State == state, fmt.Sprint(got.State, " ", aws.ToString(got.Description)), nil
	})
	if err != nil {
		t.Error(err)
	}
}

package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestTrace: what a trace says stops a request is what the gateway's log says
// stopped it, for both kinds of link and API; and names of all kinds lead to
// the same places as addresses.
func TestTrace(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{})
	b := site(t, m, accountB, machine.SiteOptions{})
	v1, v2 := overV1(t, a), overV2(t, b)
	sides := []struct {
		name, from, url string
		api             machine.API
		site            *machine.Site
		fails           int
	}{
		{"REST over version 1", "api:" + v1.ID + "/prod", v1.URL, v1, a, 500},
		{"HTTP over version 2", "api:" + v2.ID, v2.URL, v2, b, 503},
	}
	for _, s := range sides {
		route := []string{"--from", s.from, "GET", "/pets/7"}
		t.Run(s.name+" gets through", func(t *testing.T) {
			answers(t, m, s.url+"/pets/7", 200, s.site.AWS.Account)
			want := []string{s.api.ID, s.api.Link, "AVAILABLE", "/pets/7", "chose " + machine.BackendAddress + ":80", "healthy", "arrives from"}
			traced(t, m, true, want, route...)
			traced(t, m, true, want, "--to", s.url+"/pets/7")
		})
		t.Run(s.name+", a rule is revoked", func(t *testing.T) {
			if err := s.site.Revoke(t.Context()); err != nil {
				t.Fatal(err)
			}
			revoked := "/revoked/" + s.api.ID // the log has the other side's, too
			answers(t, m, s.url+revoked, s.fails, "")
			traced(t, m, false, []string{"sg-ingress: " + s.site.Group, loggedCause(t, m, revoked, s.fails)}, route...)
			if err := s.site.Allow(t.Context()); err != nil {
				t.Fatal(err)
			}
			answers(t, m, s.url+"/restored", 200, "")
			traced(t, m, true, nil, route...)
		})
	}
	t.Run("a route that nothing matches", func(t *testing.T) {
		answers(t, m, v1.URL, 403, "")
		traced(t, m, false, []string{loggedCause(t, m, "/prod", 403)}, "--from", "api:"+v1.ID+"/prod", "GET", "/")
	})
	t.Run("names", func(t *testing.T) {
		from := aws.ToString(reservation(t, b))
		lb, err := b.AWS.ELB.DescribeLoadBalancers(t.Context(), &elbv2.DescribeLoadBalancersInput{})
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{b.Node + ":80", *lb.LoadBalancers[0].LoadBalancerName, *lb.LoadBalancers[0].DNSName, b.LoadBalancer, b.Listener, b.LoadBalancer + ":80"} {
			// The backend is the balancer's only target, and its own client.
			traced(t, m, true, []string{"load balancer", "chose " + machine.BackendAddress}, "--from", from, "--to", to)
		}
		traced(t, m, false, []string{"no-listener"}, "--from", from, "--to", b.LoadBalancer+":81")
		traced(t, m, true, []string{"nat: sent as"}, "--from", v2.Link, "--to", machine.BackendAddress+":80")
		if _, err := machine.Output(m.Isthmus(t.Context(), "trace", "--from", from, "--to", "nobody:80")); err == nil || !strings.Contains(err.Error(), `nothing is called "nobody"`) {
			t.Errorf("an unknown name: %v", err)
		}
	})
	t.Run("a namespace and a process in it", func(t *testing.T) {
		sleeper := m.Run(t.Context(), accountB, b.Subnet, b.Group, []string{"--private-ip", "10.0.1.20"}, "sleep", "1000")
		if err := sleeper.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { sleeper.Process.Kill(); sleeper.Wait() }()
		n := interfaceAt(t, b, "10.0.1.20")
		traced(t, m, true, []string{n, "arrives from 10.0.1.20"}, "--from", m.Dir+"/run/netns/"+n, "--to", machine.BackendAddress+":80")
		traced(t, m, true, []string{n, "arrives from 10.0.1.20"}, "--from", strings.TrimSpace(output(t, m.Command(t.Context(), "pgrep", "-f", "-n", "sleep 1000"))), "--to", machine.BackendAddress+":80")
	})
	t.Run("an endpoint is rejected", func(t *testing.T) {
		s, err := a.AWS.EC2.DescribeVpcEndpointConnections(t.Context(), &ec2.DescribeVpcEndpointConnectionsInput{})
		if err != nil || len(s.VpcEndpointConnections) != 1 {
			t.Fatalf("%+v, %v", s, err)
		}
		c := s.VpcEndpointConnections[0]
		traced(t, m, true, []string{"endpoint " + *c.VpcEndpointId}, "--from", "gateway", "--to", *c.VpcEndpointId)
		if _, err := a.AWS.EC2.RejectVpcEndpointConnections(t.Context(), &ec2.RejectVpcEndpointConnectionsInput{
			ServiceId: c.ServiceId, VpcEndpointIds: []string{*c.VpcEndpointId},
		}); err != nil {
			t.Fatal(err)
		}
		answers(t, m, v1.URL+"/rejected", 500, "")
		traced(t, m, false, []string{"not-accepted: ", loggedCause(t, m, "/rejected", 500)}, "--from", "api:"+v1.ID+"/prod", "GET", "/pets")
	})
	t.Run("a target is stopped", func(t *testing.T) {
		if err := b.Backend.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		b.Backend.Wait()
		answers(t, m, v2.URL+"/stopped", 503, "")
		traced(t, m, false, []string{"no-address: ", loggedCause(t, m, "/stopped", 503)}, "--from", "api:"+v2.ID, "GET", "/pets")
	})
	t.Run("a target is deregistered", func(t *testing.T) {
		if _, err := b.AWS.ELB.DeregisterTargets(t.Context(), &elbv2.DeregisterTargetsInput{
			TargetGroupArn: &b.TargetGroup, Targets: []elbtypes.TargetDescription{{Id: aws.String(machine.BackendAddress)}},
		}); err != nil {
			t.Fatal(err)
		}
		answers(t, m, v2.URL+"/deregistered", 503, "")
		traced(t, m, false, []string{"no-healthy-target: ", loggedCause(t, m, "/deregistered", 503)}, "--from", "api:"+v2.ID, "GET", "/pets")
	})
}

// traced runs isthmus trace, which must get through or not, and print all of
// the texts.
func traced(t *testing.T, m *machine.Machine, through bool, texts []string, args ...string) {
	t.Helper()
	out, err := machine.Output(m.Isthmus(t.Context(), "trace", args...))
	var failed *exec.ExitError
	if through != (err == nil) || err != nil && (!errors.As(err, &failed) || failed.ExitCode() != 1) {
		t.Errorf("trace %v: %v\n%s", args, err, out)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("trace %v does not say %q:\n%s", args, text, out)
		}
	}
}

var (
	requestPath = regexp.MustCompile(`\bpath=(\S+)`)
	logCause    = regexp.MustCompile(`\b(?:integrationError|error)="([^"]+)"`)
)

// loggedCause is the cause that the gateway's log names for the last request of a
// path that ends so.
func loggedCause(t *testing.T, m *machine.Machine, suffix string, status int) (cause string) {
	t.Helper()
	// The line is written a while after the answer, which others may have come before.
	if err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		for line := range strings.Lines(m.Log()) {
			path := requestPath.FindStringSubmatch(line)
			if path == nil || !strings.HasSuffix(path[1], suffix) || !strings.Contains(line, fmt.Sprintf(" status=%d ", status)) {
				continue
			}
			if found := logCause.FindStringSubmatch(line); found != nil {
				cause = found[1]
			}
		}
		return cause != "", "the log names no cause", nil
	}); err != nil {
		t.Errorf("%s: %v", suffix, err)
	}
	return cause
}

// reservation is the instance that runs a site's backend.
func reservation(t *testing.T, s *machine.Site) *string {
	t.Helper()
	r, err := s.AWS.EC2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	if err != nil || len(r.Reservations) == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	return r.Reservations[0].Instances[0].InstanceId
}

// interfaceAt waits for the ENI that has an address in a site.
func interfaceAt(t *testing.T, s *machine.Site, address string) (id string) {
	t.Helper()
	err := machine.Until(t.Context(), 10*time.Second, func() (bool, string, error) {
		n, err := s.AWS.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{})
		if err != nil {
			return false, "", err
		}
		for _, e := range n.NetworkInterfaces {
			if aws.ToString(e.PrivateIpAddress) == address {
				id = *e.NetworkInterfaceId
			}
		}
		return id != "", "no interface has " + address, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/smithy-go"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestOverlap: PrivateLink from two accounts' VPCs into a third's, where all
// three are 10.0.0.0/16 and both clients and the target are 10.0.1.10.
func TestOverlap(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{Locations: slowLocation})
	sum := putSlow(t, a)
	b, bob := consumer(t, m, accountB)
	c, carol := consumer(t, m, accountC)
	service, name := offer(t, a, true, accountB)
	var ofBob, ofCarol string // the endpoints
	var toB, toC string       // their addresses

	t.Run("an account that is not on the list finds no service", func(t *testing.T) {
		_, err := c.AWS.EC2.CreateVpcEndpoint(t.Context(), &ec2.CreateVpcEndpointInput{
			VpcId: &c.VPC, ServiceName: &name, VpcEndpointType: "Interface", SubnetIds: []string{c.Subnet},
		})
		var refused smithy.APIError
		if !errors.As(err, &refused) || refused.ErrorCode() != "InvalidServiceName" {
			t.Errorf("the endpoint is refused with %v", err)
		}
		permit(t, a, service, accountC)
	})
	t.Run("an endpoint leads nowhere before it is accepted, and then to the target", func(t *testing.T) {
		ofBob, toB = connect(t, b, name)
		ofCarol, toC = connect(t, c, name)
		for _, x := range []struct {
			site         *machine.Site
			host         *host
			id, endpoint string
		}{{b, bob, ofBob, toB}, {c, carol, ofCarol, toC}} {
			endpointBecomes(t, x.site, x.id, "pendingAcceptance")
			traces(t, x.host, x.endpoint, "not-accepted")
			becomes(t, false, x.host.curlTo(t, x.endpoint))
			if _, err := a.AWS.EC2.AcceptVpcEndpointConnections(t.Context(), &ec2.AcceptVpcEndpointConnectionsInput{
				ServiceId: &service, VpcEndpointIds: []string{x.id},
			}); err != nil {
				t.Fatal(err)
			}
			endpointBecomes(t, x.site, x.id, "available")
			traces(t, x.host, x.endpoint, "forwarded")
			sees(t, x.host, x.endpoint, a.Node)
		}
	})
	t.Run("two clients with one address and port at once; one is rejected, its flows end, the other's go on", func(t *testing.T) {
		x := download(t, bob, toB, "--local-port", "45678")
		y := download(t, carol, toC, "--local-port", "45678")
		if _, err := a.AWS.EC2.RejectVpcEndpointConnections(t.Context(), &ec2.RejectVpcEndpointConnectionsInput{
			ServiceId: &service, VpcEndpointIds: []string{ofBob},
		}); err != nil {
			t.Fatal(err)
		}
		x.isReset(t)
		endpointBecomes(t, b, ofBob, "rejected")
		traces(t, bob, toB, "not-accepted")
		becomes(t, false, bob.curlTo(t, toB))
		y.complete(t, sum)
		sees(t, carol, toC, a.Node)
	})
	t.Run("a target that is its own client", func(t *testing.T) { itself(t, m, a, carol, toC) })
}

// itself has a site's backend dial its own load balancer.
func itself(t *testing.T, m *machine.Machine, s *machine.Site, outsider *host, endpoint string) {
	_, eni, address := announced(t, s.Dir+"/run.log")
	backend := &host{m: m, eni: eni, address: address}
	neighbour := addHost(t, m, s.AWS.Account, s.Subnet, "", nil)
	sees(t, backend, s.Node, s.Node)
	preserve(t, s, true)
	becomes(t, false, backend.curlTo(t, s.Node))
	traces(t, backend, s.Node, "hairpin")
	sees(t, neighbour, s.Node, neighbour.address)
	sees(t, outsider, endpoint, s.Node) // PrivateLink preserves no addresses
	preserve(t, s, false)
	sees(t, backend, s.Node, s.Node)
}

// sees waits until a site's backend, dialled at an address, sees the caller
// under another.
func sees(t *testing.T, from *host, at, caller string) {
	t.Helper()
	want := " " + caller + " /"
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		out, err := machine.Output(from.curlTo(t, at)())
		return strings.Contains(out, want), fmt.Sprintf("it answers %q, error %v", out, err), nil
	})
	if err != nil {
		t.Errorf("%s to %s: want %q: %v", from.address, at, want, err)
	}
}

// traces asks "isthmus trace" about a connection from a host to port 80 of an
// address.
func traces(t *testing.T, from *host, to, verdict string) {
	t.Helper()
	out, err := machine.Output(from.m.Isthmus(t.Context(), "trace", "--from", from.eni, "--to", to+":80"))
	status := 0
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		status = failed.ExitCode()
	}
	wantStatus := 1
	if verdict == "forwarded" {
		wantStatus = 0
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	got, _, _ := strings.Cut(strings.TrimPrefix(lines[len(lines)-1], "stopped: "), ":")
	if got != verdict || status != wantStatus {
		t.Errorf("trace to %s: %q with status %d, want %q with %d\n%s", to, got, status, verdict, wantStatus, out)
	}
}

// preserve sets whether targets see the client's address.
func preserve(t *testing.T, s *machine.Site, on bool) {
	t.Helper()
	if _, err := s.AWS.ELB.ModifyTargetGroupAttributes(t.Context(), &elbv2.ModifyTargetGroupAttributesInput{
		TargetGroupArn: &s.TargetGroup,
		Attributes:     []elbtypes.TargetGroupAttribute{{Key: aws.String("preserve_client_ip.enabled"), Value: aws.String(fmt.Sprint(on))}},
	}); err != nil {
		t.Fatal(err)
	}
}

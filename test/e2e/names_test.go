package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

const hostResolver = "127.0.0.1:5353"

// TestNames: two callers' VPCs and the API's own, all with the same addresses;
// the last has no endpoint.
func TestNames(t *testing.T) {
	m := start(t, "--dns-listen", hostResolver)
	a, c := newCallerVPC(t, m, accountA), newCallerVPC(t, m, accountC)
	b := site(t, m, accountB, machine.SiteOptions{Locations: privateLocations})
	api := overV1(t, b)
	patch(t, b.AWS, api.ID, "/endpointConfiguration/types/0", "PRIVATE", "/endpointConfiguration/vpcEndpointIds", a.endpoint,
		"/endpointConfiguration/vpcEndpointIds", c.endpoint, "/policy", policyOf(allowAll()))
	deploy(t, b.AWS, api.ID)
	domain := ".execute-api.us-east-1.amazonaws.com"

	inA := addHost(t, m, accountA, a.subnets[0], "", []string{"--private-ip", "10.0.1.77"})
	inC := addHost(t, m, accountC, c.subnets[0], "", []string{"--private-ip", "10.0.1.78"})
	inB := addHost(t, m, accountB, b.Subnet, "", nil)

	t.Run("private APIs are called by name", func(t *testing.T) {
		for _, x := range []struct {
			vpc  *callerVPC
			from *host
		}{{a, inA}, {c, inC}} {
			for _, name := range []string{api.ID + domain, api.ID + "-" + x.vpc.endpoint + domain} {
				got := becomes(t, true, func() *exec.Cmd {
					return x.from.curl(t.Context(), "https://"+name+"/prod/seen", "--cacert", authorityFile(t, m))
				})
				if want := x.vpc.endpoint + "|" + x.vpc.vpc + "|"; !strings.Contains(got, want) || !strings.Contains(got, "|"+x.from.address+"|") {
					t.Errorf("%s: %s, want %s from %s", name, got, want, x.from.address)
				}
			}
			cmd := m.Run(t.Context(), x.vpc.aws.Account, x.vpc.subnets[1], "", nil, "curl", "-sSf", "--cacert", authorityFile(t, m),
				"-H", "x-apigw-api-id: "+api.ID, "https://"+x.vpc.name+"/prod/seen")
			if got := output(t, cmd); !strings.Contains(got, x.vpc.endpoint) {
				t.Errorf("by the endpoint's name: %s", got)
			}
		}
	})
	t.Run("the names of an endpoint", func(t *testing.T) {
		for name, want := range map[string][]string{
			a.name:                      a.addresses[:],
			domain[1:]:                  a.addresses[:],
			"any" + domain:              a.addresses[:],
			"a.b" + domain:              a.addresses[:],
			"ANY" + domain:              a.addresses[:],
			c.name:                      c.addresses[:], // public, as on AWS
			zonal(a.name, "us-east-1a"): a.addresses[:1],
			zonal(a.name, "us-east-1b"): a.addresses[1:],
		} {
			for _, at := range []string{"@10.0.0.2", "@169.254.169.253", "+tcp"} {
				digs(t, inA, want, at, name)
			}
		}
	})
	t.Run("a VPC without the endpoint", func(t *testing.T) {
		answerIs(t, inB, "NXDOMAIN", api.ID+domain)
		m.Logged(t, "no endpoint of the VPC takes execute-api.us-east-1.amazonaws.com. over by private DNS")
		digs(t, inB, a.addresses[:], a.name)
		digs(t, inB, a.addresses[:], api.ID+"-"+a.endpoint+domain)
		if out, err := machine.Output(inB.curl(t.Context(), "https://"+api.ID+domain+"/prod/seen")); err == nil || !strings.Contains(err.Error(), "Could not resolve host") {
			t.Errorf("%q, %v", out, err)
		}
		answerIs(t, inB, "REFUSED", "example.com")
		m.Logged(t, "started without --dns-forward")
	})
	t.Run("load balancers, from a VPC and from the machine", func(t *testing.T) {
		name := balancerName(t, b)
		digs(t, inB, []string{b.Node}, name)
		digs(t, inB, []string{b.Node}, "us-east-1a."+strings.ToUpper(name))
		digs(t, inB, nil, name, "AAAA")
		answerIs(t, inB, "NOERROR", name, "AAAA")
		answerIs(t, inB, "NXDOMAIN", "no-"+name)
		answerIs(t, inB, "REFUSED", name, "ANY")
		becomes(t, true, func() *exec.Cmd { return inB.curl(t.Context(), "http://"+name) })
		got := output(t, m.Command(t.Context(), "dig", "+short", "@127.0.0.1", "-p", "5353", name))
		if got != b.Node {
			t.Errorf("the machine finds %q", got)
		}
	})
	t.Run("hosts, and only those of the VPC itself", func(t *testing.T) {
		digs(t, inA, []string{"10.0.1.77"}, "ip-10-0-1-77.ec2.internal")
		digs(t, inA, []string{"ip-10-0-1-77.ec2.internal."}, "-x", "10.0.1.77")
		answerIs(t, inA, "NXDOMAIN", "ip-10-0-1-78.ec2.internal")
		answerIs(t, inC, "NXDOMAIN", "ip-10-0-1-77.ec2.internal")
		answerIs(t, inC, "NXDOMAIN", "-x", "10.0.1.77")
		answerIs(t, inB, "REFUSED", "ip-10-0-1-10.ec2.internal") // its VPC has no host names
	})
	t.Run("Cloud Map", func(t *testing.T) { cloudMapNames(t, m, b, inB, inA) })
	t.Run("security groups and route tables do not stop queries", func(t *testing.T) {
		closed := addGroup(t, b, "closed")
		if _, err := b.AWS.EC2.RevokeSecurityGroupEgress(t.Context(), &ec2.RevokeSecurityGroupEgressInput{GroupId: &closed, IpPermissions: []ec2types.IpPermission{
			{IpProtocol: aws.String("-1"), IpRanges: []ec2types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}},
		}}); err != nil {
			t.Fatal(err)
		}
		h := addHost(t, m, accountB, b.Subnet, closed, nil)
		for _, at := range []string{"@10.0.0.2", "@169.254.169.253", "+tcp"} {
			digs(t, h, a.addresses[:], at, a.name)
		}
		becomes(t, false, h.curlTo(t, b.Node))
	})
	t.Run("a program behind a link asks the resolver of the link's VPC", func(t *testing.T) {
		link := overV2(t, b).Link
		got := output(t, m.Isthmus(t.Context(), "run", "--account", accountB, "--link", link, "--", "dig", "+short", "ip-10-0-1-10.ec2.internal"))
		if got != machine.BackendAddress {
			t.Errorf("it finds %q", got)
		}
	})
	t.Run("a query waits for the resolver's process", func(t *testing.T) {
		for range 3 {
			kill(t, "dns", processes(t, m)["dns"])
			if got := sorted(output(t, inA.exec(t.Context(), "dig", "+short", "+tries=1", "+timeout=10", a.name))); !slices.Equal(got, a.addresses[:]) {
				t.Errorf("answers %q", got)
			}
		}
	})
	t.Run("answers go on without the control plane", func(t *testing.T) {
		ns := namespaceOf(t, m, inA)
		ask := func() *exec.Cmd {
			return m.Command(t.Context(), "nsenter", "--net="+ns, "--", "dig", "+short", "+tries=1", "@10.0.0.2", api.ID+domain)
		}
		if got := output(t, ask()); got == "" {
			t.Fatal("no answer")
		}
		pids := processes(t, m)
		killServe(t, m) // nobody starts anything again
		kill(t, "control", pids["control"])
		for range 3 {
			if got := sorted(output(t, ask())); !slices.Equal(got, a.addresses[:]) {
				t.Errorf("answers %q", got)
			}
		}
		if err := m.Serve(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		digs(t, inA, a.addresses[:], api.ID+domain)
	})
	t.Run("no resolver without enableDnsSupport", func(t *testing.T) {
		if _, err := b.AWS.EC2.ModifyVpcAttribute(t.Context(), &ec2.ModifyVpcAttributeInput{
			VpcId: &b.VPC, EnableDnsSupport: &ec2types.AttributeBooleanValue{Value: aws.Bool(false)},
		}); err != nil {
			t.Fatal(err)
		}
		becomes(t, false, func() *exec.Cmd { return inB.exec(t.Context(), "dig", "+tries=1", "+timeout=1", "@10.0.0.2", a.name) })
		traces(t, inB, "10.0.0.2", "no-address")
	})
}

// zonal is an endpoint's name in a zone.
func zonal(regional, zone string) string {
	label, rest, _ := strings.Cut(regional, ".")
	return label + "-" + zone + "." + rest
}

// digs waits until a host's resolver answers with these records.
func digs(t *testing.T, h *host, want []string, query ...string) {
	t.Helper()
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		out, err := machine.Output(h.exec(t.Context(), append([]string{"dig", "+short", "+tries=2", "+timeout=2"}, query...)...))
		return err == nil && slices.Equal(sorted(out), want), fmt.Sprintf("%q, %v", out, err), nil
	})
	if err != nil {
		t.Errorf("dig %q: want %q: %v", query, want, err)
	}
}

// answerIs waits until a host's resolver answers with a status.
func answerIs(t *testing.T, h *host, want string, query ...string) {
	t.Helper()
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		out, err := machine.Output(h.exec(t.Context(), append([]string{"dig", "+tries=2", "+timeout=2"}, query...)...))
		return err == nil && strings.Contains(out, "status: "+want+","), fmt.Sprintf("%s, %v", out, err), nil
	})
	if err != nil {
		t.Errorf("dig %q: want %s: %v", query, want, err)
	}
}

func sorted(lines string) []string {
	list := strings.Fields(lines)
	slices.Sort(list)
	return list
}

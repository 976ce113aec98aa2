package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/directconnect"
	dxtypes "github.com/aws/aws-sdk-go-v2/service/directconnect/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// onPrem is a site whose VPC an on-premises network is joined to.
type onPrem struct {
	*testing.T
	m       *machine.Machine
	site    *machine.Site
	router  *machine.Router
	gateway string // vgw-…
	wires   []machine.Wire
}

func newOnPrem(t *testing.T, m *machine.Machine, s *machine.Site, wires int) *onPrem {
	t.Helper()
	o := &onPrem{T: t, m: m, site: s}
	var err error
	if o.gateway, err = s.AWS.VPNGateway(t.Context(), s.VPC); err != nil {
		t.Fatal(err)
	}
	if o.router, err = m.Router(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(o.router.LogPath())
			t.Logf("BIRD's log:\n%s", log)
		}
		if err := o.router.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range wires {
		w, err := m.Wire(t.Context(), s.AWS, o.gateway, o.router, 10+i)
		if err != nil {
			t.Fatal(err)
		}
		o.wires = append(o.wires, w)
	}
	return o
}

// start starts BIRD, with sessions over all wires.
func (o *onPrem) start(b machine.BGP) {
	o.Helper()
	b.Wires = o.wires
	if err := o.router.Start(b); err != nil {
		o.Fatal(err)
	}
}

// session waits until the sessions of wires are up or down.
func (o *onPrem) session(status dxtypes.BGPStatus, wires ...machine.Wire) {
	o.Helper()
	state := map[dxtypes.BGPStatus]dxtypes.VirtualInterfaceState{
		dxtypes.BGPStatusUp: dxtypes.VirtualInterfaceStateAvailable, dxtypes.BGPStatusDown: dxtypes.VirtualInterfaceStateDown,
	}[status]
	for _, w := range wires {
		if err := machine.Until(o.Context(), 30*time.Second, func() (bool, string, error) {
			v, err := o.site.AWS.Direct.DescribeVirtualInterfaces(o.Context(), &directconnect.DescribeVirtualInterfacesInput{VirtualInterfaceId: &w.ID})
			if err != nil {
				return false, "", err
			}
			is := v.VirtualInterfaces[0]
			ok := is.BgpPeers[0].BgpStatus == status && is.VirtualInterfaceState == state
			return ok, fmt.Sprint("the session of ", w.ID, " is ", is.BgpPeers[0].BgpStatus, ", the interface ", is.VirtualInterfaceState), nil
		}); err != nil {
			o.Fatal(err)
		}
	}
}

// learned are the propagated routes of the VPC's route table.
func (o *onPrem) learned() (routes []string) {
	o.Helper()
	t, err := o.site.AWS.RouteTable(o.Context(), o.site.VPC)
	if err != nil {
		o.Fatal(err)
	}
	for _, r := range t.Routes {
		if r.Origin == ec2types.RouteOriginEnableVgwRoutePropagation && *r.GatewayId == o.gateway {
			routes = append(routes, *r.DestinationCidrBlock)
		}
	}
	return routes
}

// routes waits until the learned routes are these.
func (o *onPrem) routes(want ...string) {
	o.Helper()
	if err := machine.Until(o.Context(), 30*time.Second, func() (bool, string, error) {
		have := o.learned()
		return slices.Equal(have, want), fmt.Sprint("the routes are ", have), nil
	}); err != nil {
		o.Fatal(err)
	}
}

// curl calls from the host behind the router; "" if nobody answers.
func (o *onPrem) curl(args ...string) string {
	o.Helper()
	out, err := o.router.Host(o.Context(), "curl", append([]string{"-sS", "-m", "3"}, args...)...).CombinedOutput()
	if err != nil {
		o.Logf("%q: %v: %s", args, err, out)
		return ""
	}
	return strings.TrimSpace(string(out))
}

// eventually waits until a call from on-premises answers so.
func (o *onPrem) eventually(want string, args ...string) {
	o.Helper()
	if err := machine.Until(o.Context(), 20*time.Second, func() (bool, string, error) {
		got := o.curl(args...)
		return got == want, got, nil
	}); err != nil {
		o.Fatalf("%q: want %q: %v", args, want, err)
	}
}

func (o *onPrem) allow(group string, ports ...int32) {
	o.Helper()
	for _, p := range ports {
		if _, err := o.site.AWS.EC2.AuthorizeSecurityGroupIngress(o.Context(), &ec2.AuthorizeSecurityGroupIngressInput{
			GroupId: &group, IpPermissions: []ec2types.IpPermission{{
				IpProtocol: aws.String("tcp"), FromPort: &p, ToPort: &p, IpRanges: []ec2types.IpRange{{CidrIp: aws.String(machine.OnPremises)}},
			}},
		}); err != nil {
			o.Fatal(err)
		}
	}
}

// trace tells verdict and steps of a packet.
func (o *onPrem) trace(args ...string) string {
	o.Helper()
	out, _ := o.m.Isthmus(o.Context(), "trace", args...).CombinedOutput() // a drop is a failure too
	return string(out)
}

// TestOnPremises: from a network behind a customer's router, which BIRD joins
// to a VPC, an instance, a load balancer and a private API answer, and an
// instance reaches a host there; without the session nothing does, and the
// cause is named.
func TestOnPremises(t *testing.T) {
	m := start(t)
	s := site(t, m, accountA, machine.SiteOptions{})
	o := newOnPrem(t, m, s, 1)
	wire := o.wires[0].ID
	o.session(dxtypes.BGPStatusDown, o.wires...)
	o.start(machine.BGP{})
	o.session(dxtypes.BGPStatusUp, o.wires...)
	o.routes(machine.OnPremises)
	o.allow(s.Group, 80)

	instance := func() { o.eventually(accountA+" "+machine.OnPremisesHost+" /", "http://"+machine.BackendAddress+"/") }
	instance()
	t.Run("a load balancer", func(t *testing.T) {
		o.eventually(accountA+" "+s.Node+" /lb", "http://"+s.Node+"/lb")
	})
	t.Run("from an instance", func(t *testing.T) {
		server := o.router.Host(t.Context(), "socat", "TCP-LISTEN:7000,fork,reuseaddr", "SYSTEM:echo $SOCAT_PEERADDR")
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { server.Process.Kill(); server.Wait() }()
		if err := machine.Until(t.Context(), 10*time.Second, func() (bool, string, error) {
			out, err := machine.Output(m.Run(t.Context(), accountA, s.Subnet, "", []string{"--private-ip", "10.0.1.60"},
				"socat", "-T2", "-", "TCP:"+machine.OnPremisesHost+":7000,connect-timeout=2"))
			return strings.TrimSpace(out) == "10.0.1.60", fmt.Sprint(out, err), nil
		}); err != nil {
			t.Error(err)
		}
	})
	t.Run("a source that was not announced", func(t *testing.T) {
		if got := o.trace("--from", wire, "--source", "192.168.77.1", "--to", machine.BackendAddress+":80"); !strings.Contains(got, "no-route: no route leads back to 192.168.77.1") {
			t.Error(got)
		}
		if got := o.trace("--from", "192.168.77.1", "--to", machine.BackendAddress+":80"); !strings.Contains(got, "192.168.77.1: no virtual interface has learned a route to it") {
			t.Error(got)
		}
	})
	t.Run("the way of a packet", func(t *testing.T) {
		for _, from := range []string{machine.OnPremisesHost, machine.OnPremises, wire + "/" + machine.OnPremisesHost} {
			if got := o.trace("--from", from, "--to", machine.BackendAddress+":80"); !strings.Contains(got, wire) || !strings.HasSuffix(got, "\nforwarded\n") {
				t.Errorf("from %s: %s", from, got)
			}
		}
		if got := o.trace("--from", o.backend(), "--to", machine.OnPremisesHost+":7000"); !strings.Contains(got, wire) || !strings.HasSuffix(got, "\nforwarded\n") {
			t.Error(got)
		}
	})

	t.Run("a route table that takes no routes over", func(t *testing.T) {
		table, err := s.AWS.RouteTable(t.Context(), s.VPC)
		if err != nil {
			t.Fatal(err)
		}
		id := *table.RouteTableId
		if _, err := s.AWS.EC2.DisableVgwRoutePropagation(t.Context(), &ec2.DisableVgwRoutePropagationInput{GatewayId: &o.gateway, RouteTableId: &id}); err != nil {
			t.Fatal(err)
		}
		o.routes()
		o.eventually("", "http://"+machine.BackendAddress+"/") // the tables follow the answer
		for _, to := range []string{machine.BackendAddress, s.Node} {
			if got := o.trace("--from", machine.OnPremisesHost, "--to", to+":80"); !strings.Contains(got, "no-route: "+id+", of eni-") || !strings.Contains(got, "has no route back to "+machine.OnPremisesHost) {
				t.Error(got)
			}
		}
		if _, err := s.AWS.EC2.EnableVgwRoutePropagation(t.Context(), &ec2.EnableVgwRoutePropagationInput{GatewayId: &o.gateway, RouteTableId: &id}); err != nil {
			t.Fatal(err)
		}
		o.routes(machine.OnPremises)
		instance()
	})

	// The private API, which lets only the host in, by its own address.
	endpoint, address := o.endpoint()
	api := overV1(t, s)
	patch(t, s.AWS, api.ID, "/endpointConfiguration/types/0", "PRIVATE", "/endpointConfiguration/vpcEndpointIds", endpoint,
		"/policy", policyOf(allowAll(), denyIf("NotIpAddress", "aws:VpcSourceIp", machine.OnPremisesHost+"/32")))
	deploy(t, s.AWS, api.ID)
	call := []string{"--cacert", authorityFile(t, m), "--connect-to", "::" + address + ":", "https://" + api.ID + ".execute-api.us-east-1.amazonaws.com/prod/pets"}
	private := func() { o.eventually(accountA+" "+s.Node+" /pets", call...) }
	private()

	t.Run("is drawn", func(t *testing.T) {
		texts := []string{"on-premises", "office at EqDC2", "office " + wire, "peer " + o.wires[0].Customer + ", AS 65000, BGP up", machine.OnPremises, "learned", o.gateway}
		for form, args := range map[string][]string{"outline": {"--width", "100"}, "drawing": {"--width", "400"}, "picture": {"--svg", "-"}} {
			got := output(t, m.Isthmus(t.Context(), "show", args...))
			for _, text := range texts {
				if !strings.Contains(got, text) {
					t.Errorf("the %s does not have %q:\n%s", form, text, got)
				}
			}
		}
	})

	// A restart of the control process is no matter for the session.
	since := o.uptime(o.wires[0])
	kill(t, "control", processes(t, m)["control"])
	private()
	if now := o.uptime(o.wires[0]); isAnew(since, now) {
		t.Errorf("the session began anew: %s, before %s", now, since)
	}

	if err := o.router.Stop(); err != nil {
		t.Fatal(err)
	}
	o.session(dxtypes.BGPStatusDown, o.wires...)
	o.routes()
	o.eventually("", call...)
	outline := output(t, m.Isthmus(t.Context(), "show", "--width", "100"))
	for _, words := range [][]string{{"BGP down"}, {machine.OnPremises, "withdrawn"}, {"the session ended: "}} {
		if !hasLine(outline, words...) {
			t.Errorf("%q is not drawn:\n%s", words, outline)
		}
	}
	cause := "propagated routes of " + o.gateway + " are withdrawn because the BGP session of " + wire + " with " + o.wires[0].Customer + " (AS 65000) is down"
	for _, args := range [][]string{
		{"--from", wire, "--source", machine.OnPremisesHost, "--to", address + ":443"},
		{"--from", machine.OnPremisesHost, "--to", address + ":443"},
		{"--from", o.backend(), "--to", machine.OnPremisesHost + ":7000"},
	} {
		if got := o.trace(args...); !strings.Contains(got, "no-route: ") || !strings.Contains(got, cause) {
			t.Errorf("%q: %s", args, got)
		}
	}
	// With a route that the router has not from BGP, the packets are dropped
	// at the wire.
	output(t, o.router.Command(t.Context(), "ip", "route", "add", "10.0.0.0/16", "via", o.wires[0].Amazon))
	if got := o.curl(call...); got != "" {
		t.Errorf("with a route, but no session: %s", got)
	}
	if status := output(t, m.Isthmus(t.Context(), "status")); !hasLine(status, "no-route", wire) {
		t.Errorf("no drop is counted:\n%s", status)
	}
	output(t, o.router.Command(t.Context(), "ip", "route", "del", "10.0.0.0/16"))

	o.start(machine.BGP{})
	o.session(dxtypes.BGPStatusUp, o.wires...)
	instance()
	private()
}

func hasLine(text string, words ...string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true
		}
	}
	return false
}

// endpoint makes an interface endpoint of private APIs that lets the
// on-premises network in.
func (o *onPrem) endpoint() (id, address string) {
	o.Helper()
	api, ctx := o.site.AWS.EC2, o.Context()
	g, err := api.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("endpoint"), Description: aws.String("the endpoint"), VpcId: &o.site.VPC})
	if err != nil {
		o.Fatal(err)
	}
	o.allow(*g.GroupId, 443)
	e, err := api.CreateVpcEndpoint(ctx, &ec2.CreateVpcEndpointInput{
		VpcId: &o.site.VPC, ServiceName: aws.String(machine.ExecuteAPI), VpcEndpointType: ec2types.VpcEndpointTypeInterface,
		SubnetIds: []string{o.site.Subnet}, SecurityGroupIds: []string{*g.GroupId}, PrivateDnsEnabled: aws.Bool(false),
	})
	if err != nil {
		o.Fatal(err)
	}
	n, err := api.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: e.VpcEndpoint.NetworkInterfaceIds})
	if err != nil {
		o.Fatal(err)
	}
	return *e.VpcEndpoint.VpcEndpointId, *n.NetworkInterfaces[0].PrivateIpAddress
}

// backend is the network interface of the site's instance.
func (o *onPrem) backend() string {
	o.Helper()
	n, err := o.site.AWS.EC2.DescribeNetworkInterfaces(o.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: aws.String("vpc-id"), Values: []string{o.site.VPC}},
		{Name: aws.String("addresses.private-ip-address"), Values: []string{machine.BackendAddress}},
	}})
	if err != nil {
		o.Fatal(err)
	}
	return *n.NetworkInterfaces[0].NetworkInterfaceId
}

// uptime is since when the router has its session over a wire, as BIRD tells.
func (o *onPrem) uptime(w machine.Wire) time.Time {
	o.Helper()
	out, err := o.router.BIRD(o.Context(), "show", "protocols", w.Session())
	if err != nil {
		o.Fatal(err)
	}
	for line := range strings.SplitSeq(out, "\n") {
		if f := strings.Fields(line); len(f) > 5 && f[0] == w.Session() {
			since, err := time.Parse("15:04:05.000", f[4])
			if err != nil {
				o.Fatal(err)
			}
			return since
		}
	}
	o.Fatalf("BIRD tells of no session: %s", out)
	return time.Time{}
}

// isAnew tells whether a session has begun again. BIRD counts its age from two
// clocks, which differ by a millisecond; a new one takes a second.
func isAnew(before, now time.Time) bool { return now.Sub(before).Abs() > 500*time.Millisecond }

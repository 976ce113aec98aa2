package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestFunctions: programs outside every VPC, behind version 2 links into two
// VPCs with the same addresses.
func TestFunctions(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{Locations: slowLocation})
	b := site(t, m, accountB, machine.SiteOptions{})
	sum := putSlow(t, a)
	group := addGroup(t, a, "link")
	linkA, linkB := linkV2(t, a, group), linkV2(t, b)
	f := addFunction(t, m, accountA, linkA)
	g := addFunction(t, m, accountB, linkB)

	t.Run("each reaches its own VPC, as the link's interface there", func(t *testing.T) {
		for _, x := range []struct {
			from *host
			site *machine.Site
		}{{f, a}, {g, b}} {
			if at := linkAddress(t, x.site); x.from.address != at {
				t.Errorf("the program was told to be %s, the link is %s", x.from.address, at)
			}
			for path, to := range map[string]string{"/direct": machine.BackendAddress, "/balanced": x.site.Node} {
				seen := x.from.address
				if to == x.site.Node {
					seen = x.site.Node // the balancer is not told to preserve the client
				}
				want := fmt.Sprintf("%s %s %s", x.site.AWS.Account, seen, path)
				if got := output(t, x.from.curl(t.Context(), "http://"+to+path)); got != want {
					t.Errorf("answer %q, want %q", got, want)
				}
			}
		}
	})
	t.Run("the link's security groups decide, and the target's", func(t *testing.T) {
		everything, web := fromCIDR("-1", -1, -1, "0.0.0.0/0"), fromCIDR("tcp", 80, 80, machine.BackendAddress+"/32")
		change := func(t *testing.T, add, remove ec2types.IpPermission) {
			t.Helper()
			_, err := a.AWS.EC2.AuthorizeSecurityGroupEgress(t.Context(), &ec2.AuthorizeSecurityGroupEgressInput{GroupId: &group, IpPermissions: []ec2types.IpPermission{add}})
			if err == nil {
				_, err = a.AWS.EC2.RevokeSecurityGroupEgress(t.Context(), &ec2.RevokeSecurityGroupEgressInput{GroupId: &group, IpPermissions: []ec2types.IpPermission{remove}})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		becomes(t, true, f.curlTo(t, a.Node))
		change(t, web, everything)
		becomes(t, false, f.curlTo(t, a.Node))
		becomes(t, false, f.curlTo(t, machine.BackendAddress+":81"))
		becomes(t, true, f.curlTo(t, machine.BackendAddress))
		for to, cause := range map[string]string{
			a.Node + ":80":                  "sg-egress: " + group,
			machine.BackendAddress + ":81":  "sg-egress: " + group,
			machine.BackendAddress + ":80":  "",
			machine.BackendAddress + ":443": "sg-egress: " + group,
		} {
			stopped(t, f, to, cause)
		}
		change(t, everything, web)
		if err := a.Revoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		becomes(t, false, f.curlTo(t, machine.BackendAddress))
		stopped(t, f, machine.BackendAddress+":80", "sg-ingress: "+a.Group)
		if err := a.Allow(t.Context()); err != nil {
			t.Fatal(err)
		}
		becomes(t, true, f.curlTo(t, machine.BackendAddress))
	})
	t.Run("nothing reaches a program, and it reaches nothing of API Gateway's", func(t *testing.T) { apart(t, m, a, f, g) })
	t.Run("who may not have one", func(t *testing.T) {
		for _, x := range []struct{ account, link, want string }{
			{accountB, linkA, "account " + accountB + " has no VPC link"},
			{accountA, "abcdef", "account " + accountA + " has no VPC link"},
			{accountA, overV1(t, a).Link, "is of version 1"},
		} {
			out, err := m.Isthmus(t.Context(), "run", "--account", x.account, "--link", x.link, "--", "true").CombinedOutput()
			if err == nil || !strings.Contains(string(out), x.want) {
				t.Errorf("want %q: %v, %s", x.want, err, out)
			}
		}
		out, err := m.Isthmus(t.Context(), "run", "--account", accountA, "--link", linkA, "--subnet", b.Subnet, "--", "true").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "its subnets are") {
			t.Errorf("a subnet that is not the link's: %v, %s", err, out)
		}
	})
	t.Run("everything else may die", func(t *testing.T) {
		becomes(t, true, f.curlTo(t, machine.BackendAddress))
		x := download(t, f, machine.BackendAddress)
		killEverything(t, m)
		x.progress(t)
		if err := m.Serve(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		x.complete(t, sum)
		becomes(t, true, f.curlTo(t, machine.BackendAddress))
		becomes(t, true, g.curlTo(t, machine.BackendAddress))
	})
	t.Run("a link in use is not deleted, and is not in use when its program was killed", func(t *testing.T) {
		remove := func() error {
			_, err := a.AWS.HTTP.DeleteVpcLink(t.Context(), &apigatewayv2.DeleteVpcLinkInput{VpcLinkId: &linkA})
			return err
		}
		if err := remove(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("'%s', is used by [%s]", linkA, f.instance)) {
			t.Errorf("a link in use: %v", err)
		}
		becomes(t, true, f.curlTo(t, machine.BackendAddress))
		if err := f.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		f.cmd.Wait() // it was killed
		if err := machine.Until(t.Context(), patience, func() (bool, string, error) {
			err := remove()
			return err == nil, fmt.Sprint(err), nil
		}); err != nil {
			t.Fatal(err)
		}
		left := programInterfaces(t, m)
		if len(left) != 2 || slices.ContainsFunc(left, func(n ec2types.NetworkInterface) bool { return !strings.HasSuffix(*n.Description, g.instance) }) {
			t.Errorf("of programs there are %d interfaces, want the two of %s", len(left), g.instance)
		}
		becomes(t, true, g.curlTo(t, machine.BackendAddress))
		g.stop()
		if err := machine.Until(t.Context(), patience, func() (bool, string, error) {
			left := programInterfaces(t, m)
			return len(left) == 0, fmt.Sprint(len(left), " interfaces are left"), nil
		}); err != nil {
			t.Errorf("programs have ended: %v", err)
		}
	})
}

// apart tries every way into a program's namespace, and the ways out of it that
// are not the link's.
func apart(t *testing.T, m *machine.Machine, a *machine.Site, f, g *host) {
	server := startHost(t, m, function(t, m, accountA, "", linkOf(t, m, f), "socat", "TCP4-LISTEN:8000,fork,reuseaddr", `SYSTEM:echo HTTP/1.0 200 OK; echo; echo here`))
	becomes(t, true, server.curlTo(t, "127.0.0.1:8000"))
	neighbour := addHost(t, m, accountA, a.Subnet, "", nil)
	if err := allowAllTo(t, a, server.eni); err == nil {
		t.Error("the customer may change the groups of a program's interface")
	}
	own := programAddresses(t, m, server)
	gateway := output(t, m.Isthmus(t.Context(), "exec", "gateway", "--", "hostname", "-I"))
	for _, address := range append(own, server.address) {
		for who, from := range map[string]*host{"the VPC": neighbour, "a program on the same link": f, "a program on another link": g} {
			if out, err := machine.Output(from.curl(t.Context(), "http://"+address+":8000/")); err == nil {
				t.Errorf("%s reaches %s: %s", who, address, out)
			}
		}
		for _, who := range []string{"gateway", "health"} {
			cmd := m.Isthmus(t.Context(), "exec", who, "--", "curl", "-sS", "--connect-timeout", "0.5", "http://"+address+":8000/")
			if out, err := machine.Output(cmd); err == nil {
				t.Errorf("the %s process reaches %s: %s", who, address, out)
			}
		}
	}
	for _, from := range append(own, "") {
		for _, to := range append(strings.Fields(gateway), "100.64.0.5") {
			options := []string{"--interface", from}
			if from == "" {
				options = nil
			}
			if out, err := machine.Output(f.curl(t.Context(), "http://"+to+":8081/", options...)); err == nil {
				t.Errorf("a program reaches %s: %s", to, out)
			}
		}
	}
	// The network that its own addresses are of is not its neighbourhood: a
	// virtual interface of its VPC may have an address there.
	if via := sourceTo(t, f, "169.254.10.1"); via != sourceOf(t, f) {
		t.Errorf("it sends to %s from %s", "169.254.10.1", via)
	}
	// From the address that is not the link's it reaches nothing at all.
	mine := programAddresses(t, m, f)
	for _, from := range mine {
		_, err := machine.Output(f.curl(t.Context(), "http://"+machine.BackendAddress+"/", "--interface", from))
		if isLinks := from == sourceOf(t, f); (err == nil) != isLinks {
			t.Errorf("from %s: %v", from, err)
		}
	}
}

func allowAllTo(t *testing.T, s *machine.Site, eni string) error {
	_, err := s.AWS.EC2.ModifyNetworkInterfaceAttribute(t.Context(), &ec2.ModifyNetworkInterfaceAttributeInput{
		NetworkInterfaceId: &eni, Groups: []string{s.Group},
	})
	return err
}

// function is "isthmus run --link".
func function(t *testing.T, m *machine.Machine, account, subnet, link string, program ...string) *exec.Cmd {
	args := []string{"--account", account, "--link", link}
	if subnet != "" {
		args = append(args, "--subnet", subnet)
	}
	return m.Isthmus(context.WithoutCancel(t.Context()), "run", append(append(args, "--"), program...)...)
}

// addFunction starts a program behind a link, beside which commands are run.
func addFunction(t *testing.T, m *machine.Machine, account, link string) *host {
	t.Helper()
	return startHost(t, m, function(t, m, account, "", link, "sleep", "infinity"))
}

func linkV2(t *testing.T, s *machine.Site, groups ...string) string {
	t.Helper()
	link, err := s.LinkV2(t.Context(), groups...)
	if err == nil {
		err = s.WaitV2(t.Context(), link)
	}
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// stopped asks for the trace of a packet from a host; it is to end with this
// cause, or to be forwarded if there is none.
func stopped(t *testing.T, from *host, to, cause string) {
	t.Helper()
	out, _ := from.m.Isthmus(t.Context(), "trace", "--from", from.eni, "--to", to).CombinedOutput()
	if cause == "" {
		cause = "\nforwarded\n"
	}
	if !strings.Contains(string(out), cause) {
		t.Errorf("the trace to %s does not say %q:\n%s", to, cause, out)
	}
}

// programInterfaces are the interfaces of all programs behind links.
func programInterfaces(t *testing.T, m *machine.Machine) (list []ec2types.NetworkInterface) {
	t.Helper()
	out, err := m.AWS("392220576650").EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range out.NetworkInterfaces {
		if strings.HasPrefix(*n.Description, "Isthmus program ") {
			list = append(list, n)
		}
	}
	return list
}

// programAddresses are the addresses of a program's two interfaces.
func programAddresses(t *testing.T, m *machine.Machine, h *host) (addresses []string) {
	t.Helper()
	for _, n := range programInterfaces(t, m) {
		if strings.HasSuffix(*n.Description, h.instance) {
			addresses = append(addresses, *n.PrivateIpAddress)
		}
	}
	if len(addresses) != 2 {
		t.Fatalf("interfaces of %s: %v", h.instance, addresses)
	}
	return addresses
}

// sourceOf is the address from which a host sends.
func sourceOf(t *testing.T, h *host) string {
	t.Helper()
	return sourceTo(t, h, machine.BackendAddress)
}

// sourceTo is the address from which a program sends to another.
func sourceTo(t *testing.T, h *host, to string) string {
	t.Helper()
	var routes []struct {
		Source netip.Addr `json:"prefsrc"`
	}
	out := output(t, h.exec(t.Context(), "ip", "-json", "route", "get", to))
	if err := json.Unmarshal([]byte(out), &routes); err != nil || len(routes) != 1 {
		t.Fatalf("route: %s, %v", out, err)
	}
	return routes[0].Source.String()
}

// linkOf is the link that a program's source interface belongs to.
func linkOf(t *testing.T, m *machine.Machine, h *host) string {
	t.Helper()
	source := sourceOf(t, h)
	for _, i := range status(t, m).Interfaces {
		if slices.Contains(i.Addresses, netip.MustParseAddr(source)) {
			return i.Owner
		}
	}
	t.Fatalf("no interface has %s", source)
	return ""
}

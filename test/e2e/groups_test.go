package e2e

import (
	"fmt"
	"os/exec"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestSecurityGroups: rules decide about packets.
func TestSecurityGroups(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{Locations: slowLocation})
	sum := putSlow(t, a)
	service, clients, strangers := addGroup(t, a, "service"), addGroup(t, a, "clients"), addGroup(t, a, "strangers")
	echo := addHost(t, m, accountA, a.Subnet, service, nil, "socat", "UDP4-RECVFROM:7,fork", "EXEC:cat")
	peer := addHost(t, m, accountA, a.Subnet, service, nil)
	client := addHost(t, m, accountA, a.Subnet, clients, nil)
	stranger := addHost(t, m, accountA, a.Subnet, strangers, nil)

	t.Run("udp from the interfaces of a group, whichever these are", func(t *testing.T) {
		becomes(t, false, client.udp(t, echo.address))
		revoke := allow(t, a, service, fromGroup("udp", 7, 7, clients))
		becomes(t, true, client.udp(t, echo.address))
		becomes(t, false, stranger.udp(t, echo.address))
		setGroups(t, a, stranger, strangers, clients)
		becomes(t, true, stranger.udp(t, echo.address))
		setGroups(t, a, stranger, strangers)
		becomes(t, false, stranger.udp(t, echo.address))
		revoke()
		becomes(t, false, client.udp(t, echo.address))
	})
	t.Run("icmp of one type, which is not tcp or udp", func(t *testing.T) {
		revoke := allow(t, a, service, fromGroup("icmp", 8, -1, clients))
		becomes(t, true, client.ping(t, echo.address))
		becomes(t, false, client.udp(t, echo.address))
		becomes(t, false, stranger.ping(t, echo.address))
		becomes(t, false, echo.ping(t, client.address)) // the way back is open to answers only
		revoke()
		becomes(t, false, client.ping(t, echo.address))
	})
	t.Run("a group that names itself", func(t *testing.T) {
		becomes(t, false, peer.ping(t, echo.address))
		revoke := allow(t, a, service, fromGroup("-1", -1, -1, service))
		becomes(t, true, peer.ping(t, echo.address))
		becomes(t, true, peer.udp(t, echo.address))
		becomes(t, false, client.ping(t, echo.address))
		revoke()
		becomes(t, false, peer.udp(t, echo.address))
	})
	t.Run("a tracked connection outlives its rule", func(t *testing.T) {
		becomes(t, true, client.curlTo(t, machine.BackendAddress))
		x := download(t, client, machine.BackendAddress)
		if err := a.Revoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		becomes(t, false, client.curlTo(t, machine.BackendAddress))
		x.progress(t)
		x.complete(t, sum)
	})
	t.Run("an untracked connection ends with its rule", func(t *testing.T) {
		// The group has no other rule by now. Everything may leave it, too.
		revoke := allow(t, a, a.Group, fromCIDR("tcp", 80, 80, "0.0.0.0/0"))
		becomes(t, true, client.curlTo(t, machine.BackendAddress))
		x := download(t, client, machine.BackendAddress)
		revoke()
		x.stops(t)
		becomes(t, false, client.curlTo(t, machine.BackendAddress))
	})
}

// udp sends a datagram to port 7 and succeeds if it comes back. The shell reads
// one byte, since each of its reads takes a datagram.
func (h *host) udp(t *testing.T, address string) func() *exec.Cmd {
	script := fmt.Sprintf(`exec 3<>/dev/udp/%s/7; echo datagram >&3; read -N 1 -t 0.5 -u 3 back; [ "$back" = d ]`, address)
	return func() *exec.Cmd { return h.exec(t.Context(), "bash", "-c", script) }
}

func (h *host) ping(t *testing.T, address string) func() *exec.Cmd {
	return func() *exec.Cmd { return h.exec(t.Context(), "ping", "-n", "-c", "1", "-W", "0.5", address) }
}

// setGroups puts a host's interface into security groups.
func setGroups(t *testing.T, s *machine.Site, h *host, groups ...string) {
	t.Helper()
	if _, err := s.AWS.EC2.ModifyNetworkInterfaceAttribute(t.Context(), &ec2.ModifyNetworkInterfaceAttributeInput{
		NetworkInterfaceId: &h.eni, Groups: groups,
	}); err != nil {
		t.Fatal(err)
	}
}

package directconnect

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/directconnect"
	"github.com/aws/aws-sdk-go-v2/service/directconnect/types"
	"github.com/aws/smithy-go"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/directconnect"
)

const (
	account  = "111111111111"
	stranger = "222222222222"
	region   = "us-east-1"
)

// fixture is the service behind its wire format, with a gateway of ASN 64512 on
// a VPC 10.0.0.0/16 and a connection, called by the SDK.
type fixture struct {
	*testing.T
	*directconnect.Client // of the account
	other                 *directconnect.Client
	db                    *store.DB
	url                   string
	gateway, connection   string
	foreign               string // a gateway of the other account
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	server := httptest.NewServer(wire.NewHandler(wire.Options{Log: slog.New(slog.DiscardHandler)}, wire.Service{API: api.API, Server: New(db)}))
	t.Cleanup(server.Close)
	as := func(account string) *directconnect.Client {
		return directconnect.New(directconnect.Options{
			Region: region, BaseEndpoint: &server.URL, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(account, "x", ""),
		})
	}
	f := &fixture{T: t, Client: as(account), other: as(stranger), db: db, url: server.URL, gateway: "vgw-0a", foreign: "vgw-0b"}
	f.update(func(tx *store.Tx) error {
		v, err := vpc.CreateVPC(tx, vpc.VPCSpec{Account: account, Region: region, CIDR: netip.MustParsePrefix("10.0.0.0/16")})
		if err != nil {
			return err
		}
		store.VPNGateways.Put(tx, &resource.VPNGateway{Meta: resource.Meta{Account: account, Region: region}, ID: f.gateway, ASN: 64512, VPC: v.ID})
		store.VPNGateways.Put(tx, &resource.VPNGateway{Meta: resource.Meta{Account: stranger, Region: region}, ID: f.foreign, ASN: 64512})
		return vpc.EnsureServiceVPC(tx, region)
	})
	c, err := f.CreateConnection(t.Context(), &directconnect.CreateConnectionInput{
		Location: aws.String("EqDC2"), Bandwidth: aws.String("1Gbps"), ConnectionName: aws.String("office"),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.connection = *c.ConnectionId
	return f
}

func (f *fixture) update(change func(tx *store.Tx) error) {
	f.Helper()
	if _, err := f.db.Update(f.Context(), change); err != nil {
		f.Fatal(err)
	}
}

// private is a virtual interface on the gateway, changed.
func (f *fixture) private(vlan int32, changes ...func(*types.NewPrivateVirtualInterface)) *directconnect.CreatePrivateVirtualInterfaceInput {
	n := &types.NewPrivateVirtualInterface{VirtualInterfaceName: aws.String("office"), Vlan: vlan, Asn: 65000, VirtualGatewayId: &f.gateway}
	for _, c := range changes {
		c(n)
	}
	return &directconnect.CreatePrivateVirtualInterfaceInput{ConnectionId: &f.connection, NewPrivateVirtualInterface: n}
}

func addresses(amazon, customer string) func(*types.NewPrivateVirtualInterface) {
	return func(n *types.NewPrivateVirtualInterface) { n.AmazonAddress, n.CustomerAddress = &amazon, &customer }
}

// refused checks that an error is AWS's, with this message.
func refused(t *testing.T, name string, err error, message string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != "DirectConnectClientException" || e.ErrorMessage() != message {
		t.Errorf("%s: %v, want DirectConnectClientException: %s", name, err, message)
	}
}

// shown is the one virtual interface with an id.
func (f *fixture) shown(id *string) types.VirtualInterface {
	f.Helper()
	out, err := f.DescribeVirtualInterfaces(f.Context(), &directconnect.DescribeVirtualInterfacesInput{VirtualInterfaceId: id})
	if err != nil || len(out.VirtualInterfaces) != 1 {
		f.Fatalf("%v: %v", out, err)
	}
	return out.VirtualInterfaces[0]
}

// TestVirtualInterface takes a virtual interface through its states.
func TestVirtualInterface(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	v, err := f.CreatePrivateVirtualInterface(ctx, f.private(101))
	if err != nil {
		t.Fatal(err)
	}
	if *v.AmazonAddress != "169.254.128.1/30" || *v.CustomerAddress != "169.254.128.2/30" || *v.AmazonSideAsn != 64512 || *v.Location != "EqDC2" {
		t.Errorf("made %+v", v)
	}
	state := func(want types.VirtualInterfaceState, peer types.BGPPeerState, session types.BGPStatus) {
		t.Helper()
		if is := f.shown(v.VirtualInterfaceId); is.VirtualInterfaceState != want || is.BgpPeers[0].BgpPeerState != peer || is.BgpPeers[0].BgpStatus != session {
			t.Errorf("%s, its peer %s, its session %s; want %s, %s, %s", is.VirtualInterfaceState,
				is.BgpPeers[0].BgpPeerState, is.BgpPeers[0].BgpStatus, want, peer, session)
		}
	}
	state(types.VirtualInterfaceStatePending, types.BGPPeerStatePending, types.BGPStatusDown)
	f.update(func(tx *store.Tx) error {
		r, _ := store.VirtualInterfaces.Get(tx, *v.VirtualInterfaceId)
		r.Provisioned = true
		store.VirtualInterfaces.Put(tx, r)
		return nil
	})
	state(types.VirtualInterfaceStateDown, types.BGPPeerStateAvailable, types.BGPStatusDown)
	f.update(func(tx *store.Tx) error {
		store.BGPSessions.Put(tx, &resource.BGPSession{Interface: *v.VirtualInterfaceId, Up: true, Since: time.Now()})
		return nil
	})
	state(types.VirtualInterfaceStateAvailable, types.BGPPeerStateAvailable, types.BGPStatusUp)

	second, err := f.CreatePrivateVirtualInterface(ctx, f.private(102))
	if err != nil || *second.AmazonAddress != "169.254.128.5/30" {
		t.Errorf("the second has %v: %v", second, err)
	}
	if u, err := f.UpdateVirtualInterfaceAttributes(ctx, &directconnect.UpdateVirtualInterfaceAttributesInput{
		VirtualInterfaceId: v.VirtualInterfaceId, Mtu: aws.Int32(9001), VirtualInterfaceName: aws.String("jumbo"),
	}); err != nil || *u.Mtu != 9001 || *u.VirtualInterfaceName != "jumbo" {
		t.Errorf("updated %v: %v", u, err)
	}
	_, err = f.DeleteConnection(ctx, &directconnect.DeleteConnectionInput{ConnectionId: &f.connection})
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != "DirectConnectClientException" {
		t.Errorf("a connection in use: %v", err)
	}
	for _, id := range []*string{v.VirtualInterfaceId, second.VirtualInterfaceId} {
		out, err := f.DeleteVirtualInterface(ctx, &directconnect.DeleteVirtualInterfaceInput{VirtualInterfaceId: id})
		if err != nil || out.VirtualInterfaceState != types.VirtualInterfaceStateDeleted {
			t.Errorf("deleted %v: %v", out, err)
		}
		_, err = f.DeleteVirtualInterface(ctx, &directconnect.DeleteVirtualInterfaceInput{VirtualInterfaceId: id})
		refused(t, "delete again", err, "Virtual Interface with ID "+*id+" does not exist")
	}
	if n := store.BGPSessions.List(f.db.View()); len(n) != 0 {
		t.Errorf("sessions that are left: %v", n)
	}
	if _, err := f.DeleteConnection(ctx, &directconnect.DeleteConnectionInput{ConnectionId: &f.connection}); err != nil {
		t.Error(err)
	}
}

// TestRefused: whatever can't be is refused, and nothing is made.
func TestRefused(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	if _, err := f.CreatePrivateVirtualInterface(ctx, f.private(101, addresses("192.0.2.1/30", "192.0.2.2/30"))); err != nil {
		t.Fatal(err)
	}
	type new = types.NewPrivateVirtualInterface
	for _, c := range []struct {
		name    string
		change  func(*new)
		message string
	}{
		{"key", func(n *new) { n.AuthKey = aws.String("secret-key") }, "A BGP authentication key is not supported: TCP MD5 signatures (RFC 2385) do not survive the translation of addresses. Leave out authKey."},
		{"Direct Connect gateway", func(n *new) { n.DirectConnectGatewayId = aws.String("x") }, "Direct Connect gateways are not supported. Use a virtual private gateway."},
		{"no gateway", func(n *new) { n.VirtualGatewayId = nil }, "Virtual gateway ID is required."},
		{"unknown gateway", func(n *new) { n.VirtualGatewayId = aws.String("vgw-9") }, "Virtual Gateway with ID vgw-9 does not exist"},
		{"another account's gateway", func(n *new) { n.VirtualGatewayId = &f.foreign }, "Virtual Gateway with ID vgw-0b does not exist"},
		{"SiteLink", func(n *new) { n.EnableSiteLink = aws.Bool(true) }, "SiteLink is not supported."},
		{"IPv6", func(n *new) { n.AddressFamily = types.AddressFamilyIPv6 }, "Address family ipv6 is not supported."},
		{"no name", func(n *new) { n.VirtualInterfaceName = aws.String("") }, "Virtual interface name must not be empty."},
		{"VLAN 0", func(n *new) { n.Vlan = 0 }, "VLAN 0 is not valid. It must be between 1 and 4094."},
		{"VLAN 4095", func(n *new) { n.Vlan = 4095 }, "VLAN 4095 is not valid. It must be between 1 and 4094."},
		{"VLAN in use", func(n *new) { n.Vlan = 101 }, "VLAN 101 is in use on connection " + f.connection},
		{"negative ASN", func(n *new) { n.Asn = -1 }, "ASN -1 is not valid. It must be between 1 and 4294967294."},
		{"Amazon's ASN", func(n *new) { n.Asn = 64512 }, "ASN 64512 is that of the Amazon side of vgw-0a. Use another."},
		{"MTU", func(n *new) { n.Mtu = aws.Int32(1400) }, "MTU 1400 is not valid. Valid values are 1500 and 9001."},
		{"one address", func(n *new) { n.AmazonAddress = aws.String("192.0.2.5/30") }, "Amazon address and customer address must be given together."},
		{"no length", addresses("192.0.2.5", "192.0.2.6"), "Amazon address 192.0.2.5 is not valid. It must be an IPv4 address with a prefix length between 24 and 31."},
		{"a wide range", addresses("192.0.2.5/30", "192.0.2.6/16"), "Customer address 192.0.2.6/16 is not valid. It must be an IPv4 address with a prefix length between 24 and 31."},
		{"multicast", addresses("224.0.0.1/30", "224.0.0.2/30"), "Amazon address 224.0.0.1/30 is not valid. It must be an IPv4 address with a prefix length between 24 and 31."},
		{"the network's", addresses("192.0.2.4/30", "192.0.2.5/30"), "Amazon address 192.0.2.4/30 is the network's or the broadcast address."},
		{"broadcast", addresses("192.0.2.5/30", "192.0.2.7/30"), "Customer address 192.0.2.7/30 is the network's or the broadcast address."},
		{"two ranges", addresses("192.0.2.5/30", "192.0.2.9/30"), "Amazon address 192.0.2.5/30 and customer address 192.0.2.9/30 are not two addresses of one range."},
		{"one for both", addresses("192.0.2.5/30", "192.0.2.5/30"), "Amazon address 192.0.2.5/30 and customer address 192.0.2.5/30 are not two addresses of one range."},
		{"the resolver's", addresses("169.254.169.253/30", "169.254.169.254/30"), "Amazon address 169.254.169.253/30 is in 169.254.169.0/24, which is reserved for the resolver of VPCs."},
		{"in use", addresses("192.0.2.1/24", "192.0.2.9/24"), "Addresses 192.0.2.1/24 and 192.0.2.9/24 overlap with those of another virtual interface of vgw-0a"},
		{"within the VPC", addresses("10.0.9.1/30", "10.0.9.2/30"), ""},
		{"reserved tag", func(n *new) { n.Tags = []types.Tag{{Key: aws.String("aws:x")}} }, "Tag aws:x is not valid: keys have 1 to 128 characters and do not begin with aws:, values have at most 256."},
	} {
		message := c.message
		if message == "" {
			g, _ := store.VPNGateways.Get(f.db.View(), f.gateway)
			message = "Addresses 10.0.9.1/30 and 10.0.9.2/30 overlap with a range of " + g.VPC
		}
		_, err := f.CreatePrivateVirtualInterface(ctx, f.private(102, c.change))
		refused(t, c.name, err, message)
	}
	unknown := f.private(102)
	unknown.ConnectionId = aws.String("dxcon-9")
	_, err := f.CreatePrivateVirtualInterface(ctx, unknown)
	refused(t, "unknown connection", err, "Could not find Connection with ID dxcon-9")
	if n := len(store.VirtualInterfaces.List(f.db.View())); n != 1 {
		t.Errorf("there are %d virtual interfaces", n)
	}

	for name, c := range map[string]struct {
		change  func(*directconnect.CreateConnectionInput)
		message string
	}{
		"LAG":       {func(in *directconnect.CreateConnectionInput) { in.LagId = aws.String("dxlag-1") }, "Link aggregation groups are not supported."},
		"MACsec":    {func(in *directconnect.CreateConnectionInput) { in.RequestMACSec = aws.Bool(true) }, "MAC Security is not supported."},
		"bandwidth": {func(in *directconnect.CreateConnectionInput) { in.Bandwidth = aws.String("3Gbps") }, "Bandwidth 3Gbps is not valid. Valid values are: 50Mbps, 100Mbps, 200Mbps, 300Mbps, 400Mbps, 500Mbps, 1Gbps, 2Gbps, 5Gbps, 10Gbps, 25Gbps, 100Gbps, 400Gbps."},
		"name":      {func(in *directconnect.CreateConnectionInput) { in.ConnectionName = aws.String("") }, "Connection name and location must not be empty."},
	} {
		in := &directconnect.CreateConnectionInput{Location: aws.String("EqDC2"), Bandwidth: aws.String("1Gbps"), ConnectionName: aws.String("x")}
		c.change(in)
		_, err := f.CreateConnection(ctx, in)
		refused(t, name, err, c.message)
	}
}

// TestForeign: what is another account's does not exist.
func TestForeign(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	v, err := f.CreatePrivateVirtualInterface(ctx, f.private(101))
	if err != nil {
		t.Fatal(err)
	}
	connection, virtual := "Could not find Connection with ID "+f.connection, "Virtual Interface with ID "+*v.VirtualInterfaceId+" does not exist"
	arn := "arn:aws:directconnect:" + region + ":" + account + ":dxvif/" + *v.VirtualInterfaceId
	for name, c := range map[string]struct {
		call    func(context.Context, *directconnect.Client) error
		message string
	}{
		"describe connection": {func(ctx context.Context, c *directconnect.Client) error {
			_, err := c.DescribeConnections(ctx, &directconnect.DescribeConnectionsInput{ConnectionId: &f.connection})
			return err
		}, connection},
		"delete connection": {func(ctx context.Context, c *directconnect.Client) error {
			_, err := c.DeleteConnection(ctx, &directconnect.DeleteConnectionInput{ConnectionId: &f.connection})
			return err
		}, connection},
		"create on it": {func(ctx context.Context, c *directconnect.Client) error {
			_, err := c.CreatePrivateVirtualInterface(ctx, f.private(102))
			return err
		}, connection},
		"update": {func(ctx context.Context, c *directconnect.Client) error {
			_, err := c.UpdateVirtualInterfaceAttributes(ctx, &directconnect.UpdateVirtualInterfaceAttributesInput{VirtualInterfaceId: v.VirtualInterfaceId, Mtu: aws.Int32(9001)})
			return err
		}, virtual},
		"delete": {func(ctx context.Context, c *directconnect.Client) error {
			_, err := c.DeleteVirtualInterface(ctx, &directconnect.DeleteVirtualInterfaceInput{VirtualInterfaceId: v.VirtualInterfaceId})
			return err
		}, virtual},
		"tag": {func(ctx context.Context, c *directconnect.Client) error {
			_, err := c.TagResource(ctx, &directconnect.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
			return err
		}, "Could not find resource with ARN " + arn},
	} {
		refused(t, name, c.call(ctx, f.other), c.message)
	}
	if out, err := f.other.DescribeVirtualInterfaces(ctx, &directconnect.DescribeVirtualInterfacesInput{}); err != nil || len(out.VirtualInterfaces) != 0 {
		t.Errorf("a stranger sees %v: %v", out, err)
	}
	if out, err := f.other.DescribeVirtualGateways(ctx, &directconnect.DescribeVirtualGatewaysInput{}); err != nil || len(out.VirtualGateways) != 1 || *out.VirtualGateways[0].VirtualGatewayId != f.foreign {
		t.Errorf("a stranger sees %v: %v", out, err)
	}
	if _, err := f.TagResource(ctx, &directconnect.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}); err != nil {
		t.Error(err)
	}
	if tags := f.shown(v.VirtualInterfaceId).Tags; len(tags) != 1 || *tags[0].Key != "a" || *tags[0].Value != "b" {
		t.Errorf("tags %v", tags)
	}
}

// TestFreeWire: addresses are given out that nobody else has, and no others.
func TestFreeWire(t *testing.T) {
	var used []netip.Prefix
	for i := range 128 {
		if i != 7 && i != 41 { // 41: 169.254.169.0/24
			used = append(used, netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254, byte(128 + i), 0}), 24))
		}
	}
	for i := range 64 {
		amazon, customer := freeWire(used)
		want := netip.AddrFrom4([4]byte{169, 254, 135, byte(4*i + 1)})
		if amazon != netip.PrefixFrom(want, 30) || customer != netip.PrefixFrom(want.Next(), 30) {
			t.Fatalf("%d: %s, %s", i, amazon, customer)
		}
		used = append(used, amazon.Masked())
	}
	if amazon, _ := freeWire(used); amazon.IsValid() {
		t.Errorf("%s, where none is left", amazon)
	}
}

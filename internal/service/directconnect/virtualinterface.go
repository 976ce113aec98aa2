package directconnect

import (
	"context"
	"net/netip"
	"slices"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/directconnect"
)

// maxInterfaces is AWS's limit for a dedicated connection.
const maxInterfaces = 50

// CreatePrivateVirtualInterface makes a private virtual interface.
func (s *Service) CreatePrivateVirtualInterface(ctx context.Context, in *api.CreatePrivateVirtualInterfaceInput) (*api.VirtualInterface, error) {
	sc := scopeOf(ctx)
	v, err := readInterface(in.NewPrivateVirtualInterface)
	if err != nil {
		return nil, err
	}
	var out *api.VirtualInterface
	_, err = s.db.Update(ctx, func(tx *store.Tx) error {
		v := *v
		c, err := sc.findConnection(tx, *in.ConnectionId)
		if err != nil {
			return err
		}
		v.Meta, v.ID, v.Peer, v.Connection = sc.meta(v.Tags), newID("dxvif"), newID("dxpeer"), c.ID
		if err := sc.fit(tx, &v); err != nil {
			return err
		}
		if err := vpc.CreateVirtualInterface(tx, &v); err != nil {
			return err
		}
		out = showInterface(tx, &v)
		return nil
	})
	return out, err
}

// readInterface checks a new virtual interface by itself.
func readInterface(in *api.NewPrivateVirtualInterface) (*resource.VirtualInterface, error) {
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	v := &resource.VirtualInterface{
		Meta: resource.Meta{Tags: tags}, Name: *in.VirtualInterfaceName, VLAN: *in.Vlan, ASN: *in.Asn,
		Gateway: wire.Val(in.VirtualGatewayId), MTU: defaultMTU,
	}
	switch {
	case wire.Val(in.AuthKey) != "":
		return nil, invalid("A BGP authentication key is not supported: TCP MD5 signatures (RFC 2385) do not survive the translation of addresses. Leave out authKey.")
	case in.DirectConnectGatewayId != nil:
		return nil, invalid("Direct Connect gateways are not supported. Use a virtual private gateway.")
	case v.Gateway == "":
		return nil, invalid("Virtual gateway ID is required.")
	case wire.Val(in.EnableSiteLink):
		return nil, invalid("SiteLink is not supported.")
	case wire.Val(in.AddressFamily) == api.AddressFamilyIpv6:
		return nil, invalid("Address family ipv6 is not supported.")
	case v.Name == "":
		return nil, invalid("Virtual interface name must not be empty.")
	case v.VLAN < 1 || v.VLAN > 4094:
		return nil, invalid("VLAN %d is not valid. It must be between 1 and 4094.", v.VLAN)
	case v.ASN < 1 || v.ASN > 4294967294:
		return nil, invalid("ASN %d is not valid. It must be between 1 and 4294967294.", v.ASN)
	}
	if in.Mtu != nil {
		v.MTU = *in.Mtu
	}
	if err := checkMTU(v.MTU); err != nil {
		return nil, err
	}
	if (in.AmazonAddress == nil) != (in.CustomerAddress == nil) {
		return nil, invalid("Amazon address and customer address must be given together.")
	}
	if in.AmazonAddress == nil {
		return v, nil
	}
	if v.AmazonAddress, err = readAddress("Amazon", *in.AmazonAddress); err != nil {
		return nil, err
	}
	if v.CustomerAddress, err = readAddress("Customer", *in.CustomerAddress); err != nil {
		return nil, err
	}
	if v.AmazonAddress.Masked() != v.CustomerAddress.Masked() || v.AmazonAddress == v.CustomerAddress {
		return nil, invalid("Amazon address %s and customer address %s are not two addresses of one range.", v.AmazonAddress, v.CustomerAddress)
	}
	return v, nil
}

const (
	defaultMTU = 1500
	jumboMTU   = 9001
)

func checkMTU(mtu int64) error {
	if mtu != defaultMTU && mtu != jumboMTU {
		return invalid("MTU %d is not valid. Valid values are %d and %d.", mtu, defaultMTU, jumboMTU)
	}
	return nil
}

// resolverRange has the VPC resolver's link-local address, and others at which
// AWS serves every VPC. They are never a wire's.
var resolverRange = netip.PrefixFrom(resource.LinkLocalResolver, 24).Masked()

// readAddress reads an address with the bits of its range: 24 to 31, as AWS
// has them.
func readAddress(whose, text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() || p.Bits() < 24 || p.Bits() > 31 || !p.Addr().IsGlobalUnicast() && !p.Addr().IsLinkLocalUnicast() {
		return p, invalid("%s address %s is not valid. It must be an IPv4 address with a prefix length between 24 and 31.", whose, text)
	}
	if p.Bits() < 31 && (p.Addr() == p.Masked().Addr() || p.Addr().As4()[3]|byte(0xff<<(32-p.Bits())) == 0xff) {
		return p, invalid("%s address %s is the network's or the broadcast address.", whose, text)
	}
	if resolverRange.Overlaps(p) {
		return p, invalid("%s address %s is in %s, which is reserved for the resolver of VPCs.", whose, text, resolverRange)
	}
	return p, nil
}

// fit checks a new virtual interface against what there is, and gives it
// addresses if it has none.
func (sc scope) fit(tx *store.Tx, v *resource.VirtualInterface) error {
	g, ok := store.VPNGateways.Get(tx, v.Gateway)
	if !ok || !sc.owns(g.Meta) {
		return invalid("Virtual Gateway with ID %s does not exist", v.Gateway)
	}
	if v.ASN == g.ASN {
		return invalid("ASN %d is that of the Amazon side of %s. Use another.", v.ASN, g.ID)
	}
	var used []netip.Prefix // ranges of the gateway's wires
	count := 0
	for other := range store.VirtualInterfaces.Scan(tx) {
		if other.Connection == v.Connection {
			if count++; other.VLAN == v.VLAN {
				return invalid("VLAN %d is in use on connection %s", v.VLAN, v.Connection)
			}
		}
		if other.Gateway == v.Gateway {
			used = append(used, other.AmazonAddress.Masked())
		}
	}
	if count >= maxInterfaces {
		return invalid("Connection %s has the maximum number of virtual interfaces: %d", v.Connection, maxInterfaces)
	}
	if !v.AmazonAddress.IsValid() {
		if v.AmazonAddress, v.CustomerAddress = freeWire(used); !v.AmazonAddress.IsValid() {
			return invalid("No addresses are left for virtual interfaces of %s. Give Amazon address and customer address.", g.ID)
		}
	}
	for _, p := range used {
		if p.Overlaps(v.AmazonAddress.Masked()) {
			return invalid("Addresses %s and %s overlap with those of another virtual interface of %s", v.AmazonAddress, v.CustomerAddress, g.ID)
		}
	}
	if network, ok := store.VPCs.Get(tx, g.VPC); ok && network.Overlaps(v.AmazonAddress.Masked()) {
		return invalid("Addresses %s and %s overlap with a range of %s", v.AmazonAddress, v.CustomerAddress, network.ID)
	}
	return nil
}

// freeWire chooses the first /30 of the upper half of 169.254.0.0/16 that
// overlaps with nothing in use; nothing if there is none. The lower half is left
// to programs outside every VPC, whose own addresses they can't dial; a wire
// there must be asked for.
func freeWire(used []netip.Prefix) (amazon, customer netip.Prefix) {
	for n := 128 << 8; n < 1<<16; n += 4 {
		at := func(i int) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254, byte(n >> 8), byte(n + i)}), 30)
		}
		if !resolverRange.Overlaps(at(0)) && !slices.ContainsFunc(used, at(0).Overlaps) {
			return at(1), at(2)
		}
	}
	return
}

// findInterface finds the caller's virtual interface.
func (sc scope) findInterface(r store.Reader, id string) (*resource.VirtualInterface, error) {
	if v, ok := store.VirtualInterfaces.Get(r, id); ok && sc.owns(v.Meta) {
		return v, nil
	}
	return nil, invalid("Virtual Interface with ID %s does not exist", id)
}

// DescribeVirtualInterfaces lists virtual interfaces; none, and no error, if the
// one that is asked for does not exist.
func (s *Service) DescribeVirtualInterfaces(ctx context.Context, in *api.DescribeVirtualInterfacesInput) (*api.DescribeVirtualInterfacesOutput, error) {
	sc, view := scopeOf(ctx), s.db.View()
	out := &api.DescribeVirtualInterfacesOutput{VirtualInterfaces: []*api.VirtualInterface{}}
	if in.ConnectionId != nil {
		if _, err := sc.findConnection(view, *in.ConnectionId); err != nil {
			return nil, err
		}
	}
	for v := range store.VirtualInterfaces.Scan(view) {
		if sc.owns(v.Meta) && (in.VirtualInterfaceId == nil || *in.VirtualInterfaceId == v.ID) &&
			(in.ConnectionId == nil || *in.ConnectionId == v.Connection) {
			out.VirtualInterfaces = append(out.VirtualInterfaces, showInterface(view, v))
		}
	}
	return out, nil
}

// UpdateVirtualInterfaceAttributes changes name and MTU.
func (s *Service) UpdateVirtualInterfaceAttributes(ctx context.Context, in *api.UpdateVirtualInterfaceAttributesInput) (*api.VirtualInterface, error) {
	if wire.Val(in.EnableSiteLink) {
		return nil, invalid("SiteLink is not supported.")
	}
	if in.Mtu != nil {
		if err := checkMTU(*in.Mtu); err != nil {
			return nil, err
		}
	}
	var out *api.VirtualInterface
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		v, err := scopeOf(ctx).findInterface(tx, *in.VirtualInterfaceId)
		if err != nil {
			return err
		}
		if in.Mtu != nil {
			v.MTU = *in.Mtu
		}
		if in.VirtualInterfaceName != nil && *in.VirtualInterfaceName != "" {
			v.Name = *in.VirtualInterfaceName
		}
		store.VirtualInterfaces.Put(tx, v)
		out = showInterface(tx, v)
		return nil
	})
	return out, err
}

// DeleteVirtualInterface removes a virtual interface; its session ends.
func (s *Service) DeleteVirtualInterface(ctx context.Context, in *api.DeleteVirtualInterfaceInput) (*api.DeleteVirtualInterfaceOutput, error) {
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		v, err := scopeOf(ctx).findInterface(tx, *in.VirtualInterfaceId)
		if err != nil {
			return err
		}
		vpc.DeleteVirtualInterface(tx, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteVirtualInterfaceOutput{VirtualInterfaceState: wire.Ptr(api.VirtualInterfaceStateDeleted)}, nil
}

// DescribeVirtualGateways lists the caller's virtual private gateways.
func (s *Service) DescribeVirtualGateways(ctx context.Context, _ *api.DescribeVirtualGatewaysInput) (*api.DescribeVirtualGatewaysOutput, error) {
	sc := scopeOf(ctx)
	out := &api.DescribeVirtualGatewaysOutput{VirtualGateways: []*api.VirtualGateway{}}
	for g := range store.VPNGateways.Scan(s.db.View()) {
		if sc.owns(g.Meta) {
			out.VirtualGateways = append(out.VirtualGateways, &api.VirtualGateway{VirtualGatewayId: &g.ID, VirtualGatewayState: wire.Ptr("available")})
		}
	}
	return out, nil
}

// showInterface tells the state as it is: of the wire and of the session.
func showInterface(r store.Reader, v *resource.VirtualInterface) *api.VirtualInterface {
	state, status, peer := api.VirtualInterfaceStateDown, api.BGPStatusDown, api.BGPPeerStateAvailable
	if !v.Provisioned {
		state, peer = api.VirtualInterfaceStatePending, api.BGPPeerStatePending
	} else if s, ok := store.BGPSessions.Get(r, v.ID); ok && s.Up {
		state, status = api.VirtualInterfaceStateAvailable, api.BGPStatusUp
	}
	amazon, customer := v.AmazonAddress.String(), v.CustomerAddress.String()
	out := &api.VirtualInterface{
		OwnerAccount: &v.Account, VirtualInterfaceId: &v.ID, ConnectionId: &v.Connection, VirtualInterfaceType: wire.Ptr("private"),
		VirtualInterfaceName: &v.Name, Vlan: &v.VLAN, Asn: &v.ASN, AmazonAddress: &amazon, CustomerAddress: &customer,
		AddressFamily: wire.Ptr(api.AddressFamilyIpv4), VirtualInterfaceState: &state, Mtu: &v.MTU, JumboFrameCapable: wire.Ptr(true),
		VirtualGatewayId: &v.Gateway, Region: &v.Region, RouteFilterPrefixes: []*api.RouteFilterPrefix{}, Tags: showTags(v.Tags),
		SiteLinkEnabled: wire.Ptr(false),
		BgpPeers: []*api.BGPPeer{{
			BgpPeerId: &v.Peer, Asn: &v.ASN, AddressFamily: wire.Ptr(api.AddressFamilyIpv4), AmazonAddress: &amazon,
			CustomerAddress: &customer, BgpPeerState: &peer, BgpStatus: &status,
		}},
	}
	if c, ok := store.DXConnections.Get(r, v.Connection); ok {
		out.Location = &c.Location
	}
	if g, ok := store.VPNGateways.Get(r, v.Gateway); ok {
		out.AmazonSideAsn = &g.ASN
	}
	return out
}

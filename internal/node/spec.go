package node

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"github.com/isthmus-net/isthmus/internal/tables"
)

// spec is a device as it should be: the veth pair of an ENI.
type spec struct {
	place
	// extra are the addresses beside the primary, ascending: the ENI's
	// secondary ones and those of the NAT sources that it carries.
	extra []netip.Addr
	// locals are the ranges of the VPC, ascending.
	locals []netip.Prefix
}

// place is what of a device does not change while it is plugged in.
type place struct {
	number  uint32
	id      string
	netns   string // path
	own     bool   // the node makes the namespace
	mac     [6]byte
	subnet  netip.Prefix
	primary netip.Addr
	source  netip.Addr // from which programs send; one of extra unless primary
	// shares: what is sent appears as from another ENI, whose own programs
	// send too. The two must not take one source port.
	shares bool
	mtu    int
	// noRoutes: the namespace is a router, whose routes are its own.
	noRoutes bool
}

func (s spec) equal(o spec) bool {
	return s.place == o.place && slices.Equal(s.extra, o.extra) && slices.Equal(s.locals, o.locals)
}

// router is the address of the subnet's implicit router.
func (s spec) router() netip.Addr { return s.subnet.Masked().Addr().Next() }

// hostName is the name of an ENI's device in the fabric.
func hostName(number uint32) string { return fmt.Sprintf("eni%d", number) }

// interfaceID is what an ENI's id, or a virtual interface's, looks like. It becomes a file's name.
var interfaceID = regexp.MustCompile(`^(eni|dxvif)-[0-9a-z]{1,64}$`)

// wanted lists the devices that the tables ask for, by number. An ENI that
// can't have the device it asks for has an error instead.
func wanted(t *tables.Tables, dir Dir) ([]spec, map[uint32]error) {
	locals := map[uint32][]netip.Prefix{}
	for _, rt := range t.RouteTables {
		for _, r := range rt.Routes {
			if r.Kind == tables.Local {
				locals[rt.Number] = append(locals[rt.Number], r.Prefix)
			}
		}
		slices.SortFunc(locals[rt.Number], netip.Prefix.Compare)
	}
	carried := map[uint32][]netip.Addr{}
	for _, e := range t.ENIs {
		if e.Kind == tables.NATSource {
			carried[e.Carrier] = append(carried[e.Carrier], e.Addresses...)
		}
	}
	var specs []spec
	problems := map[uint32]error{}
	for _, e := range t.ENIs {
		if e.Device == nil {
			continue
		}
		if err := checkDevice(e); err != nil {
			problems[e.Number] = fmt.Errorf("make device of %q: %w", e.ID, err)
			continue
		}
		s := spec{
			place: place{
				number: e.Number, id: e.ID, netns: e.Device.Netns, own: e.Device.Netns == "",
				mac: e.MAC, subnet: e.Subnet, primary: e.Addresses[0], source: e.Addresses[0], shares: e.Owner == OwnerHealth,
				mtu: cmp.Or(e.Device.MTU, mtu), noRoutes: e.Device.NoRoutes,
			},
			extra:  slices.Concat(e.Addresses[1:], carried[e.Number]),
			locals: locals[e.RouteTable],
		}
		if s.own {
			s.netns = dir.Namespace(e.ID)
		}
		if from := e.Device.Source; from.IsValid() {
			if !slices.Contains(s.extra, from) {
				problems[e.Number] = fmt.Errorf("make device of %q: %v, from which it is to send, is none of its addresses", e.ID, from)
				continue
			}
			s.source = from
		}
		slices.SortFunc(s.extra, netip.Addr.Compare)
		s.extra = slices.Compact(s.extra)
		specs = append(specs, s)
	}
	slices.SortFunc(specs, func(a, b spec) int { return cmp.Compare(a.number, b.number) })
	return specs, problems
}

// checkDevice guards what becomes the name of a file or of a device.
func checkDevice(e tables.ENI) error {
	switch {
	case e.Number == 0 || e.Number > 1<<31:
		return errors.New("number out of range")
	case !interfaceID.MatchString(e.ID):
		return errors.New("not an id of an ENI")
	case e.Kind != tables.Host:
		return errors.New("its kind has no device")
	case !e.Subnet.IsValid() || !e.Subnet.Addr().Is4():
		return errors.New("no IPv4 subnet")
	case len(e.Addresses) == 0:
		return errors.New("no address")
	case e.MAC[0]&1 != 0 || e.MAC == [6]byte{}:
		return errors.New("not a unicast MAC address")
	}
	for _, a := range e.Addresses {
		if !a.Is4() {
			return fmt.Errorf("%v is not an IPv4 address", a)
		}
	}
	return nil
}

// difference splits two ascending lists into what only one of them has.
func difference(have, want []netip.Addr) (add, remove []netip.Addr) {
	for len(have) > 0 || len(want) > 0 {
		switch {
		case len(have) == 0 || len(want) > 0 && want[0].Less(have[0]):
			add, want = append(add, want[0]), want[1:]
		case len(want) == 0 || have[0].Less(want[0]):
			remove, have = append(remove, have[0]), have[1:]
		default:
			have, want = have[1:], want[1:]
		}
	}
	return add, remove
}

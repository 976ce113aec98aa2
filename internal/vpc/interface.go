package vpc

import (
	"net/netip"
	"slices"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
)

// InterfaceSpec says what ENI to make.
type InterfaceSpec struct {
	ID              string // chosen if empty
	Account, Region string
	Subnet          string
	// Address is the primary address; the zero address lets one be chosen.
	Address netip.Addr
	// Groups are the security groups. An ENI without any is not filtered:
	// what a user makes must have at least the VPC's default group.
	Groups      []string
	Description string
	Type        resource.InterfaceType // InterfacePlain if empty
	Requester   string                 // see resource.NetworkInterface for these four
	Owner       string
	NAT         string
	Carrier     string

	NoSourceDestCheck bool
	Attachment        *resource.Attachment
	Tags              map[string]string
}

// CreateInterface makes an ENI and takes its address from the subnet. The
// errors are AWS's, ErrNoAddress among them.
func CreateInterface(tx *store.Tx, spec InterfaceSpec) (*resource.NetworkInterface, error) {
	subnet, err := FindSubnet(tx, spec.Account, spec.Region, spec.Subnet)
	if err != nil {
		return nil, err
	}
	groups, err := CheckGroups(tx, spec.Account, spec.Region, subnet.VPC, spec.Groups)
	if err != nil {
		return nil, err
	}
	address, err := takeAddress(subnet, spec.Address)
	if err != nil {
		return nil, err
	}
	store.Subnets.Put(tx, subnet)
	if spec.ID == "" {
		spec.ID = NewID("eni")
	}
	if spec.Type == "" {
		spec.Type = resource.InterfacePlain
	}
	number := tx.Next(counterInterface)
	n := &resource.NetworkInterface{
		Meta:            newMeta(spec.Account, spec.Region, spec.Tags),
		ID:              spec.ID,
		Number:          number,
		VPC:             subnet.VPC,
		Subnet:          subnet.ID,
		Addresses:       []netip.Addr{address},
		MAC:             macAddress(number),
		Groups:          groups,
		Description:     spec.Description,
		Type:            spec.Type,
		SourceDestCheck: !spec.NoSourceDestCheck,
		Attachment:      spec.Attachment,
		Requester:       spec.Requester,
		Owner:           spec.Owner,
		NAT:             spec.NAT,
		Carrier:         spec.Carrier,
	}
	store.NetworkInterfaces.Put(tx, n)
	return n, nil
}

// DeleteInterface removes an ENI, if it exists, and gives its addresses back
// to the subnet.
func DeleteInterface(tx *store.Tx, id string) {
	n, ok := store.NetworkInterfaces.Get(tx, id)
	if !ok {
		return
	}
	if subnet, ok := store.Subnets.Get(tx, n.Subnet); ok {
		for _, a := range n.Addresses {
			releaseAddress(subnet, a)
		}
		store.Subnets.Put(tx, subnet)
	}
	store.NetworkInterfaces.Delete(tx, id)
}

// maxAddresses is the number of addresses of one ENI: AWS's limit for its
// largest instances.
const maxAddresses = 50

// AssignAddresses gives an ENI more addresses of its subnet: the wanted ones,
// then so many that are chosen. It returns the new ones.
func AssignAddresses(tx *store.Tx, n *resource.NetworkInterface, wanted []netip.Addr, choose int) ([]netip.Addr, error) {
	subnet, err := FindSubnet(tx, n.Account, n.Region, n.Subnet)
	if err != nil {
		return nil, err
	}
	if choose < 0 {
		return nil, wire.Errorf(400, "InvalidParameterValue", "The number of addresses cannot be negative")
	}
	// The number is the client's, and bounds what is allocated next.
	if choose > maxAddresses || len(n.Addresses)+len(wanted)+choose > maxAddresses {
		return nil, wire.Errorf(400, "PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit of %d.", maxAddresses)
	}
	wanted = append(wanted[:len(wanted):len(wanted)], make([]netip.Addr, choose)...)
	added := make([]netip.Addr, len(wanted))
	for i, w := range wanted {
		if added[i], err = takeAddress(subnet, w); err != nil {
			return nil, err
		}
	}
	n.Addresses = append(n.Addresses, added...)
	store.Subnets.Put(tx, subnet)
	store.NetworkInterfaces.Put(tx, n)
	return added, nil
}

// UnassignAddresses gives addresses of an ENI back to its subnet. The primary
// address always stays.
func UnassignAddresses(tx *store.Tx, n *resource.NetworkInterface, gone []netip.Addr) {
	kept := n.Addresses[:1:1]
	subnet, found := store.Subnets.Get(tx, n.Subnet)
	for _, a := range n.Addresses[1:] {
		if !slices.Contains(gone, a) {
			kept = append(kept, a)
		} else if found {
			releaseAddress(subnet, a)
		}
	}
	n.Addresses = kept
	if found {
		store.Subnets.Put(tx, subnet)
	}
	store.NetworkInterfaces.Put(tx, n)
}

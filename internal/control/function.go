package control

import (
	"fmt"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
)

// createFunction makes an instance outside every customer's VPC, as functions
// are: what it sends appears in the link's VPC as sent by one of the link's
// ENIs. The instance that it returns has the address that is seen there.
func createFunction(tx *store.Tx, p CreateInstanceParams) (out Instance, err error) {
	link, err := usableLink(tx, p)
	if err != nil {
		return out, err
	}
	customer, ok := store.NetworkInterfaces.Get(tx, chooseInterface(tx, link, p.Subnet))
	if !ok {
		return out, fmt.Errorf("run: VPC link %s has no network interface in subnet %q: its subnets are %q", link.ID, p.Subnet, link.Subnets)
	}
	i := &resource.Instance{
		Meta: resource.Meta{Account: vpc.ServiceAccount(p.Region), Region: p.Region, Created: time.Now().UTC()},
		ID:   vpc.NewID("i"), Link: link.ID,
	}
	if p.Name != "" {
		i.Tags = map[string]string{"Name": p.Name}
	}
	n, err := vpc.CreateFunction(tx, p.Region, i.ID, link.ID, customer.ID)
	if err != nil {
		return out, err
	}
	i.Interface = n.ID
	store.Instances.Put(tx, i)
	return Instance{Instance: i.ID, Interface: n.ID, Number: n.Number, Address: customer.Addresses[0]}, nil
}

// usableLink finds the account's link and checks that it carries packets.
func usableLink(tx *store.Tx, p CreateInstanceParams) (*resource.VPCLinkV2, error) {
	if len(p.Groups) > 0 || p.Address.IsValid() {
		return nil, fmt.Errorf("run: security groups and address are those of VPC link %s", p.Link)
	}
	link, ok := store.VPCLinksV2.Get(tx, p.Link)
	if !ok || link.Account != p.Account || link.Region != p.Region {
		if first, ok := store.VPCLinksV1.Get(tx, p.Link); ok && first.Account == p.Account && first.Region == p.Region {
			return nil, fmt.Errorf("run: VPC link %s is of version 1, which leads to its load balancer only; a program needs one of version 2", p.Link)
		}
		return nil, fmt.Errorf("run: account %s has no VPC link %q of version 2 in %s", p.Account, p.Link, p.Region)
	}
	if link.Status != resource.VPCLinkAvailable {
		return nil, fmt.Errorf("run: VPC link %s is %s: %s", link.ID, link.Status, link.StatusMessage)
	}
	return link, nil
}

// chooseInterface is the link's ENI in a subnet; if none is named, one of those
// that serve the fewest programs. Empty if there is none.
func chooseInterface(r store.Reader, link *resource.VPCLinkV2, subnet string) (eni string) {
	used := map[string]int{}
	for n := range store.NetworkInterfaces.Scan(r) {
		used[n.NAT]++
	}
	for i, pair := range link.Interfaces {
		if subnet != "" && link.Subnets[i] != subnet {
			continue
		}
		if eni == "" || used[pair.Customer] < used[eni] {
			eni = pair.Customer
		}
	}
	return eni
}

package control

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
)

// CreateInstanceParams ask for an instance: an ENI with a namespace of its own.
type CreateInstanceParams struct {
	Account string     `json:"account"`
	Region  string     `json:"region"`
	Subnet  string     `json:"subnet"`
	Groups  []string   `json:"groups"` // empty: the VPC's default group
	Address netip.Addr `json:"address,omitzero"`
	Name    string     `json:"name,omitempty"` // tag Name
	// Link is the version 2 VPC link through which an instance outside every
	// VPC is to reach its subnet, empty for any of the link's; instead of
	// Groups and Address.
	Link string `json:"link,omitempty"`
	// AnySource turns the source/destination check off.
	AnySource bool `json:"anySource,omitempty"`
}

// Instance is what was made.
type Instance struct {
	Instance  string     `json:"instance"`
	Interface string     `json:"interface"`
	Number    uint32     `json:"number"`
	Address   netip.Addr `json:"address"`
}

func (c *controller) createInstance(ctx context.Context, p CreateInstanceParams) (out Instance, err error) {
	_, err = c.db.Update(ctx, func(tx *store.Tx) error {
		if p.Link != "" {
			out, err = createFunction(tx, p)
			return err
		}
		subnet, err := vpc.FindSubnet(tx, p.Account, p.Region, p.Subnet)
		if err != nil {
			return err
		}
		groups := p.Groups
		if len(groups) == 0 {
			v, err := vpc.FindVPC(tx, p.Account, p.Region, subnet.VPC)
			if err != nil {
				return err
			}
			groups = []string{v.DefaultGroup}
		}
		i := &resource.Instance{
			Meta: resource.Meta{Account: p.Account, Region: p.Region, Created: time.Now().UTC()},
			ID:   vpc.NewID("i"),
		}
		if p.Name != "" {
			i.Tags = map[string]string{"Name": p.Name}
		}
		n, err := vpc.CreateInterface(tx, vpc.InterfaceSpec{
			Account: p.Account, Region: p.Region, Subnet: p.Subnet, Address: p.Address, Groups: groups,
			NoSourceDestCheck: p.AnySource, Tags: i.Tags,
			Attachment: &resource.Attachment{ID: vpc.NewID("eni-attach"), Instance: i.ID},
		})
		if err != nil {
			return err
		}
		i.Interface = n.ID
		store.Instances.Put(tx, i)
		out = Instance{Instance: i.ID, Interface: n.ID, Number: n.Number, Address: n.Addresses[0]}
		return nil
	})
	return out, err
}

// TerminateInstanceParams name an instance.
type TerminateInstanceParams struct {
	Instance string `json:"instance"`
}

// terminateInstance removes an instance, its ENI and its registrations as a
// target; no error if it is gone.
func (c *controller) terminateInstance(ctx context.Context, p TerminateInstanceParams) (struct{}, error) {
	_, err := c.db.Update(ctx, func(tx *store.Tx) error {
		if i, ok := store.Instances.Get(tx, p.Instance); ok {
			terminate(tx, i)
		}
		return nil
	})
	return struct{}{}, err
}

// KeepInstancesParams name the instances that still run.
type KeepInstancesParams struct {
	Instances []string `json:"instances"`
}

// keepInstances terminates all other instances: those that ended while nobody
// was there to say so.
func (c *controller) keepInstances(ctx context.Context, p KeepInstancesParams) (struct{}, error) {
	_, err := c.db.Update(ctx, func(tx *store.Tx) error {
		for _, i := range store.Instances.List(tx) {
			if !slices.Contains(p.Instances, i.ID) {
				terminate(tx, i)
			}
		}
		return nil
	})
	return struct{}{}, err
}

func terminate(tx *store.Tx, i *resource.Instance) {
	if n, ok := store.NetworkInterfaces.Get(tx, i.Interface); ok && n.Attachment != nil {
		vpc.DeleteInterface(tx, n.Attachment.Source)
	}
	vpc.DeleteInterface(tx, i.Interface)
	store.Instances.Delete(tx, i.ID)
	for _, g := range store.TargetGroups.List(tx) {
		g.Targets = slices.DeleteFunc(g.Targets, func(t resource.Target) bool { return t.ID == i.ID })
		store.TargetGroups.Put(tx, g) // writes nothing if nothing changed
	}
}

// AttachParams put an ENI into a namespace that exists, or take it out.
type AttachParams struct {
	Interface string `json:"interface"`
	Netns     string `json:"netns"` // a path; empty: a namespace is made
	Detach    bool   `json:"detach,omitempty"`
}

// attachInterface attaches an ENI that is attached to nothing, or detaches one
// that was attached so.
func (c *controller) attachInterface(ctx context.Context, p AttachParams) (out Instance, err error) {
	_, err = c.db.Update(ctx, func(tx *store.Tx) error {
		if v, ok := store.VirtualInterfaces.Get(tx, p.Interface); ok {
			out = Instance{Interface: v.ID, Number: v.CustomerNumber, Address: v.CustomerAddress.Addr()}
			return attachVirtualInterface(tx, v, p)
		}
		n, ok := store.NetworkInterfaces.Get(tx, p.Interface)
		switch {
		case !ok:
			return fmt.Errorf("attach %s: there is no such network interface", p.Interface)
		case n.Requester != "" || n.NAT != "":
			return fmt.Errorf("attach %s: it is managed by %s", n.ID, n.Requester)
		case n.Attachment != nil && n.Attachment.Instance != "":
			return fmt.Errorf("attach %s: it belongs to instance %s", n.ID, n.Attachment.Instance)
		case p.Detach && n.Attachment == nil:
			return fmt.Errorf("detach %s: it is attached to nothing", n.ID)
		case !p.Detach && n.Attachment != nil:
			return fmt.Errorf("attach %s: it is attached to %s already; detach it first", n.ID, n.Attachment.Netns)
		}
		if n.Attachment = nil; !p.Detach {
			n.Attachment = &resource.Attachment{ID: vpc.NewID("eni-attach"), Netns: p.Netns}
		}
		store.NetworkInterfaces.Put(tx, n)
		out = Instance{Interface: n.ID, Number: n.Number, Address: n.Addresses[0]}
		return nil
	})
	return out, err
}

// attachVirtualInterface puts the customer's end of a virtual interface into
// the namespace of its router, or takes it out.
func attachVirtualInterface(tx *store.Tx, v *resource.VirtualInterface, p AttachParams) error {
	g, ok := store.VPNGateways.Get(tx, v.Gateway)
	switch {
	case p.Detach && v.Attachment == nil:
		return fmt.Errorf("detach %s: it is attached to nothing", v.ID)
	case !p.Detach && v.Attachment != nil:
		return fmt.Errorf("attach %s: it is attached to %s already; detach it first", v.ID, v.Attachment.Netns)
	case !p.Detach && (!ok || g.VPC == ""):
		return fmt.Errorf("attach %s: its virtual private gateway %s is attached to no VPC", v.ID, v.Gateway)
	}
	if v.Attachment = nil; !p.Detach {
		v.Attachment = &resource.Attachment{ID: vpc.NewID("eni-attach"), Netns: p.Netns}
	}
	store.VirtualInterfaces.Put(tx, v)
	return nil
}

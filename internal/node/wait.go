package node

import (
	"context"
	"fmt"
	"strings"

	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// Wait waits until an ENI's device is plugged in and known to the packet
// program, and opens its namespace.
func (n *Node) Wait(ctx context.Context, eni string) (*netns.NS, error) {
	for {
		n.mu.Lock()
		d, problem := n.find(eni)
		synced, changed := !n.unsynced, n.changed
		n.mu.Unlock()
		if d != nil && synced {
			if d.own {
				return netns.Open(d.netns)
			}
			return openForeign(d.netns)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if problem != nil {
				return nil, problem
			}
			return nil, fmt.Errorf("wait for device of %s: %w", eni, ctx.Err())
		}
	}
}

// WaitGone waits until an ENI has no device.
func (n *Node) WaitGone(ctx context.Context, eni string) error {
	for {
		n.mu.Lock()
		d, problem := n.find(eni)
		changed := n.changed
		n.mu.Unlock()
		if d == nil && problem == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for device of %s to go: %w", eni, ctx.Err())
		}
	}
}

// find looks for the device of an ENI, or for why it is missing.
func (n *Node) find(eni string) (*device, error) {
	for _, d := range n.devices {
		if d.id == eni {
			return d, nil
		}
	}
	if n.tables != nil {
		for _, e := range n.tables.ENIs {
			if e.ID == eni {
				return nil, n.problems[e.Number]
			}
		}
	}
	return nil, nil
}

// Plugged are the ENIs, by id, whose device is plugged in and known to the
// packet program and whose owner begins with a prefix, with their numbers. The
// channel is closed when that may have changed.
func (n *Node) Plugged(prefix string) (enis map[string]uint32, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	enis = map[string]uint32{}
	if n.tables != nil && !n.unsynced {
		for _, e := range n.tables.ENIs {
			if n.devices[e.Number] != nil && strings.HasPrefix(e.Owner, prefix) {
				enis[e.ID] = e.Number
			}
		}
	}
	return enis, n.changed
}

// Owned waits for the first ENI with a device that belongs to an owner, such as
// the gateway, and returns its id.
func (n *Node) Owned(ctx context.Context, owner string) (string, error) {
	for {
		n.mu.Lock()
		id := owned(n.tables, owner)
		changed := n.changed
		n.mu.Unlock()
		if id != "" {
			return id, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", fmt.Errorf("wait for the ENI of %s: %w", owner, ctx.Err())
		}
	}
}

func owned(t *tables.Tables, owner string) string {
	if t == nil {
		return ""
	}
	for _, e := range t.ENIs {
		if e.Owner == owner && e.Device != nil {
			return e.ID
		}
	}
	return ""
}

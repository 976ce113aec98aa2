package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/internal/tables"
)

// How often what failed is tried again.
const retryEvery = time.Second

// OnConfig applies what the feed brings.
func (n *Node) OnConfig(_ context.Context, revision int64, config json.RawMessage) error {
	var t tables.Tables
	if err := json.Unmarshal(config, &t); err != nil {
		return fmt.Errorf("read tables: %w", err)
	}
	begin := time.Now()
	if err := n.Apply(&t); err != nil {
		return err
	}
	n.log.Debug("tables applied", "revision", revision, "enis", len(t.ENIs), "took", time.Since(begin))
	return nil
}

// Run retries what failed, and notices devices that go by themselves, until
// ctx ends.
func (n *Node) Run(ctx context.Context) error {
	for {
		err := n.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		// Events were lost, so that nothing that is known is certain.
		n.log.Warn("events of fabric were lost", "error", err)
		n.mu.Lock()
		for _, d := range n.devices {
			delete(n.devices, d.number)
		}
		n.unsynced, n.swept = true, false
		n.mu.Unlock()
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
		}
	}
}

// follow follows the events of the fabric until they are lost or ctx ends.
func (n *Node) follow(ctx context.Context) error {
	events := make(chan netlink.LinkUpdate, 256)
	done := make(chan struct{})
	defer func() {
		close(done)
		for range events {
			// The subscription ends by closing it.
		}
	}()
	var lost error
	ns := vnetns.NsHandle(n.fabric.ns.Fd())
	if err := netlink.LinkSubscribeWithOptions(events, done, netlink.LinkSubscribeOptions{
		Namespace:     &ns,
		ErrorCallback: func(err error) { lost = err },
	}); err != nil {
		close(events)
		return fmt.Errorf("subscribe to fabric: %w", err)
	}
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-events:
			if !ok {
				return lost
			}
			if e.Header.Type == unix.RTM_DELLINK {
				n.Lost(e.Attrs().Name, e.Attrs().Index)
			}
		case <-tick.C:
			if err := n.Retry(); err != nil {
				n.log.Error("apply tables again", "error", err)
			}
		}
	}
}

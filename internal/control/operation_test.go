package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// TestOperationsWait: a deregistration has succeeded when the node, the gateway
// and the resolver have applied what belongs to it, not before.
func TestOperationsWait(t *testing.T) {
	for _, late := range []feed.Role{roleGateway, roleDNS} {
		t.Run(string(late), func(t *testing.T) {
			p := newPlant(t)
			for range cap(p.gate) {
				p.gate <- struct{}{}
			}
			released := make(chan struct{})
			for _, role := range []feed.Role{roleGateway, roleDNS} {
				p.subscribe(role, func(ctx context.Context) {
					if role != late {
						return
					}
					select {
					case <-released:
					case <-ctx.Done():
					}
				})
			}
			o := &resource.CloudMapOperation{Account: account, Region: region, ID: "a-00000001", Status: resource.OperationSubmitted, Created: time.Now()}
			p.put(func(tx *store.Tx) { store.CloudMapOperations.Put(tx, o) })
			// Something else that waits for the node, and must not wait for the others.
			p.balancer()
			p.until("the balancer is active", func(s *store.Snapshot) bool {
				if now, _ := store.CloudMapOperations.Get(s, o.Key()); now.Status != resource.OperationSubmitted {
					t.Fatalf("%s while one has applied nothing", now.Status)
				}
				return store.LoadBalancers.List(s)[0].State == "active"
			})
			close(released)
			p.until("SUCCESS", func(s *store.Snapshot) bool {
				now, _ := store.CloudMapOperations.Get(s, o.Key())
				return now.Status == resource.OperationSuccess && !now.Updated.IsZero()
			})
		})
	}
}

// subscribe applies the configurations of a role until the test ends.
func (p *plant) subscribe(role feed.Role, apply func(context.Context)) {
	client := feed.Dial(feed.ClientOptions{Path: p.socket, Role: role, OnConfig: func(ctx context.Context, _ int64, _ json.RawMessage) error {
		apply(ctx)
		return ctx.Err()
	}})
	ctx, cancel := context.WithCancel(p.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	p.t.Cleanup(func() { cancel(); <-ended })
}

func TestOperationsAreForgotten(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	at := time.Now()
	add := func(name, status string, age time.Duration) {
		if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
			store.CloudMapOperations.Put(tx, &resource.CloudMapOperation{Account: account, Region: region, ID: name + "-" + fmt.Sprintf("%08d", len(store.CloudMapOperations.List(tx))), Status: status, Created: at.Add(-age)})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	add("old", resource.OperationSuccess, operationAge+time.Second)
	add("waiting", resource.OperationSubmitted, operationAge+time.Second)
	add("older", resource.OperationSuccess, time.Hour)
	add("newer", resource.OperationSuccess, time.Minute)
	prefix := account + "/" + region + "/"
	for limit, want := range map[int][]string{
		3: {prefix + "00000000/old"},
		2: {prefix + "00000000/old", prefix + "00000002/older"},
		0: {prefix + "00000000/old", prefix + "00000002/older", prefix + "00000003/newer"},
	} {
		if got := forgettable(db.View(), at, limit); !slices.Equal(got, want) {
			t.Errorf("limit %d: forgettable %v, want %v", limit, got, want)
		}
	}
}

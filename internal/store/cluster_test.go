package store

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// cluster is an etcd of one member with the limits that etcd has by default,
// reached over a Unix socket.
type cluster struct {
	dir    string
	server *embed.Etcd
}

func startCluster(t testing.TB) *cluster {
	t.Helper()
	// Not t.TempDir: the path of a socket is at most 107 bytes long.
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &cluster{dir: dir}
	c.start(t)
	t.Cleanup(func() { c.server.Close() })
	return c
}

func (c *cluster) start(t testing.TB) {
	t.Helper()
	config := embeddedConfig(filepath.Join(c.dir, "data"), slog.New(slog.DiscardHandler))
	config.MaxTxnOps = embed.DefaultMaxTxnOps
	config.MaxRequestBytes = embed.DefaultMaxRequestBytes
	socket := []url.URL{{Scheme: "unix", Path: filepath.Join(c.dir, "sock")}}
	config.ListenClientUrls, config.AdvertiseClientUrls = socket, socket
	server, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	<-server.Server.ReadyNotify()
	c.server = server
}

func (c *cluster) config() Config {
	return Config{Endpoints: []string{"unix://" + filepath.Join(c.dir, "sock")}}
}

// settle waits until both stores show the same revision and returns their
// snapshots.
func settle(t testing.TB, a, b *DB) (*Snapshot, *Snapshot) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	revision := max(a.View().Revision(), b.View().Revision())
	for _, db := range []*DB{a, b} {
		if err := db.wait(ctx, func(s *Snapshot) bool { return s.revision >= revision }); err != nil {
			t.Fatal(err)
		}
	}
	return a.View(), b.View()
}

// rival changes the store of another process in the midst of a transaction.
func TestConflicts(t *testing.T) {
	c := startCluster(t)
	one, two := openStore(t, c.config()), openStore(t, c.config())
	write := func(tx *Tx) { others.Put(tx, &thing{ID: "written", Number: rand.Int()}) }
	tests := map[string]struct {
		read  func(tx *Tx) // by one
		rival func(tx *Tx) // by two, meanwhile
		runs  int
	}{
		"read row is changed": {
			read:  func(tx *Tx) { things.Get(tx, "a") },
			rival: func(tx *Tx) { things.Put(tx, &thing{ID: "a", Number: 2}) },
			runs:  2,
		},
		"read row is deleted": {
			read:  func(tx *Tx) { things.Get(tx, "a") },
			rival: func(tx *Tx) { things.Delete(tx, "a") },
			runs:  2,
		},
		"absent row is inserted": {
			read:  func(tx *Tx) { things.Get(tx, "absent") },
			rival: func(tx *Tx) { things.Put(tx, &thing{ID: "absent"}) },
			runs:  2,
		},
		"another row is changed": {
			read:  func(tx *Tx) { things.Get(tx, "a") },
			rival: func(tx *Tx) { things.Put(tx, &thing{ID: "b", Number: 2}) },
			runs:  1,
		},
		"listed table gets a row": {
			read:  func(tx *Tx) { things.List(tx) },
			rival: func(tx *Tx) { things.Put(tx, &thing{ID: "new"}) },
			runs:  2,
		},
		"listed table loses a row": {
			read:  func(tx *Tx) { things.List(tx) },
			rival: func(tx *Tx) { things.Delete(tx, "b") },
			runs:  2,
		},
		"another table gets a row": {
			read:  func(tx *Tx) { things.List(tx) },
			rival: func(tx *Tx) { others.Put(tx, &thing{ID: "new"}) },
			runs:  1,
		},
		"many read rows, one of them changed": {
			read: func(tx *Tx) {
				for i := range 1000 {
					things.Get(tx, fmt.Sprint(i))
				}
			},
			rival: func(tx *Tx) { things.Put(tx, &thing{ID: "999"}) },
			runs:  2,
		},
		"same number drawn": {
			read:  func(tx *Tx) { tx.Next("n") },
			rival: func(tx *Tx) { tx.Next("n") },
			runs:  2,
		},
		"row written as it was, deleted meanwhile": {
			read:  func(tx *Tx) { things.Put(tx, &thing{ID: "a", Number: 1}) },
			rival: func(tx *Tx) { things.Delete(tx, "a") },
			runs:  2,
		},
		"absent row deleted, inserted meanwhile": {
			read:  func(tx *Tx) { things.Delete(tx, "absent") },
			rival: func(tx *Tx) { things.Put(tx, &thing{ID: "absent"}) },
			runs:  2,
		},
	}
	for name, test := range tests {
		for _, writes := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, writes %v", name, writes), func(t *testing.T) {
				update(t, two, func(tx *Tx) {
					for _, v := range things.List(tx) {
						things.Delete(tx, v.ID)
					}
					things.Put(tx, &thing{ID: "a", Number: 1})
					things.Put(tx, &thing{ID: "b", Number: 1})
					others.Delete(tx, "new")
				})
				settle(t, one, two)
				runs := 0
				update(t, one, func(tx *Tx) {
					if runs++; runs == 1 {
						update(t, two, test.rival)
					}
					test.read(tx)
					if writes {
						write(tx)
					}
				})
				if runs != test.runs {
					t.Errorf("the transaction ran %d times, want %d", runs, test.runs)
				}
			})
		}
	}
}

// Each transaction keeps an invariant that only holds if transactions of both
// stores are as if one ran after the other.
func TestSerializable(t *testing.T) {
	c := startCluster(t)
	dbs := []*DB{openStore(t, c.config()), openStore(t, c.config())}
	const limit, attempts = 40, 40
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for i := range attempts {
				update(t, dbs[w%2], func(tx *Tx) {
					// At most so many rows, none of them visible to a rival
					// that reads single rows only.
					if len(things.List(tx)) < limit {
						things.Put(tx, &thing{ID: fmt.Sprintf("%d-%d", w, i), Number: int(tx.Next("n"))})
					} else if w == 0 {
						things.Delete(tx, things.List(tx)[0].ID)
					}
					// Write skew: at least one of the two is on duty.
					x, y := fmt.Sprint("duty", w%2), fmt.Sprint("duty", (w+1)%2)
					if v, ok := others.Get(tx, y); !ok || v.Number == 1 {
						others.Put(tx, &thing{ID: x, Number: 0})
					} else {
						others.Put(tx, &thing{ID: x, Number: 1})
					}
				})
				a, _ := others.Get(dbs[w%2].View(), "duty0")
				b, _ := others.Get(dbs[w%2].View(), "duty1")
				if a != nil && b != nil && a.Number+b.Number == 0 {
					t.Error("nobody is on duty")
				}
				if n := len(things.List(dbs[w%2].View())); n > limit {
					t.Errorf("%d rows, want at most %d", n, limit)
				}
			}
		})
	}
	wg.Wait()
	one, two := settle(t, dbs[0], dbs[1])
	if a, b := keys(one, things), keys(two, things); a != b {
		t.Errorf("the stores differ:\n%s\n%s", a, b)
	}
	numbers := map[int]bool{}
	for v := range things.Scan(one) {
		if numbers[v.Number] {
			t.Errorf("number %d was drawn twice", v.Number)
		}
		numbers[v.Number] = true
	}
}

func TestManyCallersStayWithinEtcdsLimits(t *testing.T) {
	c := startCluster(t)
	db := openStore(t, c.config())
	var wg sync.WaitGroup
	for w := range 200 {
		wg.Go(func() {
			update(t, db, func(tx *Tx) {
				for i := range 3 {
					things.Put(tx, &thing{ID: fmt.Sprint(w, "-", i), Tags: map[string]string{"long": string(make([]byte, 3000))}})
				}
				others.Get(tx, fmt.Sprint(w))
			})
		})
	}
	wg.Wait()
	if n := len(things.List(db.View())); n != 600 {
		t.Errorf("%d rows, want 600", n)
	}
}

func TestOtherProcessesChangesArrive(t *testing.T) {
	c := startCluster(t)
	one, two := openStore(t, c.config()), openStore(t, c.config())
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ch := two.Watch(ctx)
	<-ch
	revision := update(t, one, func(tx *Tx) { things.Put(tx, &thing{ID: "a"}) })
	if s := <-ch; s == nil || s.Revision() != revision || keys(s, things) != "a" {
		t.Errorf("the watch does not show the other process's change: %+v", s)
	}
	// A foreign key in the cluster moves its revision and nothing else.
	if _, err := one.client.Put(ctx, "/elsewhere", "x"); err != nil {
		t.Fatal(err)
	}
	update(t, one, func(tx *Tx) { things.Delete(tx, "a") })
	a, b := settle(t, one, two)
	if keys(a, things) != "" || keys(b, things) != "" {
		t.Error("a deletion after a foreign write is not seen")
	}
}

func TestUnreadableRowKeepsItsLastValue(t *testing.T) {
	c := startCluster(t)
	db := openStore(t, c.config())
	update(t, db, func(tx *Tx) { things.Put(tx, &thing{ID: "a", Number: 1}) })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, key := range []string{"a", "b"} {
		response, err := db.client.Put(ctx, rowKey(things.def, key), "not JSON")
		if err != nil {
			t.Fatal(err)
		}
		if err := db.wait(ctx, func(s *Snapshot) bool { return s.revision >= response.Header.Revision }); err != nil {
			t.Fatal(err)
		}
	}
	if v, ok := things.Get(db.View(), "a"); !ok || v.Number != 1 || keys(db.View(), things) != "a" {
		t.Errorf("rows are %q", keys(db.View(), things))
	}
	if other, err := Open(ctx, c.config()); err == nil {
		other.Close()
		t.Error("a store with an unreadable row was opened")
	}
	update(t, db, func(tx *Tx) { things.Put(tx, &thing{ID: "a", Number: 2}) })
}

func TestCompactedHistory(t *testing.T) {
	c := startCluster(t)
	one, two := openStore(t, c.config()), openStore(t, c.config())
	old := two.View()
	var revision int64
	for i := range 5 {
		revision = update(t, one, func(tx *Tx) { things.Put(tx, &thing{ID: fmt.Sprint(i)}) })
	}
	settle(t, one, two)
	if _, err := one.client.Compact(context.Background(), revision); err != nil {
		t.Fatal(err)
	}
	// A store that slept through the changes and their compaction.
	late := &DB{client: two.client, log: two.log, changed: make(chan struct{}), ctx: two.ctx}
	late.current.Store(old)
	if err := late.followOnce(); err != nil {
		t.Fatal(err)
	}
	if got := keys(late.View(), things); got != "0 1 2 3 4" || late.View().Revision() != revision {
		t.Errorf("rows at %d are %q", late.View().Revision(), got)
	}
}

func TestClusterRestart(t *testing.T) {
	c := startCluster(t)
	one, two := openStore(t, c.config()), openStore(t, c.config())
	update(t, one, func(tx *Tx) { things.Put(tx, &thing{ID: "before"}) })
	c.server.Close()
	if _, err := one.Update(context.Background(), func(tx *Tx) error {
		things.Put(tx, &thing{ID: "lost"})
		return nil
	}); err == nil {
		t.Error("a commit without a cluster succeeded")
	}
	if keys(one.View(), things) != "before" {
		t.Errorf("rows are %q", keys(one.View(), things))
	}
	c.start(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		_, err := one.Update(ctx, func(tx *Tx) error {
			things.Put(tx, &thing{ID: "after"})
			return ctx.Err()
		})
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the store did not recover: %v", err)
		}
	}
	if _, b := settle(t, one, two); keys(b, things) != "after before" {
		t.Errorf("rows are %q", keys(b, things))
	}
}

func TestLoadInPages(t *testing.T) {
	c := startCluster(t)
	ctx := context.Background()
	client, release, err := dialCluster(c.config(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	const n = 2*loadPage + 100
	for i := 0; i < n; i += 100 {
		var ops []clientv3.Op
		for j := i; j < i+100; j++ {
			ops = append(ops, clientv3.OpPut(rowKey(things.def, fmt.Sprintf("%06d", j)), fmt.Sprintf(`{"id":"%06d"}`, j)))
		}
		if _, err := client.Txn(ctx).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	db := openStore(t, c.config())
	if got := len(things.List(db.View())); got != n {
		t.Errorf("%d rows, want %d", got, n)
	}
}

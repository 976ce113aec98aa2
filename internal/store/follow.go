package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// loadPage is the number of rows read in one request.
const loadPage = 5000

// load reads all rows at the present revision.
func load(ctx context.Context, client *clientv3.Client) (*Snapshot, error) {
	s := (&Snapshot{}).edit()
	lists := make([][]*entry, len(s.tables))
	from := keyPrefix
	for {
		options := []clientv3.OpOption{
			clientv3.WithRange(clientv3.GetPrefixRangeEnd(keyPrefix)),
			clientv3.WithLimit(loadPage),
		}
		if s.revision != 0 {
			options = append(options, clientv3.WithRev(s.revision))
		}
		page, err := client.Get(ctx, from, options...)
		if err != nil {
			return nil, fmt.Errorf("read rows: %w", err)
		}
		if s.revision == 0 {
			s.revision = page.Header.Revision
		}
		for _, kv := range page.Kvs {
			def, key, version := parseKey(string(kv.Key))
			switch {
			case def == nil:
			case version:
				s.tables[def.index].version = kv.ModRevision
			default:
				value, err := def.decode(kv.Value)
				if err != nil {
					return nil, fmt.Errorf("read row %s/%s: %w", def.name, key, err)
				}
				lists[def.index] = append(lists[def.index], &entry{key, kv.ModRevision, value})
			}
		}
		if !page.More {
			break
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
	for i, list := range lists {
		s.tables[i].rows = newRows(list)
	}
	return s, nil
}

// Waits between attempts to follow a cluster that does not answer.
const (
	minFollowDelay = 10 * time.Millisecond
	maxFollowDelay = time.Second
)

// follow keeps the current snapshot up to date until the DB is closed.
func (db *DB) follow() {
	defer db.wg.Done()
	delay := minFollowDelay
	for db.ctx.Err() == nil {
		before := db.View().revision
		err := db.followOnce()
		if db.ctx.Err() != nil {
			return
		}
		if db.View().revision != before {
			delay = minFollowDelay
		}
		db.log.Warn("store: the watch ended and is started again", "error", err)
		select {
		case <-time.After(delay):
		case <-db.ctx.Done():
		}
		delay = min(2*delay, maxFollowDelay)
	}
}

// followOnce applies the changes that one watch reports until it ends.
func (db *DB) followOnce() error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(db.ctx))
	defer cancel()
	events := db.client.Watch(ctx, keyPrefix, clientv3.WithPrefix(), clientv3.WithRev(db.View().revision+1))
	for response := range events {
		err := response.Err()
		if errors.Is(err, rpctypes.ErrCompacted) {
			// Changes since the snapshot are gone from etcd's history.
			return db.reload()
		}
		if err != nil {
			return err
		}
		db.apply(response.Events)
	}
	return errors.New("the watch was closed")
}

// reload replaces the snapshot by a newly read one.
func (db *DB) reload() error {
	s, err := load(db.ctx, db.client)
	if err != nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if s.revision > db.View().revision {
		db.publish(s)
	}
	return nil
}

// apply publishes the snapshot after the events, which are whole revisions in
// order. Those that the snapshot has already are skipped: a writer publishes
// its own changes before the watch reports them.
func (db *DB) apply(events []*clientv3.Event) {
	db.mu.Lock()
	defer db.mu.Unlock()
	current := db.View()
	first := slices.IndexFunc(events, func(e *clientv3.Event) bool { return e.Kv.ModRevision > current.revision })
	if first < 0 {
		return
	}
	next := current.edit()
	for _, e := range events[first:] {
		db.applyEvent(next, e)
	}
	next.revision = events[len(events)-1].Kv.ModRevision
	db.publish(next)
}

func (db *DB) applyEvent(s *Snapshot, e *clientv3.Event) {
	def, key, version := parseKey(string(e.Kv.Key))
	if def == nil {
		return
	}
	t := &s.tables[def.index]
	switch {
	case version:
		t.version = e.Kv.ModRevision
	case e.Type == mvccpb.DELETE:
		t.rows = t.rows.delete(key)
	default:
		// The key is the watch response's memory; the entry outlives it.
		next := &entry{key: strings.Clone(key), revision: e.Kv.ModRevision}
		var err error
		if next.value, err = def.decode(e.Kv.Value); err != nil {
			// Somebody else wrote it. The last good row stays in use, so
			// that what depends on it keeps working.
			db.log.Error("store: row can't be read", "table", def.name, "key", key, "error", err)
			old := t.rows.get(key)
			if old == nil {
				return
			}
			next.value = old.value
		}
		t.rows = t.rows.put(next)
	}
}

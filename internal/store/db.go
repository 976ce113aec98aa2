package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var (
	// ErrClosed is returned by Update once the DB is closed.
	ErrClosed = errors.New("the store is closed")
	// ErrLocked is returned by Open when another process has the data
	// directory open.
	ErrLocked = errors.New("the data directory is in use by another process")
	// ErrUnreachable is returned by Open when no member of the external
	// cluster answers.
	ErrUnreachable = errors.New("the cluster does not answer")
)

// Config says where the rows are kept: exactly one of Dir and Endpoints is
// set.
type Config struct {
	// Dir is the data directory of an embedded etcd, made if it is missing.
	Dir string
	// Endpoints are client URLs of an external cluster.
	Endpoints []string
	// TLS is used for endpoints with the scheme https.
	TLS *tls.Config
	// Log gets what goes wrong later, and etcd's own warnings. Nothing is
	// logged if it is nil.
	Log *slog.Logger
}

// DB is an open store. It is safe for concurrent use.
type DB struct {
	client  *clientv3.Client
	alone   bool // no other process writes
	log     *slog.Logger
	release func() error // closes what Open opened

	current atomic.Pointer[Snapshot]
	mu      sync.Mutex      // guards changes of current, and what follows
	changed chan struct{}   // closed and replaced at each change of current
	readers map[*watch]bool // nil once closed

	jobs   chan *job
	ctx    context.Context // ends when the DB is closed
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// openTimeout bounds the wait for an external cluster's first answer.
const openTimeout = 5 * time.Second

// Open opens the store and reads all rows. Errors match [ErrLocked],
// [ErrUnreachable] or those of package os where these are the cause.
func Open(ctx context.Context, config Config) (*DB, error) {
	db, err := open(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return db, nil
}

func open(ctx context.Context, config Config) (*DB, error) {
	db := &DB{
		log:     config.Log,
		changed: make(chan struct{}),
		readers: map[*watch]bool{},
		jobs:    make(chan *job),
	}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	var err error
	switch {
	case config.Dir != "" && len(config.Endpoints) > 0:
		return nil, errors.New("both a data directory and endpoints are given")
	case config.Dir != "":
		db.alone = true
		db.client, db.release, err = startEmbedded(ctx, config.Dir, db.log)
	case len(config.Endpoints) > 0:
		db.client, db.release, err = dialCluster(config, db.log)
	default:
		return nil, errors.New("neither a data directory nor endpoints are given")
	}
	if err != nil {
		return nil, err
	}
	loadCtx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	snapshot, err := load(loadCtx, db.client)
	if err != nil {
		db.release()
		if !db.alone && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("%w within %v: %v", ErrUnreachable, openTimeout, config.Endpoints)
		}
		return nil, err
	}
	db.current.Store(snapshot)
	db.ctx, db.cancel = context.WithCancel(context.Background())
	db.wg.Add(2)
	go db.follow()
	go db.writeJobs()
	return db, nil
}

// Close ends all watches and closes the store. Transactions that are being
// committed are waited for.
func (db *DB) Close() error {
	db.mu.Lock()
	closed := db.readers == nil
	for w := range db.readers {
		close(w.snapshots)
	}
	db.readers = nil
	db.mu.Unlock()
	if closed {
		return nil
	}
	db.cancel()
	db.wg.Wait()
	if err := db.release(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// View returns the latest snapshot.
func (db *DB) View() *Snapshot { return db.current.Load() }

// watch is one reader's channel: it holds the latest snapshot that the reader
// has not taken yet.
type watch struct{ snapshots chan *Snapshot }

// Watch returns a channel of snapshots: the present one at once, then the
// latest after each change. A slow reader misses snapshots in between and
// delays nobody. The channel is closed when ctx ends or the DB is closed.
func (db *DB) Watch(ctx context.Context) <-chan *Snapshot {
	w := &watch{snapshots: make(chan *Snapshot, 1)}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.readers == nil {
		close(w.snapshots)
		return w.snapshots
	}
	w.snapshots <- db.current.Load()
	db.readers[w] = true
	context.AfterFunc(ctx, func() {
		db.mu.Lock()
		defer db.mu.Unlock()
		if db.readers[w] {
			delete(db.readers, w)
			close(w.snapshots)
		}
	})
	return w.snapshots
}

// publish makes s the current snapshot. The caller holds db.mu.
func (db *DB) publish(s *Snapshot) {
	db.current.Store(s)
	close(db.changed)
	db.changed = make(chan struct{})
	for w := range db.readers {
		select {
		case <-w.snapshots:
		default:
		}
		w.snapshots <- s // there is room: only publish sends, under the lock
	}
}

// wait waits until the current snapshot is what the caller waits for.
func (db *DB) wait(ctx context.Context, until func(*Snapshot) bool) error {
	for {
		db.mu.Lock()
		changed := db.changed
		db.mu.Unlock()
		if until(db.View()) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-db.ctx.Done():
			return ErrClosed
		}
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// commitTimeout bounds one commit and the wait for what it needs. A commit is
// not ended by its caller's context, so that its outcome is known.
const commitTimeout = 5 * time.Second

// job is a caller of Update. The writer gives it a Tx when it is its turn; it
// answers on ran; the writer reports the outcome, or gives another turn after
// a conflict.
type job struct {
	turn    chan *Tx
	ran     chan bool // false: the function failed, and there is nothing to commit
	outcome chan outcome
	left    chan struct{} // closed when the caller no longer waits
}

type outcome struct {
	revision int64
	err      error
}

// Update runs fn on the latest state and commits what it wrote; fn sees its
// own writes. If another process changed meanwhile what fn had read, fn runs
// again. If fn returns an error, Update returns that error as it is and
// nothing changes.
//
// Update returns the revision of the commit, at which View is by then or
// beyond it; what is acknowledged so is on disk. fn must not call Update, and
// should not do anything slow: it holds up all other transactions. Concurrent
// transactions are joined in one commit. ctx ends the wait for the turn, not
// the commit.
func (db *DB) Update(ctx context.Context, fn func(tx *Tx) error) (int64, error) {
	j := &job{
		turn:    make(chan *Tx),
		ran:     make(chan bool),
		outcome: make(chan outcome, 1),
		left:    make(chan struct{}),
	}
	defer close(j.left)
	jobs, done, closed := db.jobs, ctx.Done(), db.ctx.Done()
	for {
		select {
		case jobs <- j:
			jobs = nil
		case tx := <-j.turn:
			if err := j.run(ctx, tx, fn); err != nil {
				return 0, err
			}
			done, closed = nil, nil // the writer reports
		case o := <-j.outcome:
			return o.revision, o.err
		case <-done:
			return 0, fmt.Errorf("update store: %w", ctx.Err())
		case <-closed:
			return 0, fmt.Errorf("update store: %w", ErrClosed)
		}
	}
}

// run takes a turn. It tells the writer even if fn panics.
func (j *job) run(ctx context.Context, tx *Tx, fn func(tx *Tx) error) (err error) {
	ok := false
	defer func() { j.ran <- ok }()
	if ctx.Err() != nil {
		return fmt.Errorf("update store: %w", ctx.Err())
	}
	if err := fn(tx); err != nil {
		return err
	}
	if tx.err != nil {
		return fmt.Errorf("update store: %w", tx.err)
	}
	ok = true
	return nil
}

// writeJobs is the only writer of this process. It joins the jobs that wait
// into batches.
func (db *DB) writeJobs() {
	defer db.wg.Done()
	var waiting []*job
	for {
		if len(waiting) == 0 {
			select {
			case j := <-db.jobs:
				waiting = append(waiting, j)
			case <-db.ctx.Done():
				return
			}
		}
		waiting = db.writeBatch(waiting)
	}
}

// writeBatch runs jobs, those given first, commits what they did, and reports.
// It returns the jobs that need another turn.
func (db *DB) writeBatch(waiting []*job) (again []*job) {
	b := newBatch(db.View())
	var joined []*job
	for {
		if len(waiting) == 0 {
			select {
			case j := <-db.jobs:
				waiting = append(waiting, j)
			default:
			}
		}
		if len(waiting) == 0 {
			break
		}
		j := waiting[0]
		tx := newTx(b.state)
		select {
		case j.turn <- tx:
		case <-j.left:
			waiting = waiting[1:]
			continue
		}
		if !<-j.ran {
			waiting = waiting[1:]
			continue
		}
		if !b.fits(tx) {
			break
		}
		b.add(tx)
		joined = append(joined, j)
		waiting = waiting[1:]
	}
	o, conflict := db.commit(b)
	if conflict {
		return append(joined, waiting...)
	}
	for _, j := range joined {
		j.outcome <- o
	}
	return waiting
}

// commit writes the batch and makes its state current. On a conflict it waits
// until the state that conflicts has arrived.
func (db *DB) commit(b *batch) (o outcome, conflict bool) {
	if len(b.writes) == 0 && (db.alone || len(b.reads) == 0) {
		return outcome{revision: b.base.revision}, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	response, err := db.client.Txn(ctx).If(b.comparisons()...).Then(b.operations()...).Commit()
	if err != nil {
		return outcome{err: fmt.Errorf("update store: commit: %w", err)}, false
	}
	if !response.Succeeded {
		if err := db.wait(ctx, func(s *Snapshot) bool { return s != b.base }); err != nil {
			return outcome{err: fmt.Errorf("update store: wait for the conflicting change: %w", err)}, false
		}
		return outcome{}, true
	}
	if len(b.writes) == 0 {
		return outcome{revision: b.base.revision}, false
	}
	revision := response.Header.Revision
	if !db.adopt(b, revision) {
		err := db.wait(ctx, func(s *Snapshot) bool { return s.revision >= revision })
		if err != nil && !errors.Is(err, ErrClosed) {
			return outcome{err: fmt.Errorf("update store: wait for the committed change: %w", err)}, false
		}
	}
	return outcome{revision: revision}, false
}

// adopt publishes the batch's state if nothing else happened since its base,
// and so spares the wait for the watch.
func (db *DB) adopt(b *batch, revision int64) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.View() != b.base || revision != b.base.revision+1 {
		return false
	}
	db.publish(b.committed(revision))
	return true
}

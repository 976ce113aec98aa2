package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// thing is the row of the tests' own tables.
type thing struct {
	ID     string            `json:"id"`
	Number int               `json:"number,omitempty"`
	Tags   map[string]string `json:"tags,omitempty"`
	Hidden string            `json:"-"`
}

func (t *thing) Key() string { return t.ID }

var (
	things = NewTable[thing]("test-things")
	others = NewTable[thing]("test-things-too") // a name that begins with another's
)

// openStore opens a store that the test closes.
func openStore(t testing.TB, config Config) *DB {
	t.Helper()
	config.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	db, err := Open(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// update runs fn and fails the test if the transaction fails.
func update(t testing.TB, db *DB, fn func(tx *Tx)) int64 {
	t.Helper()
	revision, err := db.Update(context.Background(), func(tx *Tx) error { fn(tx); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if got := db.View().Revision(); got < revision {
		t.Fatalf("after a commit at revision %d, View is at %d", revision, got)
	}
	return revision
}

// keys are the keys of a table's rows, in the order of List.
func keys(r Reader, table Table[thing]) string {
	var list []string
	for _, v := range table.List(r) {
		list = append(list, v.ID)
	}
	return strings.Join(list, " ")
}

func TestReadWrite(t *testing.T) {
	dir := t.TempDir()
	db := openStore(t, Config{Dir: dir})
	before := db.View()
	arn := "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/net/a/1|10.0.0.1|80"
	revision := update(t, db, func(tx *Tx) {
		for _, id := range []string{"b", arn, "a", "/", "a/b", "\x00", "ü"} {
			things.Put(tx, &thing{ID: id, Number: len(id)})
		}
		others.Put(tx, &thing{ID: "other"})
	})
	const want = "\x00 / a a/b"
	check := func(r Reader) {
		t.Helper()
		if got := keys(r, things); got != want+" "+arn+" b ü" {
			t.Errorf("List = %q", got)
		}
		if got := keys(r, others); got != "other" {
			t.Errorf("List of others = %q", got)
		}
		if v, ok := things.Get(r, arn); !ok || v.Number != len(arn) {
			t.Errorf("Get = %v, %v", v, ok)
		}
		if v, ok := things.Get(r, "absent"); ok || v != nil {
			t.Errorf("Get of an absent row = %v, %v", v, ok)
		}
		if got := len(things.ListPrefix(r, "a")); got != 3 {
			t.Errorf("ListPrefix has %d rows, want 3", got)
		}
		n := 0
		for range things.ScanPrefix(r, "a/") {
			n++
		}
		if n != 1 {
			t.Errorf("ScanPrefix has %d rows, want 1", n)
		}
	}
	check(db.View())
	if got := keys(before, things); got != "" {
		t.Errorf("an older snapshot changed: %q", got)
	}
	if db.View().Revision() != revision {
		t.Errorf("revision %d, want %d", db.View().Revision(), revision)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openStore(t, Config{Dir: dir})
	check(db.View())
	update(t, db, func(tx *Tx) {
		things.Delete(tx, "a")
		things.Delete(tx, "absent")
		if _, ok := things.Get(tx, "a"); ok {
			t.Error("a transaction does not see its own deletion")
		}
	})
	if _, ok := things.Get(db.View(), "a"); ok {
		t.Error("a deleted row is there")
	}
}

func TestRowsOfTxArePrivate(t *testing.T) {
	db := openStore(t, Config{Dir: t.TempDir()})
	update(t, db, func(tx *Tx) { things.Put(tx, &thing{ID: "a", Tags: map[string]string{"k": "old"}}) })
	shared, _ := things.Get(db.View(), "a")
	update(t, db, func(tx *Tx) {
		v, _ := things.Get(tx, "a")
		v.Tags["k"] = "new"
		if again, _ := things.Get(tx, "a"); again.Tags["k"] != "old" {
			t.Error("a change is seen before Put")
		}
		things.List(tx)[0].Tags["k"] = "listed"
		things.Put(tx, v)
		v.Tags["k"] = "changed after Put"
		if again := things.List(tx)[0]; again.Tags["k"] != "new" {
			t.Errorf("after Put the transaction sees %q", again.Tags["k"])
		}
	})
	if shared.Tags["k"] != "old" {
		t.Error("a row of an older snapshot changed")
	}
	if v, _ := things.Get(db.View(), "a"); v.Tags["k"] != "new" {
		t.Errorf("stored is %q", v.Tags["k"])
	}
}

func TestViewIsWhatRestartReads(t *testing.T) {
	db := openStore(t, Config{Dir: t.TempDir()})
	update(t, db, func(tx *Tx) {
		things.Put(tx, &thing{ID: "a", Tags: map[string]string{}, Hidden: "not stored"})
	})
	if v, _ := things.Get(db.View(), "a"); v.Hidden != "" || v.Tags != nil {
		t.Errorf("View shows what is not stored: %+v", v)
	}
}

func TestFailedTransactionChangesNothing(t *testing.T) {
	db := openStore(t, Config{Dir: t.TempDir()})
	before := db.View()
	cause := errors.New("no")
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	tests := map[string]struct {
		ctx  context.Context
		fn   func(tx *Tx) error
		want func(err error) bool
	}{
		"error": {context.Background(), func(tx *Tx) error {
			tx.Next("n")
			things.Put(tx, &thing{ID: "a"})
			return cause
		}, func(err error) bool { return err == cause }},
		"empty key": {context.Background(), func(tx *Tx) error {
			things.Put(tx, &thing{ID: "a"})
			things.Put(tx, &thing{})
			return nil
		}, func(err error) bool { return strings.Contains(err.Error(), "key is empty") }},
		"cancelled": {cancelled, func(tx *Tx) error {
			things.Put(tx, &thing{ID: "a"})
			return nil
		}, func(err error) bool { return errors.Is(err, context.Canceled) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			revision, err := db.Update(test.ctx, test.fn)
			if err == nil || !test.want(err) || revision != 0 {
				t.Errorf("Update = %d, %v", revision, err)
			}
			if db.View() != before {
				t.Error("the state changed")
			}
		})
	}
	t.Run("panic", func(t *testing.T) {
		func() {
			defer func() {
				if recover() != cause {
					t.Error("the panic did not reach the caller")
				}
			}()
			_, _ = db.Update(context.Background(), func(tx *Tx) error {
				things.Put(tx, &thing{ID: "a"})
				panic(cause)
			})
		}()
		if db.View() != before {
			t.Error("the state changed")
		}
		update(t, db, func(tx *Tx) {
			if n := tx.Next("n"); n != 1 {
				t.Errorf("a number was used up by a failed transaction: next is %d", n)
			}
		})
	})
}

func TestWriteOfTheSameChangesNothing(t *testing.T) {
	db := openStore(t, Config{Dir: t.TempDir()})
	put := func() int64 {
		return update(t, db, func(tx *Tx) { things.Put(tx, &thing{ID: "a", Tags: map[string]string{"k": "v"}}) })
	}
	if first, second := put(), put(); first != second {
		t.Errorf("revisions %d and %d", first, second)
	}
}

func TestConcurrentTransactions(t *testing.T) {
	db := openStore(t, Config{Dir: t.TempDir()})
	const writers, each = 20, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				fail := i%5 == 4
				_, err := db.Update(context.Background(), func(tx *Tx) error {
					n := tx.Next("n")
					if got := len(things.List(tx)); got != int(n)-1 {
						t.Errorf("number %d is drawn beside %d rows", n, got)
					}
					things.Put(tx, &thing{ID: fmt.Sprintf("%d-%d", w, i), Number: int(n)})
					if fail {
						return os.ErrInvalid
					}
					return nil
				})
				if fail != (err == os.ErrInvalid) {
					t.Errorf("Update: %v", err)
				}
			}
		})
	}
	wg.Wait()
	var numbers []int
	for v := range things.Scan(db.View()) {
		numbers = append(numbers, v.Number)
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != i+1 {
			t.Fatalf("numbers are %v", numbers)
		}
	}
	if want := writers * each * 4 / 5; len(numbers) != want {
		t.Errorf("%d rows, want %d", len(numbers), want)
	}
}

func TestWatch(t *testing.T) {
	db := openStore(t, Config{Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ch := db.Watch(ctx)
	if s := <-ch; s != db.View() {
		t.Error("the first snapshot is not the present one")
	}
	var last int64
	for range 50 {
		last = update(t, db, func(tx *Tx) { tx.Next("n") })
	}
	if s := <-ch; s.Revision() != last {
		t.Errorf("a slow reader gets revision %d, want the latest, %d", s.Revision(), last)
	}
	select {
	case s := <-ch:
		t.Errorf("a snapshot without a change: revision %d", s.Revision())
	default:
	}
	cancel()
	if _, ok := <-ch; ok {
		t.Error("a snapshot after the end of the watch")
	}
	open := db.Watch(context.Background())
	<-open
	db.Close()
	if _, ok := <-open; ok {
		t.Error("a snapshot after Close")
	}
	if _, ok := <-db.Watch(context.Background()); ok {
		t.Error("a snapshot of a closed store")
	}
}

func TestClosed(t *testing.T) {
	db := openStore(t, Config{Dir: t.TempDir()})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Update(context.Background(), func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("Update of a closed store: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	openStore(t, Config{Dir: filepath.Join(dir, "used")})
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		config Config
		is     error
		text   string
	}{
		"locked":      {Config{Dir: filepath.Join(dir, "used")}, ErrLocked, fmt.Sprint("pid ", os.Getpid())},
		"unwritable":  {Config{Dir: filepath.Join(file, "data")}, syscall.ENOTDIR, "make data directory"},
		"unreachable": {Config{Endpoints: []string{"unix://" + filepath.Join(dir, "absent")}}, ErrUnreachable, "absent"},
		"nothing":     {Config{}, nil, "neither"},
		"both":        {Config{Dir: dir, Endpoints: []string{"unix:///x"}}, nil, "both"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			db, err := Open(ctx, test.config)
			if err == nil {
				db.Close()
				t.Fatal("no error")
			}
			if test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("Open: %v", err)
			}
		})
	}
}

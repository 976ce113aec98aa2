package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is what the store should hold.
type model struct {
	things, others map[string]int
	counter        int
}

func (m model) clone() model {
	return model{maps.Clone(m.things), maps.Clone(m.others), m.counter}
}

// differs tells how what r shows differs from the model; empty if it does not.
func (m model) differs(r Reader) string {
	for _, side := range []struct {
		table Table[thing]
		want  map[string]int
	}{{things, m.things}, {others, m.others}} {
		got := map[string]int{}
		var order []string
		for _, v := range side.table.List(r) {
			got[v.ID] = v.Number
			order = append(order, v.ID)
		}
		if !maps.Equal(got, side.want) {
			return fmt.Sprintf("rows are %v, want %v", got, side.want)
		}
		if !slices.IsSorted(order) {
			return fmt.Sprintf("order is %v", order)
		}
		for id := range 9 {
			v, ok := side.table.Get(r, fmt.Sprint(id))
			n, want := side.want[fmt.Sprint(id)]
			if ok != want || ok && v.Number != n {
				return fmt.Sprintf("Get(%d) = %v, %v, want %v, %v", id, v, ok, n, want)
			}
		}
	}
	return ""
}

func (m model) check(t *rapid.T, s *Snapshot) {
	t.Helper()
	if d := m.differs(s); d != "" {
		t.Fatal(d)
	}
}

// transact runs a random transaction on the store and on the model. What the
// transaction sees counts when it commits: only then must it have been up to
// date.
func (m *model) transact(t *rapid.T, db *DB) {
	type step struct {
		what, id, number int
		other            bool
	}
	abort := rapid.IntRange(0, 4).Draw(t, "abort") == 0
	steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{rapid.IntRange(0, 4).Draw(t, "what"), rapid.IntRange(0, 8).Draw(t, "id"),
			rapid.IntRange(0, 3).Draw(t, "number"), rapid.Bool().Draw(t, "other")}
	}), 0, 8).Draw(t, "steps")
	failure := errors.New("aborted")
	var work model
	var wrong string
	revision, err := db.Update(context.Background(), func(tx *Tx) error {
		work, wrong = m.clone(), ""
		for _, s := range steps {
			table, rows, id := things, work.things, fmt.Sprint(s.id)
			if s.other {
				table, rows = others, work.others
			}
			switch s.what {
			case 0, 1:
				table.Put(tx, &thing{ID: id, Number: s.number})
				rows[id] = s.number
			case 2:
				table.Delete(tx, id)
				delete(rows, id)
			case 3:
				work.counter++
				if n := tx.Next("n"); int(n) != work.counter {
					wrong += fmt.Sprintf("Next = %d, want %d; ", n, work.counter)
				}
			case 4:
				wrong += work.differs(tx)
			}
		}
		if abort {
			return failure
		}
		return nil
	})
	if abort {
		if err != failure {
			t.Fatalf("Update: %v", err)
		}
		return
	}
	if err != nil || db.View().Revision() < revision || wrong != "" {
		t.Fatalf("Update: %d, %v; %s", revision, err, wrong)
	}
	*m = work
}

// empty removes everything that transact makes.
func empty(t *testing.T, db *DB) {
	update(t, db, func(tx *Tx) {
		for _, table := range []Table[thing]{things, others} {
			for v := range table.Scan(tx) {
				table.Delete(tx, v.ID)
			}
		}
		counters.Delete(tx, "n")
	})
}

func TestEmbeddedAgainstModel(t *testing.T) {
	dir := t.TempDir()
	db := openStore(t, Config{Dir: dir})
	rapid.Check(t, func(r *rapid.T) {
		empty(t, db)
		m := &model{map[string]int{}, map[string]int{}, 0}
		var kept *Snapshot
		var keptModel model
		r.Repeat(map[string]func(*rapid.T){
			"transact": func(r *rapid.T) { m.transact(r, db) },
			"keep":     func(r *rapid.T) { kept, keptModel = db.View(), m.clone() },
			"reopen": func(r *rapid.T) {
				if rapid.IntRange(0, 39).Draw(r, "odds") == 0 {
					db.Close()
					db = openStore(t, Config{Dir: dir})
				}
			},
			"": func(r *rapid.T) {
				m.check(r, db.View())
				if kept != nil {
					keptModel.check(r, kept)
				}
			},
		})
	})
}

func TestTwoStoresAgainstModel(t *testing.T) {
	c := startCluster(t)
	dbs := []*DB{openStore(t, c.config()), openStore(t, c.config())}
	rapid.Check(t, func(r *rapid.T) {
		empty(t, dbs[0])
		settle(t, dbs[0], dbs[1])
		m := &model{map[string]int{}, map[string]int{}, 0}
		r.Repeat(map[string]func(*rapid.T){
			"transact": func(r *rapid.T) {
				i := rapid.IntRange(0, 1).Draw(r, "store")
				m.transact(r, dbs[i])
			},
			"settle": func(r *rapid.T) {
				a, b := settle(t, dbs[0], dbs[1])
				m.check(r, a)
				m.check(r, b)
			},
		})
	})
}

package store

import (
	"context"
	"fmt"
	"testing"
)

// fill puts n rows into the table of things.
func fill(b *testing.B, db *DB, n int) {
	for i := 0; i < n; i += 500 {
		update(b, db, func(tx *Tx) {
			for j := i; j < min(n, i+500); j++ {
				things.Put(tx, &thing{ID: fmt.Sprintf("row-%06d", j), Tags: map[string]string{"Name": "x"}})
			}
		})
	}
}

// BenchmarkUpdate commits one small change at a time beside 10,000 other rows.
func BenchmarkUpdate(b *testing.B) {
	db := openStore(b, Config{Dir: b.TempDir()})
	fill(b, db, 10_000)
	change := func(n int) {
		_, err := db.Update(context.Background(), func(tx *Tx) error {
			v, _ := things.Get(tx, fmt.Sprintf("row-%06d", n%10_000))
			v.Number++
			things.Put(tx, v)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("sequential", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			change(n)
		}
	})
	b.Run("concurrent", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for n := 0; pb.Next(); n++ {
				change(n)
			}
		})
	})
}

func BenchmarkView(b *testing.B) {
	db := openStore(b, Config{Dir: b.TempDir()})
	fill(b, db, 10_000)
	b.Run("Get", func(b *testing.B) {
		for b.Loop() {
			things.Get(db.View(), "row-007777")
		}
	})
	b.Run("Scan10000", func(b *testing.B) {
		for b.Loop() {
			for range things.Scan(db.View()) {
			}
		}
	})
}

// BenchmarkOpen opens a store that holds 10,000 rows, and closes it.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	db := openStore(b, Config{Dir: dir})
	fill(b, db, 10_000)
	db.Close()
	for b.Loop() {
		db := openStore(b, Config{Dir: dir})
		b.StopTimer()
		db.Close()
		b.StartTimer()
	}
}

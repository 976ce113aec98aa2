package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// crashDir is the variable that makes the test binary the child of
// TestKillLosesNothing.
const crashDir = "STORE_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// writeUntilKilled writes rows from several goroutines for ever and prints the
// key of each one once it is acknowledged.
func writeUntilKilled(dir string) {
	db, err := Open(context.Background(), Config{Dir: dir})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	for range 4 {
		go func() {
			for {
				var n uint32
				_, err := db.Update(context.Background(), func(tx *Tx) error {
					n = tx.Next("n")
					things.Put(tx, &thing{ID: fmt.Sprint(n)})
					others.Put(tx, &thing{ID: fmt.Sprint(n)})
					return nil
				})
				if err != nil {
					fmt.Println("error:", err)
				}
				fmt.Printf("%d\n", n)
			}
		}()
	}
	select {}
}

func TestKillLosesNothing(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for count := 0; lines.Scan(); count++ {
			line := lines.Text()
			if strings.HasPrefix(line, "error") {
				child.Process.Kill()
				child.Wait()
				t.Fatal(line)
			}
			acknowledged[line] = true
			if count == 200 {
				child.Process.Kill() // what it printed before is still read
			}
		}
		child.Wait()
	}
	db := openStore(t, Config{Dir: dir})
	for id := range acknowledged {
		if _, ok := things.Get(db.View(), id); !ok {
			t.Errorf("the acknowledged row %s is lost", id)
		}
	}
	if len(acknowledged) < 600 {
		t.Errorf("only %d rows were acknowledged", len(acknowledged))
	}
	if a, b := keys(db.View(), things), keys(db.View(), others); a != b {
		t.Error("half of a transaction is lost")
	}
	update(t, db, func(tx *Tx) {
		if n := int(tx.Next("n")); n != len(things.List(tx))+1 {
			t.Errorf("the counter is at %d beside %d rows", n, len(things.List(tx)))
		}
	})
}

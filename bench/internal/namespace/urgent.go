package namespace

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Urge gives a process's threads, and those that they start, a CPU as soon as
// they can use it (sched(7), SCHED_FIFO). Niceness gives no more than shares of
// one: who has had its own waits for milliseconds, whatever the others do.
func Urge(pid int) error {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	urged := map[string]bool{}
	for more := true; more; { // until none was started meanwhile by one that was not urged yet
		more = false
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return err
		}
		for _, t := range threads {
			if urged[t.Name()] {
				continue
			}
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetAttr(tid, &attr, 0); err != nil && err != unix.ESRCH {
				return fmt.Errorf("give thread %d of process %d precedence: %w", tid, pid, err)
			}
			urged[t.Name()], more = true, true
		}
	}
	return nil
}

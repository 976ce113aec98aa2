// Command order prints, as JSON, the order in which goroutines ran whose pipes were
// written to one after the other, while all of them waited.
package main

import (
	"encoding/json"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

const pipes = 32

func main() {
	runtime.GOMAXPROCS(1)
	var waiting int
	var ran []int
	var all sync.WaitGroup
	var ends []int
	for i := range pipes {
		// The end that is written to is none of the poller's.
		var p [2]int
		if err := syscall.Pipe2(p[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC); err != nil {
			panic(err)
		}
		ends = append(ends, p[1])
		r := os.NewFile(uintptr(p[0]), "pipe")
		all.Go(func() {
			waiting++ // there is one CPU, and nothing in between gives it away
			if _, err := r.Read(make([]byte, 1)); err != nil {
				panic(err)
			}
			ran = append(ran, i)
		})
	}
	for waiting < pipes {
		runtime.Gosched()
	}
	// The scheduler is not told of these calls: it would let another thread look at
	// the poller.
	b := []byte{1}
	for _, fd := range ends {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), 1); errno != 0 {
			panic(errno)
		}
	}
	all.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(ran); err != nil {
		panic(err)
	}
}

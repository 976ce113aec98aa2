// Isthmus joins private networks without merging them. See isthmus --help.
package main

import (
	"context"
	"os"
	"runtime"
	"syscall"

	"github.com/isthmus-net/isthmus/internal/cli"
)

func init() {
	// Threads that enter a namespace for good end with their goroutine. The
	// first thread can't end, and stands for the process in /proc; so it is
	// kept for main alone.
	runtime.LockOSThread()
}

func main() {
	os.Exit(cli.Main(context.Background(), cli.Env{
		Args:    os.Args[1:],
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Getenv:  os.Getenv,
		Environ: os.Environ,
		Exec:    syscall.Exec,
	}))
}

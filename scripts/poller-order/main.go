// Command poller-order writes what `go build -overlay` needs to build a program
// whose connections are served in the order in which they became ready.
//
// Go's network poller takes the connections that are ready from epoll_wait(2) in
// their order, and pushes their goroutines on a list that is popped at the same
// end. With a full CPU, where dozens become ready at a time, who came first is
// then served last, and may wait for all others twice. One line is another in the
// overlay. A program that is built without it does the same, less evenly.
//
//	go run ./scripts/poller-order bin/overlay
//	go build -overlay bin/overlay/overlay.json ./cmd/isthmus
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: poller-order DIRECTORY, in which overlay.json is written")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "poller-order:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find Go's sources: %w", err)
	}
	poller := filepath.Join(string(bytes.TrimSpace(root)), "src", "runtime", "netpoll_epoll.go")
	source, err := os.ReadFile(poller)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	replace := map[string]string{}
	if ordered, ok := inOrder(source); ok {
		changed := filepath.Join(dir, filepath.Base(poller)+".txt") // no package of the module that it may be in
		if err := os.WriteFile(changed, ordered, 0o644); err != nil {
			return err
		}
		replace[poller] = changed
	} else {
		fmt.Fprintf(os.Stderr, "poller-order: %s has another form than known: connections are served less evenly\n", poller)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644)
}

// inOrder turns the order in which the poller looks at what epoll_wait returned:
// pushed last is run first. It fails if that isn't found.
func inOrder(source []byte) (ordered []byte, ok bool) {
	forwards, backwards := []byte("\tfor i := int32(0); i < n; i++ {\n"), []byte("\tfor i := n - 1; i >= 0; i-- {\n")
	return bytes.Replace(source, forwards, backwards, 1), bytes.Count(source, forwards) == 1
}

package feed

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
)

// childVariable makes the test binary a child of the tests below: its value is
// what to be, and the path of the socket is the argument.
const childVariable = "FEED_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "server":
		serveUntilKilled(os.Args[1])
	case "client":
		subscribeUntilKilled(os.Args[1])
	}
	os.Exit(m.Run())
}

func serveUntilKilled(path string) {
	os.Remove(path) // a killed server leaves it
	l, err := net.Listen("unix", path)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	s := NewServer(Options{})
	s.Publish(roleNode, 1, os.Getpid())
	fmt.Println(s.Serve(l))
}

func subscribeUntilKilled(path string) {
	c := Dial(ClientOptions{Path: path, Role: roleNode,
		OnConfig: func(_ context.Context, revision int64, _ json.RawMessage) error {
			fmt.Println(revision)
			return nil
		}})
	fmt.Println(c.Run(context.Background()))
}

// child starts a child process; kill ends it with SIGKILL.
func child(t *testing.T, what, path string) (out *bufio.Scanner, pid int, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], path)
	cmd.Env = append(os.Environ(), childVariable+"="+what)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	t.Cleanup(kill)
	return bufio.NewScanner(pipe), cmd.Process.Pid, kill
}

func TestServerIsKilled(t *testing.T) {
	path := socketPath(t)
	got, onConfig := recorder()
	run(t, Dial(ClientOptions{Path: path, Role: roleNode, OnConfig: onConfig, Log: logTo(t)}))
	for range 3 {
		_, pid, kill := child(t, "server", path)
		if u := <-got; u.config != fmt.Sprint(pid) {
			t.Fatalf("configuration %s is not that of process %d", u.config, pid)
		}
		kill()
	}
}

func TestSubscriberIsKilled(t *testing.T) {
	path := socketPath(t)
	s := NewServer(Options{Log: logTo(t)})
	serve(t, s, path)
	for r := int64(1); r <= 3; r++ {
		out, pid, kill := child(t, "client", path)
		await(t, s, "subscriber", func() bool { return len(s.Subscribers()) == 1 })
		if got := s.Subscribers()[0].PID; got != pid {
			t.Errorf("the subscriber's pid is %d, want %d", got, pid)
		}
		s.Publish(roleNode, r, r)
		await(t, s, "ack", func() bool { return s.Applied(roleNode) == r })
		if !out.Scan() {
			t.Error("the subscriber says nothing")
		}
		kill()
		await(t, s, "end", func() bool { return len(s.Subscribers()) == 0 })
		if s.Applied(roleNode) != 0 {
			t.Error("something is applied by nobody")
		}
	}
}

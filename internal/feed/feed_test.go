package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const roleNode Role = "node"

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func logTo(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// socketPath is a path short enough for a socket.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "feed")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "sock")
}

func listen(t testing.TB, path string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve serves s at path; the returned function ends it, and so does the test.
func serve(t testing.TB, s *Server, path string) (stop func()) {
	t.Helper()
	l := listen(t, path)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	stop = sync.OnceFunc(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// run runs c; the returned function ends it, and so does the test.
func run(t testing.TB, c *Client) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != context.Canceled {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// await waits for a change of the server's after which ok holds.
func await(t testing.TB, s *Server, what string, ok func() bool) {
	t.Helper()
	ctx := testContext(t)
	for !ok() {
		select {
		case <-s.Changes():
		case <-ctx.Done():
			t.Fatalf("%s: it does not come: %+v", what, s.Subscribers())
		}
	}
}

// update is what OnConfig was called with.
type update struct {
	revision int64
	config   string
}

// recorder returns an OnConfig that reports its calls.
func recorder() (chan update, func(context.Context, int64, json.RawMessage) error) {
	ch := make(chan update, 1000)
	return ch, func(_ context.Context, revision int64, config json.RawMessage) error {
		ch <- update{revision, string(config)}
		return nil
	}
}

func TestPublish(t *testing.T) {
	path := socketPath(t)
	s := NewServer(Options{Log: logTo(t)})
	serve(t, s, path)
	s.Publish(roleNode, 7, map[string]int{"a": 1})
	s.Publish("gateway", 8, "another role's")
	got, onConfig := recorder()
	run(t, Dial(ClientOptions{Path: path, Role: roleNode, OnConfig: onConfig, Log: logTo(t)}))
	if u := <-got; u != (update{7, `{"a":1}`}) {
		t.Errorf("the first configuration is %+v", u)
	}
	await(t, s, "first ack", func() bool { return s.Applied(roleNode) == 7 })
	s.Publish(roleNode, 9, json.RawMessage(`[2]`))
	if u := <-got; u != (update{9, `[2]`}) {
		t.Errorf("the next configuration is %+v", u)
	}
	await(t, s, "next ack", func() bool { return s.Applied(roleNode) == 9 })
	subs := s.Subscribers()
	if want := (Subscriber{roleNode, os.Getuid(), os.Getpid(), 9, ""}); len(subs) != 1 || subs[0] != want {
		t.Errorf("subscribers are %+v, want %+v", subs, want)
	}
	if s.Applied("gateway") != 0 {
		t.Error("a role without subscribers has applied something")
	}
	select {
	case u := <-got:
		t.Errorf("unexpected configuration %+v", u)
	default:
	}
}

// TestWithdraw: who comes after a configuration was withdrawn gets the next one
// only.
func TestWithdraw(t *testing.T) {
	path := socketPath(t)
	s := NewServer(Options{Log: logTo(t)})
	serve(t, s, path)
	s.Publish(roleNode, 7, 1)
	s.Withdraw(roleNode)
	got, onConfig := recorder()
	run(t, Dial(ClientOptions{Path: path, Role: roleNode, OnConfig: onConfig, Log: logTo(t)}))
	await(t, s, "subscriber", func() bool { return len(s.Subscribers()) == 1 })
	s.Publish(roleNode, 8, 2)
	if u := <-got; u != (update{8, "2"}) {
		t.Errorf("the first configuration is %+v", u)
	}
}

func TestAppliedIsTheLowest(t *testing.T) {
	path := socketPath(t)
	s := NewServer(Options{Log: logTo(t)})
	serve(t, s, path)
	hold := make(chan struct{})
	fast, onConfig := recorder()
	run(t, Dial(ClientOptions{Path: path, Role: roleNode, OnConfig: onConfig}))
	await(t, s, "first", func() bool { return len(s.Subscribers()) == 1 })
	stop := run(t, Dial(ClientOptions{Path: path, Role: roleNode,
		OnConfig: func(ctx context.Context, revision int64, _ json.RawMessage) error {
			if revision == 2 {
				select {
				case <-hold:
				case <-ctx.Done():
				}
			}
			return nil
		}}))
	await(t, s, "second", func() bool { return len(s.Subscribers()) == 2 })
	s.Publish(roleNode, 1, 1)
	await(t, s, "both", func() bool { return s.Applied(roleNode) == 1 })
	s.Publish(roleNode, 2, 2)
	for (<-fast).revision != 2 {
	}
	await(t, s, "one of both", func() bool { return s.Subscribers()[0].Revision == 2 })
	if got := s.Applied(roleNode); got != 1 {
		t.Errorf("Applied is %d while one subscriber is at 1", got)
	}
	close(hold)
	await(t, s, "both again", func() bool { return s.Applied(roleNode) == 2 })
	stop()
	await(t, s, "one left", func() bool { return len(s.Subscribers()) == 1 })
}

func TestFailedConfigIsReportedAndTriedAgain(t *testing.T) {
	path := socketPath(t)
	s := NewServer(Options{Log: logTo(t)})
	serve(t, s, path)
	s.Publish(roleNode, 1, 1)
	var repaired atomic.Bool
	run(t, Dial(ClientOptions{Path: path, Role: roleNode, Log: logTo(t),
		OnConfig: func(_ context.Context, revision int64, _ json.RawMessage) error {
			if revision == 2 && !repaired.Load() {
				return errors.New("no such device")
			}
			return nil
		}}))
	await(t, s, "good one", func() bool { return s.Applied(roleNode) == 1 })
	s.Publish(roleNode, 2, 2)
	await(t, s, "error", func() bool { return s.Subscribers()[0].Error == "no such device" })
	if got := s.Applied(roleNode); got != 1 {
		t.Errorf("Applied is %d after revision 2 failed", got)
	}
	repaired.Store(true)
	await(t, s, "second attempt", func() bool { return s.Applied(roleNode) == 2 && s.Subscribers()[0].Error == "" })
}

func TestSubscriberThatIsBusyGetsTheLatestOnly(t *testing.T) {
	path := socketPath(t)
	s := NewServer(Options{})
	serve(t, s, path)
	hold, entered := make(chan struct{}), make(chan int64, 1000)
	run(t, Dial(ClientOptions{Path: path, Role: roleNode,
		OnConfig: func(_ context.Context, revision int64, _ json.RawMessage) error {
			entered <- revision
			<-hold
			return nil
		}}))
	s.Publish(roleNode, 1, 1)
	if first := <-entered; first != 1 {
		t.Fatalf("first is %d", first)
	}
	for r := int64(2); r <= 500; r++ {
		s.Publish(roleNode, r, strings.Repeat("x", 1000))
	}
	close(hold)
	await(t, s, "last", func() bool { return s.Applied(roleNode) == 500 })
	// While it was busy one place waited on its side, which held whatever had
	// come last by the end, and then came what was still on the way.
	if n := len(entered); n > 50 {
		t.Errorf("%d of 499 configurations were applied by a subscriber that was busy", n)
	}
}

// A process that takes the place of another listens at the same path.
func TestCloseFreesThePath(t *testing.T) {
	path := socketPath(t)
	for range 200 {
		s := NewServer(Options{Log: logTo(t)})
		l := listen(t, path)
		go s.Serve(l)
		stop := run(t, Dial(ClientOptions{Path: path, Role: roleNode,
			OnConfig: func(context.Context, int64, json.RawMessage) error { return nil }}))
		await(t, s, "client", func() bool { return len(s.Subscribers()) == 1 })
		s.Close()
		stop()
	}
}

func TestStoppedSubscriberDelaysNobody(t *testing.T) {
	path := socketPath(t)
	s := NewServer(Options{Log: logTo(t)})
	serve(t, s, path)
	stopped, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer stopped.Close()
	hello, _ := encode(message{Kind: kindHello, Role: roleNode}, maxToServer)
	if _, err := stopped.Write(hello); err != nil {
		t.Fatal(err)
	}
	await(t, s, "stopped", func() bool { return len(s.Subscribers()) == 1 })
	run(t, Dial(ClientOptions{Path: path, Role: roleNode,
		OnConfig: func(context.Context, int64, json.RawMessage) error { return nil }}))
	await(t, s, "other", func() bool { return len(s.Subscribers()) == 2 })
	big := strings.Repeat("x", 1<<19) // more than a socket holds
	const last = 20
	for r := int64(1); r <= last; r++ {
		s.Publish(roleNode, r, big)
	}
	await(t, s, "the other's ack", func() bool {
		all := s.Subscribers()
		return len(all) == 2 && all[1].Revision == last
	})
	ctx, cancel := context.WithTimeout(testContext(t), 10*time.Second)
	defer cancel()
	// The last to come is the one that answers; the stopped one would not.
	if err := s.Call(ctx, roleNode, "absent", nil, nil); errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Call: %v", err)
	}
	// It wakes up: what was in the socket already, then the latest.
	var frames int
	for {
		m, err := readMessage(stopped, maxToClient)
		if err != nil {
			t.Fatal(err)
		}
		if frames++; m.Revision == last {
			break
		}
	}
	if frames > 5 {
		t.Errorf("%d configurations were kept for a stopped subscriber", frames)
	}
}

func TestRefusal(t *testing.T) {
	path := socketPath(t)
	var asked atomic.Int64
	s := NewServer(Options{Log: logTo(t), Allow: func(role Role, uid int) bool {
		asked.Store(int64(uid))
		return role != "intruder"
	}})
	serve(t, s, path)
	s.Publish("intruder", 1, "secret")
	exchange := func(frame []byte) (message, error) {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		conn.Write(frame)
		return readMessage(conn, maxToClient)
	}
	hello, _ := encode(message{Kind: kindHello, Role: "intruder"}, maxToServer)
	if m, err := exchange(hello); err != nil || m.Kind != kindRefused || !strings.Contains(m.Error, "intruder") {
		t.Errorf("an intruder is answered %+v, %v", m, err)
	}
	if asked.Load() != int64(os.Getuid()) {
		t.Errorf("the user is %d", asked.Load())
	}
	request, _ := encode(message{Kind: kindRequest, ID: 1, Method: "m"}, maxToServer)
	for name, frame := range map[string][]byte{
		"request first": request,
		"no role":       []byte("\x00\x00\x00\x10" + `{"kind":"hello"}`),
		"not JSON":      []byte("\x00\x00\x00\x01x"),
		"too long":      []byte("\xff\xff\xff\xffx"),
	} {
		if m, err := exchange(frame); err == nil {
			t.Errorf("%s: it is answered %+v", name, m)
		}
	}
	if subs := s.Subscribers(); len(subs) != 0 {
		t.Errorf("subscribers are %+v", subs)
	}
}

// A user's connections do not grow without end, and places that are left can be
// taken again.
func TestConnectionsOfOneUser(t *testing.T) {
	path := socketPath(t)
	s := NewServer(Options{Log: logTo(t)})
	serve(t, s, path)
	s.Publish("a", 1, "config")
	hello, _ := encode(message{Kind: kindHello, Role: "a"}, maxToServer)
	subscribe := func() (net.Conn, error) {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(time.Minute))
		conn.Write(hello) // it may be closed already
		_, err = readMessage(conn, maxToClient)
		return conn, err
	}
	var last net.Conn
	for i := range maxOfUser {
		conn, err := subscribe()
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		last = conn
	}
	if _, err := subscribe(); err == nil {
		t.Error("one more is served")
	}
	last.Close()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := subscribe(); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the place that was left can't be taken")
		}
	}
}

func TestCalls(t *testing.T) {
	path := socketPath(t)
	s := NewServer(Options{Log: logTo(t)})
	type sum struct{ A, B int }
	release := make(chan struct{})
	s.Handle("add", func(_ context.Context, role Role, params json.RawMessage) (any, error) {
		var p sum
		if err := json.Unmarshal(params, &p); err != nil {
			return nil, err
		}
		return fmt.Sprint(role, " ", p.A+p.B), nil
	})
	s.Handle("fail", func(context.Context, Role, json.RawMessage) (any, error) { return nil, errors.New("the cause") })
	s.Handle("panic", func(context.Context, Role, json.RawMessage) (any, error) { panic("oh") })
	s.Handle("unspeakable", func(context.Context, Role, json.RawMessage) (any, error) { return func() {}, nil })
	s.Handle("wait", func(ctx context.Context, _ Role, _ json.RawMessage) (any, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil, nil
	})
	serve(t, s, path)
	c := Dial(ClientOptions{Path: path, Role: roleNode, Log: logTo(t),
		OnConfig: func(context.Context, int64, json.RawMessage) error { return nil },
		Handlers: map[string]func(context.Context, json.RawMessage) (any, error){
			"double": func(_ context.Context, params json.RawMessage) (any, error) {
				var n int
				err := json.Unmarshal(params, &n)
				return 2 * n, err
			},
		}})
	ctx := testContext(t)
	if err := s.Call(ctx, roleNode, "double", 1, nil); !errors.Is(err, ErrNotConnected) {
		t.Errorf("call without a subscriber: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	if err := c.Call(short, "add", sum{1, 2}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("call without a server: %v", err)
	}
	cancel()
	run(t, c)
	await(t, s, "subscriber", func() bool { return len(s.Subscribers()) == 1 })

	var text string
	if err := c.Call(ctx, "add", sum{1, 2}, &text); err != nil || text != "node 3" {
		t.Errorf("add = %q, %v", text, err)
	}
	var n int
	if err := s.Call(ctx, roleNode, "double", 21, &n); err != nil || n != 42 {
		t.Errorf("double = %d, %v", n, err)
	}
	for method, want := range map[string]string{
		"fail": "the cause", "panic": "internal error", "absent": "unknown method", "unspeakable": "unsupported type",
	} {
		var remote *RemoteError
		if err := c.Call(ctx, method, nil, nil); !errors.As(err, &remote) || remote.Method != method || !strings.Contains(remote.Text, want) {
			t.Errorf("%s: %v, want %s", method, err, want)
		}
	}
	if err := c.Call(ctx, "add", func() {}, nil); err == nil {
		t.Error("parameters that JSON can't express were sent")
	}
	if err := c.Call(ctx, "add", strings.Repeat("x", maxToServer), nil); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("parameters beyond the limit: %v", err)
	}
	if err := c.Call(ctx, "add", sum{}, &n); err == nil || !strings.Contains(err.Error(), "decode") {
		t.Errorf("a result of another type: %v", err)
	}

	var wg sync.WaitGroup
	var refused atomic.Int64
	for range maxRequests + 20 {
		wg.Go(func() {
			var remote *RemoteError
			switch err := c.Call(ctx, "wait", nil, nil); {
			case errors.As(err, &remote) && strings.Contains(remote.Text, "too many"):
				if refused.Add(1) == 20 {
					close(release)
				}
			case err != nil:
				t.Errorf("wait: %v", err)
			}
		})
	}
	wg.Wait()
	if refused.Load() != 20 {
		t.Errorf("%d requests were refused, want 20", refused.Load())
	}
}

func TestCallsAtTheSameTime(t *testing.T) {
	path := socketPath(t)
	s := NewServer(Options{})
	echo := func(params json.RawMessage) (any, error) { return params, nil }
	s.Handle("echo", func(_ context.Context, _ Role, p json.RawMessage) (any, error) { return echo(p) })
	serve(t, s, path)
	c := Dial(ClientOptions{Path: path, Role: roleNode,
		OnConfig: func(context.Context, int64, json.RawMessage) error { return nil },
		Handlers: map[string]func(context.Context, json.RawMessage) (any, error){
			"echo": func(_ context.Context, p json.RawMessage) (any, error) { return echo(p) },
		}})
	run(t, c)
	await(t, s, "subscriber", func() bool { return len(s.Subscribers()) == 1 })
	ctx := testContext(t)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 100 {
				want, got := fmt.Sprint(w, "-", i), ""
				var err error
				if w%2 == 0 {
					err = c.Call(ctx, "echo", want, &got)
				} else {
					err = s.Call(ctx, roleNode, "echo", want, &got)
				}
				if err != nil || got != want {
					t.Errorf("echo %q = %q, %v", want, got, err)
				}
				s.Publish(roleNode, int64(i), want)
			}
		})
	}
	wg.Wait()
}

func TestReconnect(t *testing.T) {
	path := socketPath(t)
	got, onConfig := recorder()
	c := Dial(ClientOptions{Path: path, Role: roleNode, OnConfig: onConfig, Log: logTo(t)})
	run(t, c)
	ctx := testContext(t)
	for r := int64(1); r <= 3; r++ {
		s := NewServer(Options{Log: logTo(t)})
		entered := make(chan struct{})
		s.Handle("never", func(ctx context.Context, _ Role, _ json.RawMessage) (any, error) {
			close(entered)
			<-ctx.Done()
			return nil, nil
		})
		s.Publish(roleNode, r, r)
		stop := serve(t, s, path)
		if u := <-got; u.revision != r {
			t.Fatalf("after connection %d the revision is %d", r, u.revision)
		}
		await(t, s, "ack", func() bool { return s.Applied(roleNode) == r })
		failed := make(chan error)
		go func() { failed <- c.Call(ctx, "never", nil, nil) }()
		<-entered
		stop()
		if err := <-failed; !errors.Is(err, ErrDisconnected) {
			t.Errorf("call during a disconnect: %v", err)
		}
	}
}

func TestMisbehaviourEndsTheConnection(t *testing.T) {
	path := socketPath(t)
	s := NewServer(Options{Log: logTo(t)})
	serve(t, s, path)
	s.Publish(roleNode, 1, 1)
	hello, _ := encode(message{Kind: kindHello, Role: roleNode}, maxToServer)
	for name, m := range map[string]message{
		"second hello":      {Kind: kindHello, Role: roleNode},
		"update":            {Kind: kindUpdate, Revision: 1},
		"ack of the future": {Kind: kindAck, Revision: 2},
		"unknown":           {Kind: "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			frame, _ := encode(m, maxToServer)
			if _, err := conn.Write(append(hello[:len(hello):len(hello)], frame...)); err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(time.Minute))
			for err == nil {
				_, err = readMessage(conn, maxToClient)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection stays open")
			}
			await(t, s, "end", func() bool { return len(s.Subscribers()) == 0 })
		})
	}
}

package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/isthmus-net/isthmus/internal/accept"
)

// ErrNotConnected is the cause of a call's failure when no subscriber of the
// role is connected.
var ErrNotConnected = errors.New("no subscriber is connected")

const (
	// helloTimeout is how long a connection may take to say hello.
	helloTimeout = 5 * time.Second
	// maxConnections bounds the connections at a time, maxOfUser those of one
	// user, so that no process keeps the others out.
	maxConnections = 4096
	maxOfUser      = 64
)

// Options configure a [Server].
type Options struct {
	// Allow says whether a process of the user with this id may subscribe in
	// the role. Everyone may in any role if it is nil.
	Allow func(role Role, uid int) bool
	// Log gets who comes and goes, and what fails. Nothing is logged if it is
	// nil.
	Log *slog.Logger
}

// Handler answers requests of subscribers. ctx ends with the connection.
type Handler func(ctx context.Context, role Role, params json.RawMessage) (any, error)

// Server is the side that publishes. It is safe for concurrent use.
type Server struct {
	options  Options
	handlers map[string]Handler
	changes  chan struct{}
	ctx      context.Context // ends when the server is closed
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu          sync.Mutex
	connections int
	users       map[uint32]int // connections by user
	subscribers []*subscriber  // in the order of their coming
	latest      map[Role]publication
}

// publication is the latest configuration of a role as a frame.
type publication struct {
	revision int64
	frame    []byte
}

// subscriber is a connection that has said hello. The server's mutex guards
// what changes.
type subscriber struct {
	peer     *peer
	role     Role
	uid, pid int
	sent     int64 // newest revision given to the peer
	applied  int64
	err      string
}

// Subscriber is the state of a connected subscriber.
type Subscriber struct {
	Role     Role
	UID, PID int
	Revision int64  // newest that it has applied; 0 if none
	Error    string // why it could not apply the one it tried last; empty if it could
}

// NewServer returns a server that serves no listener yet.
func NewServer(options Options) *Server {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		options:  options,
		handlers: map[string]Handler{},
		changes:  make(chan struct{}, 1),
		latest:   map[Role]publication{},
		users:    map[uint32]int{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Handle sets the function that answers requests with the method. All calls of
// Handle come before Serve.
func (s *Server) Handle(method string, fn Handler) { s.handlers[method] = fn }

// Serve accepts subscribers from a listener on a Unix socket until
// that is closed, or returns nil after Close. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.ctx.Err() != nil {
		s.mu.Unlock()
		l.Close()
		return nil
	}
	s.wg.Add(1)
	s.mu.Unlock()
	defer s.wg.Done()
	defer l.Close()
	stop := context.AfterFunc(s.ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := accept.Next(l, s.options.Log)
		if err == nil && !s.admit(conn) {
			conn.Close()
		}
		switch {
		case s.ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("serve feed: %w", err)
		}
	}
}

// admit starts to serve a connection unless there are too many.
func (s *Server) admit(conn net.Conn) bool {
	credentials, err := peerCredentials(conn)
	if err != nil {
		s.options.Log.Warn("feed: connection refused", "error", err)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	user := credentials.Uid
	if s.connections >= maxConnections || s.users[user] >= maxOfUser {
		s.options.Log.Warn("feed: connection refused", "error", "too many connections", "user", user)
		return false
	}
	s.connections++
	s.users[user]++
	s.wg.Go(func() {
		s.serve(conn, credentials)
		conn.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.connections--
		if s.users[user]--; s.users[user] == 0 {
			delete(s.users, user)
		}
	})
	return true
}

// Close ends all connections and every Serve, and waits for that: the path of
// a listener is free when it returns.
func (s *Server) Close() {
	// Under the mutex, so that nothing is added to the wait group once it is
	// waited for.
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.wg.Wait()
}

// Publish makes config, encoded as JSON, the configuration of a role and sends
// it to the role's subscribers, present and future. It does not wait for them.
// Revisions of a role do not decrease.
func (s *Server) Publish(role Role, revision int64, config any) {
	raw, err := json.Marshal(config)
	var frame []byte
	if err == nil {
		frame, err = encode(message{Kind: kindUpdate, Revision: revision, Config: raw}, maxToClient)
	}
	if err != nil {
		s.options.Log.Error("feed: configuration can't be sent", "role", role, "revision", revision, "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest[role] = publication{revision, frame}
	for _, sub := range s.subscribers {
		if sub.role == role {
			s.give(sub)
		}
	}
}

// Withdraw takes back the configuration of a role that is no more: subscribers
// that come later get none.
func (s *Server) Withdraw(role Role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.latest, role)
}

// give sends a subscriber the latest configuration. The caller holds s.mu.
func (s *Server) give(sub *subscriber) {
	if p, ok := s.latest[sub.role]; ok {
		sub.sent = max(sub.sent, p.revision)
		sub.peer.replaceUpdate(p.frame)
	}
}

// Applied returns the revision that every connected subscriber of the role has
// applied: the lowest of theirs; 0 if there is none.
func (s *Server) Applied(role Role) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	lowest := int64(math.MaxInt64)
	for _, sub := range s.subscribers {
		if sub.role == role {
			lowest = min(lowest, sub.applied)
		}
	}
	if lowest == math.MaxInt64 {
		return 0
	}
	return lowest
}

// Changes returns a channel that has a value whenever Applied or Subscribers
// may have changed since the last one was taken. It is one channel, for one
// reader.
func (s *Server) Changes() <-chan struct{} { return s.changes }

func (s *Server) changed() {
	select {
	case s.changes <- struct{}{}:
	default:
	}
}

// Subscribers returns the connected subscribers in the order in which they
// came.
func (s *Server) Subscribers() []Subscriber {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Subscriber, 0, len(s.subscribers))
	for _, sub := range s.subscribers {
		list = append(list, Subscriber{sub.role, sub.uid, sub.pid, sub.applied, sub.err})
	}
	return list
}

// Call sends a request to the subscriber of the role that came last and waits
// for the answer, which it decodes into result unless that is nil. The error
// is a [*RemoteError] if the subscriber answered with one.
func (s *Server) Call(ctx context.Context, role Role, method string, params, result any) error {
	var p *peer
	s.mu.Lock()
	for _, sub := range s.subscribers {
		if sub.role == role {
			p = sub.peer
		}
	}
	s.mu.Unlock()
	if p == nil {
		return fmt.Errorf("call %s of %s: %w", method, role, ErrNotConnected)
	}
	return p.call(ctx, method, params, result)
}

// serve handles one connection until it ends.
func (s *Server) serve(conn net.Conn, credentials *syscall.Ucred) {
	stop := context.AfterFunc(s.ctx, func() { conn.Close() })
	defer stop()
	sub, err := s.greet(conn, credentials)
	if err != nil {
		if s.ctx.Err() == nil {
			s.options.Log.Warn("feed: connection refused", "error", err)
		}
		return
	}
	log := s.options.Log.With("role", sub.role, "pid", sub.pid)
	sub.peer.log = log
	sub.peer.serve = func(ctx context.Context, method string, params json.RawMessage) (any, error) {
		fn := s.handlers[method]
		if fn == nil {
			return nil, errors.New("unknown method")
		}
		return fn(ctx, sub.role, params)
	}
	sub.peer.receive = func(m message) error {
		if m.Kind != kindAck {
			return fmt.Errorf("unexpected message %q", m.Kind)
		}
		return s.acknowledge(sub, m)
	}
	s.mu.Lock()
	s.subscribers = append(s.subscribers, sub)
	s.give(sub)
	s.mu.Unlock()
	s.changed()
	log.Info("feed: subscriber connected")
	err = sub.peer.run()
	s.mu.Lock()
	s.subscribers = slices.DeleteFunc(s.subscribers, func(other *subscriber) bool { return other == sub })
	s.mu.Unlock()
	s.changed()
	log.Info("feed: subscriber gone", "cause", err)
}

// greet reads the hello and checks who says it.
func (s *Server) greet(conn net.Conn, credentials *syscall.Ucred) (*subscriber, error) {
	uid, pid := int(credentials.Uid), int(credentials.Pid)
	if err := conn.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return nil, err
	}
	m, err := readMessage(conn, maxToServer)
	if err != nil {
		return nil, fmt.Errorf("read hello of pid %d: %w", pid, err)
	}
	if m.Kind != kindHello || m.Role == "" {
		return nil, fmt.Errorf("read hello of pid %d: message %q in its place", pid, m.Kind)
	}
	if s.options.Allow != nil && !s.options.Allow(m.Role, uid) {
		text := fmt.Sprintf("user %d may not subscribe as %q", uid, m.Role)
		if frame, err := encode(message{Kind: kindRefused, Error: text}, maxToClient); err == nil {
			conn.Write(frame) // it may be gone already
		}
		return nil, fmt.Errorf("%s (pid %d)", text, pid)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	sub := &subscriber{role: m.Role, uid: uid, pid: pid}
	sub.peer = newPeer(s.ctx, &s.wg, conn, s.options.Log, maxToServer, maxToClient)
	return sub, nil
}

func (s *Server) acknowledge(sub *subscriber, m message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Revision > sub.sent {
		return fmt.Errorf("revision %d is acknowledged, which was not sent", m.Revision)
	}
	if m.Error != "" && m.Error != sub.err {
		sub.peer.log.Error("feed: configuration was not applied", "revision", m.Revision, "error", m.Error)
	}
	sub.err = m.Error
	if m.Error == "" {
		sub.applied = m.Revision
	}
	s.changed()
	return nil
}

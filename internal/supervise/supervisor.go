package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// patience is how long a process may take to end when asked to.
const patience = 10 * time.Second

// Supervisor keeps processes running.
type Supervisor struct {
	dir string
	exe string
	log *slog.Logger

	ctx    context.Context // ends when the processes are to end
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu    sync.Mutex
	tasks []*task // in the order of start
}

// task is one process that is to run.
type task struct {
	spec    Spec
	sockets []socket

	ctx    context.Context // ends when the process is to end
	cancel context.CancelFunc
	ended  chan struct{} // closed when it has, for good

	mu       sync.Mutex
	process  *process // nil between two
	since    time.Time
	restarts int
	problem  error
}

// New returns a supervisor that keeps its records in a directory. The
// processes are the supervisor's own program.
func New(dir string, log *slog.Logger) (*Supervisor, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make directory of processes: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Supervisor{dir: dir, exe: "/proc/self/exe", log: log, ctx: ctx, cancel: cancel}, nil
}

// Start adopts the process of an earlier supervisor or starts one, and keeps
// it running. It returns the addresses of the listening sockets. An error
// means that nothing runs and nothing will.
func (s *Supervisor) Start(spec Spec) ([]netip.AddrPort, error) {
	t := &task{spec: spec, ended: make(chan struct{})}
	p, err := s.adopt(t)
	if err == nil && p == nil {
		t.sockets, err = spec.listen()
	}
	var addresses []netip.AddrPort
	wanted := slices.Concat(spec.Listen, spec.Inside)
	for i, l := range t.sockets {
		a, e := l.address(wanted[i])
		addresses, err = append(addresses, a), errors.Join(err, e)
	}
	if err == nil && p == nil {
		p, err = spec.spawn(s.exe, s.dir, t.sockets)
	}
	if err != nil {
		closeAll(t.sockets)
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	t.set(p)
	s.log.Info("process runs", "role", spec.Name, "pid", p.pid, "adopted", p.adopted)
	t.ctx, t.cancel = context.WithCancel(s.ctx)
	s.mu.Lock()
	s.tasks = append(s.tasks, t)
	s.mu.Unlock()
	s.group.Go(func() {
		defer close(t.ended)
		s.keep(t, p)
	})
	return addresses, nil
}

// End ends a process that Start started, for good, and returns when it has
// ended.
func (s *Supervisor) End(name string) error {
	s.mu.Lock()
	i := slices.IndexFunc(s.tasks, func(t *task) bool { return t.spec.Name == name })
	if i < 0 {
		s.mu.Unlock()
		return fmt.Errorf("end %s: it was not started", name)
	}
	t := s.tasks[i]
	s.tasks = slices.Delete(s.tasks, i, i+1)
	s.mu.Unlock()
	t.cancel()
	<-t.ended
	s.log.Info("process is no more wanted", "role", name)
	return forget(s.dir, name)
}

// EndOthers ends the processes of an earlier supervisor whose names begin with
// a prefix, unless they are wanted.
func (s *Supervisor) EndOthers(prefix string, wanted func(name string) bool) error {
	return each(s.dir, func(name string) error {
		if !strings.HasPrefix(name, prefix) || wanted(name) {
			return nil
		}
		if err := stopRecorded(s.dir, name); err != nil {
			return err
		}
		return forget(s.dir, name)
	})
}

// adopt looks for a process that runs already. One that can't stand for the
// spec is ended, and nil is returned.
func (s *Supervisor) adopt(t *task) (*process, error) {
	p, err := find(s.dir, t.spec.Name)
	if p == nil || err != nil {
		return nil, err
	}
	why, err := p.differs(t.spec, s.exe)
	if err == nil && why == "" {
		if t.sockets, err = p.sockets(t.spec); err == nil {
			p.adopted = true
			return p, nil
		}
	}
	if err != nil {
		why = err.Error()
	}
	s.log.Info("process is replaced", "role", t.spec.Name, "pid", p.pid, "because", why)
	defer p.close()
	return nil, p.stop(patience)
}

// keep watches a process and starts it again whenever it ends.
func (s *Supervisor) keep(t *task, p *process) {
	defer closeAll(t.sockets)
	var delay time.Duration
	for {
		how := s.watch(t, p)
		t.set(nil)
		if t.ctx.Err() != nil {
			return
		}
		if delay = backoff(delay, time.Since(t.since)); delay > 0 {
			s.log.Error("process ended", "role", t.spec.Name, "how", how, "again_in", delay)
		} else {
			s.log.Error("process ended", "role", t.spec.Name, "how", how)
		}
		for {
			select {
			case <-t.ctx.Done():
				return
			case <-time.After(delay):
			}
			var err error
			if p, err = t.spec.spawn(s.exe, s.dir, t.sockets); err == nil {
				break
			}
			delay = backoff(delay, 0)
			t.fail(err)
			s.log.Error("start process", "role", t.spec.Name, "error", err, "again_in", delay)
		}
		t.set(p)
		t.mu.Lock()
		t.restarts++
		t.mu.Unlock()
		s.log.Info("process runs", "role", t.spec.Name, "pid", p.pid)
	}
}

// watch waits until the process has ended, which it is asked to when the
// supervisor stops.
func (s *Supervisor) watch(t *task, p *process) string {
	defer p.close()
	ended := make(chan struct{})
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		select {
		case <-ended:
		case <-t.ctx.Done():
			if err := p.stop(patience); err != nil {
				s.log.Error("stop process", "role", t.spec.Name, "error", err)
			}
		}
	}()
	how := p.wait()
	close(ended)
	<-asked
	return how
}

const (
	shortLife = 5 * time.Second
	maxDelay  = 5 * time.Second
)

// backoff is the time to wait before a process is started again: none if it
// lived for a while.
func backoff(last, lived time.Duration) time.Duration {
	if lived >= shortLife {
		return 0
	}
	return min(max(2*last, 50*time.Millisecond), maxDelay)
}

// Stop ends the processes and returns when they have ended.
func (s *Supervisor) Stop() {
	s.cancel()
	s.group.Wait()
}

func (t *task) set(p *process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.process = p; p != nil {
		t.since, t.problem = time.Now(), nil
	}
}

func (t *task) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.problem = err
}

// Status is what is known of a process.
type Status struct {
	Role     string    `json:"role"`
	PID      int       `json:"pid,omitempty"` // zero: it does not run
	Since    time.Time `json:"since"`         // when this supervisor first saw it
	Adopted  bool      `json:"adopted,omitempty"`
	Restarts int       `json:"restarts"`
	Problem  string    `json:"problem,omitempty"`
}

// Status lists the processes in the order of their start.
func (s *Supervisor) Status() []Status {
	s.mu.Lock()
	tasks := slices.Clone(s.tasks)
	s.mu.Unlock()
	var list []Status
	for _, t := range tasks {
		t.mu.Lock()
		st := Status{Role: t.spec.Name, Since: t.since, Restarts: t.restarts}
		if t.process != nil {
			st.PID, st.Adopted = t.process.pid, t.process.adopted
		}
		if t.problem != nil {
			st.Problem = t.problem.Error()
		}
		t.mu.Unlock()
		list = append(list, st)
	}
	return list
}

// StopAll ends the processes that supervisors of a directory left running, for
// when there is no supervisor.
func StopAll(dir string) error {
	return each(dir, func(name string) error { return stopRecorded(dir, name) })
}

// each calls a function with the name of each record of a directory.
func each(dir string, do func(name string) error) error {
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	var failed error
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".json")
		if ok && !strings.HasPrefix(name, ".") {
			failed = errors.Join(failed, do(name))
		}
	}
	return failed
}

// stopRecorded ends the process of a record, if it still runs.
func stopRecorded(dir, name string) error {
	p, err := find(dir, name)
	if p != nil {
		err = p.stop(patience)
		p.close()
	}
	return err
}

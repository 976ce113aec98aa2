package supervise

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/isthmus-net/isthmus/internal/netns"
)

// The test binary is also the supervised process and, to be killed, a
// supervisor.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "answer":
			answer()
			return
		case "echo":
			echo()
			return
		case "supervisor":
			superviseUntilKilled(os.Args[2], os.Args[3:])
			return
		}
	}
	os.Exit(m.Run())
}

// facts is what a supervised process tells about itself to who connects.
type facts struct {
	PID    int
	Status string
	Netns  netns.ID
	Env    []string
	Dir    string
}

// answer is the supervised process: it tells its facts to each connection, and
// ends if it is sent "die".
func answer() {
	if err := AwaitRelease(os.Stdin); err != nil {
		os.Exit(3)
	}
	l, err := Listener(0)
	if err != nil {
		panic(err)
	}
	if len(os.Args) > 2 && os.Args[2] == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		status, _ := os.ReadFile("/proc/self/status")
		id, _ := netns.IDOf("/proc/self/ns/net")
		dir, _ := os.Getwd()
		json.NewEncoder(c).Encode(facts{os.Getpid(), string(status), id, os.Environ(), dir})
		line, _ := bufio.NewReader(c).ReadString('\n')
		c.Close()
		if line == "die\n" {
			os.Exit(7)
		}
	}
}

func superviseUntilKilled(dir string, args []string) {
	s, err := New(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	at, err := s.Start(Spec{Name: "answer", Args: args, UID: 61901, GID: 61900, Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		panic(err)
	}
	fmt.Println(at[0])
	select {}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("needs root")
	}
}

func newSupervisor(t *testing.T, dir string) *Supervisor {
	t.Helper()
	needRoot(t)
	before := goleak.IgnoreCurrent()
	s, err := New(dir, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if err := StopAll(dir); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, before)
	})
	return s
}

func start(t *testing.T, s *Supervisor, spec Spec) netip.AddrPort {
	t.Helper()
	spec.Name, spec.UID, spec.GID = "answer", 61901, 61900
	spec.Listen = []string{"127.0.0.1:0"}
	if spec.Args == nil {
		spec.Args = []string{"answer"}
	}
	at, err := s.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	return at[0]
}

// gone says whether a process has ended. One whose parent was killed may wait
// for the machine's first process to notice.
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

// ask asks the process for its facts and then sends it a word. A connection
// that the process was killed with is tried again: the socket itself stays.
func ask(t *testing.T, at netip.AddrPort, word string) facts {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		f, err := tryAsk(at, word)
		if err == nil {
			return f
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func tryAsk(at netip.AddrPort, word string) (f facts, err error) {
	c, err := net.DialTimeout("tcp", at.String(), 10*time.Second)
	if err != nil {
		return f, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if err := json.NewDecoder(c).Decode(&f); err != nil {
		return f, err
	}
	io.WriteString(c, word+"\n")
	io.Copy(io.Discard, c) // until it has been read
	return f, nil
}

func TestProcessHasNoPrivileges(t *testing.T) {
	t.Setenv("SECRET", "x")
	s := newSupervisor(t, t.TempDir())
	f := ask(t, start(t, s, Spec{}), "thanks")
	status := map[string]string{}
	for line := range strings.Lines(f.Status) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.Join(strings.Fields(value), " ")
	}
	for name, want := range map[string]string{
		"Uid": "61901 61901 61901 61901", "Gid": "61900 61900 61900 61900", "Groups": "", "NoNewPrivs": "1",
		"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000",
		"CapBnd": "0000000000000000", "CapAmb": "0000000000000000",
	} {
		if status[name] != want {
			t.Errorf("%s is %q, want %q", name, status[name], want)
		}
	}
	for _, e := range f.Env {
		if strings.HasPrefix(e, "SECRET=") {
			t.Error("the environment was passed on")
		}
	}
	if f.Dir != "/" {
		t.Errorf("working directory %s", f.Dir)
	}
	if got, err := syscall.Getpgid(f.PID); err != nil || got != f.PID {
		t.Errorf("process group %d, %v; want its own, %d", got, err, f.PID)
	}
	if own := ownStatus(t, "NoNewPrivs"); own != "0" {
		t.Errorf("the supervisor has NoNewPrivs %s", own)
	}
}

// ownStatus looks at all threads, of which none may have been confined for
// good.
func ownStatus(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func TestProcessRunsInNamespace(t *testing.T) {
	needRoot(t)
	path := filepath.Join(t.TempDir(), "ns")
	ns, err := netns.Create(path, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer netns.Delete(path)
	defer ns.Close()
	s := newSupervisor(t, t.TempDir())
	// The socket is of the test's namespace all the same.
	f := ask(t, start(t, s, Spec{Netns: func() (*netns.NS, error) { return netns.Open(path) }}), "thanks")
	if f.Netns != ns.ID() {
		t.Errorf("it runs in %v, want %v", f.Netns, ns.ID())
	}
}

func TestProcessIsStartedAgain(t *testing.T) {
	s := newSupervisor(t, t.TempDir())
	at := start(t, s, Spec{})
	first := ask(t, at, "die")
	second := ask(t, at, "thanks")
	if first.PID == second.PID {
		t.Fatal("it did not die")
	}
	if err := syscall.Kill(second.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	third := ask(t, at, "thanks")
	if third.PID == second.PID {
		t.Fatal("it was not killed")
	}
	st := s.Status()
	if len(st) != 1 || st[0].PID != third.PID || st[0].Restarts != 2 || st[0].Role != "answer" {
		t.Errorf("status is %+v", st)
	}
}

func TestStop(t *testing.T) {
	dir := t.TempDir()
	s := newSupervisor(t, dir)
	at := start(t, s, Spec{})
	pid := ask(t, at, "thanks").PID
	s.Stop()
	if !gone(pid) {
		t.Error("the process is still there")
	}
	if c, err := net.Dial("tcp", at.String()); err == nil {
		c.Close()
		t.Error("the socket is still there")
	}
}

func TestEnd(t *testing.T) {
	dir := t.TempDir()
	s := newSupervisor(t, dir)
	first := ask(t, start(t, s, Spec{}), "thanks").PID
	if err := s.End("other"); err == nil {
		t.Error("what was never started was ended")
	}
	if err := s.End("answer"); err != nil {
		t.Fatal(err)
	}
	if st := s.Status(); len(st) != 0 || !gone(first) {
		t.Errorf("status is %+v, process gone: %v", st, gone(first))
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind are %v, %v", left, err)
	}
	// It may come again.
	if next := ask(t, start(t, s, Spec{}), "thanks").PID; next == first {
		t.Error("it did not end")
	}
}

func TestEndOthers(t *testing.T) {
	dir := t.TempDir()
	pid := ask(t, killed(t, dir, "answer"), "thanks").PID
	s := newSupervisor(t, dir)
	for prefix, wanted := range map[string]bool{"other": false, "ans": true} {
		if err := s.EndOthers(prefix, func(string) bool { return wanted }); err != nil || gone(pid) {
			t.Errorf("with prefix %s: %v, process gone: %v", prefix, err, gone(pid))
		}
	}
	if err := s.EndOthers("ans", func(string) bool { return false }); err != nil || !gone(pid) {
		t.Errorf("%v, process gone: %v", err, gone(pid))
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind are %v, %v", left, err)
	}
}

// killed runs a supervisor in a process of its own and kills it.
func killed(t *testing.T, dir string, args ...string) netip.AddrPort {
	t.Helper()
	needRoot(t)
	cmd := exec.Command("/proc/self/exe", append([]string{"supervisor", dir}, args...)...)
	// A file: a pipe would be open for as long as the process lives.
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { StopAll(dir) })
	line, err := bufio.NewReader(out).ReadString('\n')
	cmd.Process.Kill()
	cmd.Wait()
	if err != nil {
		b, _ := os.ReadFile(stderr.Name())
		t.Fatalf("%v: %s", err, b)
	}
	return netip.MustParseAddrPort(strings.TrimSpace(line))
}

func TestAdopt(t *testing.T) {
	dir := t.TempDir()
	at := killed(t, dir, "answer")
	first := ask(t, at, "thanks")
	s := newSupervisor(t, dir)
	if again := start(t, s, Spec{}); again != at {
		t.Errorf("it listens on %v, did on %v", again, at)
	}
	if st := s.Status(); len(st) != 1 || !st[0].Adopted || st[0].PID != first.PID {
		t.Errorf("status is %+v, want process %d adopted", st, first.PID)
	}
	// It is watched on, and the next one listens on the same socket.
	ask(t, at, "die")
	if next := ask(t, at, "thanks"); next.PID == first.PID {
		t.Error("it did not die")
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	at := killed(t, dir, "answer")
	first := ask(t, at, "thanks")
	s := newSupervisor(t, dir)
	second := ask(t, start(t, s, Spec{Args: []string{"answer", "otherwise"}}), "thanks")
	if first.PID == second.PID {
		t.Error("a process with other arguments was adopted")
	}
	if !gone(first.PID) {
		t.Error("the old process is still there")
	}
}

// A pid that now is another process's must be neither adopted nor killed.
func TestStrangerIsLeftAlone(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	stranger := exec.Command("sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stranger.Process.Kill(); stranger.Wait() }()
	b, _ := json.Marshal(record{stranger.Process.Pid, "1"})
	if err := os.WriteFile(recordPath(dir, "answer"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	s := newSupervisor(t, dir)
	if f := ask(t, start(t, s, Spec{}), "thanks"); f.PID == stranger.Process.Pid {
		t.Error("adopted a stranger")
	}
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the stranger: %v", err)
	}
}

func TestStopAll(t *testing.T) {
	dir := t.TempDir()
	at := killed(t, dir, "answer")
	pid := ask(t, at, "thanks").PID
	for range 2 {
		if err := StopAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	if !gone(pid) {
		t.Error("the process is still there")
	}
}

func TestStartFails(t *testing.T) {
	s := newSupervisor(t, t.TempDir())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = s.Start(Spec{Name: "answer", Args: []string{"answer"}, UID: 61901, GID: 61900, Listen: []string{l.Addr().String()}})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Start returned %v", err)
	}
	if st := s.Status(); len(st) != 0 {
		t.Errorf("status is %+v", st)
	}
}

// A process whose supervisor died before it wrote the record ends by itself.
func TestUnreleasedProcessEnds(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "answer")
	cmd.Stdin = strings.NewReader("")
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("it ended with %v", err)
	}
}

func TestStartTime(t *testing.T) {
	// A name full of what separates fields.
	dir := t.TempDir()
	odd := filepath.Join(dir, "a) R 1 (b")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(odd, b, 0o755); err != nil {
		t.Fatal(err)
	}
	plain, strange := exec.Command(sleep, "60"), exec.Command(odd, "60")
	var times []string
	for _, c := range []*exec.Cmd{plain, strange} {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { c.Process.Kill(); c.Wait() }()
		s, err := StartTime(fmt.Sprint(c.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, s)
	}
	var a, c int
	fmt.Sscan(times[0], &a)
	fmt.Sscan(times[1], &c)
	if a == 0 || c < a || c > a+1000 {
		t.Errorf("start times %v", times)
	}
}

func TestBackoff(t *testing.T) {
	for _, c := range []struct{ last, lived, want time.Duration }{
		{0, time.Minute, 0},
		{maxDelay, shortLife, 0},
		{0, 0, 50 * time.Millisecond},
		{50 * time.Millisecond, time.Second, 100 * time.Millisecond},
		{4 * time.Second, 0, maxDelay},
	} {
		if got := backoff(c.last, c.lived); got != c.want {
			t.Errorf("backoff(%v, %v) = %v, want %v", c.last, c.lived, got, c.want)
		}
	}
}

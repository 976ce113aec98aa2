package supervise

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/internal/netns"
)

// process is a running process, of this supervisor's or of an earlier one.
type process struct {
	pid     int
	pidfd   int
	child   *os.Process // nil if adopted
	adopted bool
}

func (p *process) close() { unix.Close(p.pidfd) }

// wait waits until the process has ended, and tells how.
func (p *process) wait() string {
	if p.child != nil {
		state, err := p.child.Wait()
		if err != nil {
			return err.Error()
		}
		return state.String()
	}
	p.poll(-1)
	return "ended"
}

// poll waits until the process has ended or the time is over (negative: for
// ever), and tells whether it has ended.
func (p *process) poll(timeout time.Duration) bool {
	deadline := time.Now().Add(timeout)
	for {
		ms := -1
		if timeout >= 0 {
			ms = int(max(0, time.Until(deadline)).Milliseconds())
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}, ms)
		if !errors.Is(err, unix.EINTR) {
			return n > 0
		}
	}
}

func (p *process) ended() bool { return p.poll(0) }

func (p *process) signal(s unix.Signal) error {
	err := unix.PidfdSendSignal(p.pidfd, s, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal process %d: %w", p.pid, err)
	}
	return nil
}

// stop ends the process: politely, and after the patience for good.
func (p *process) stop(patience time.Duration) error {
	if err := p.signal(unix.SIGTERM); err != nil || p.poll(patience) {
		return err
	}
	if err := p.signal(unix.SIGKILL); err != nil {
		return err
	}
	if !p.poll(patience) {
		return fmt.Errorf("process %d does not end", p.pid)
	}
	return nil
}

// differs tells why a process can't stand for a spec; empty if it can.
func (p *process) differs(s Spec, exe string) (string, error) {
	proc := "/proc/" + strconv.Itoa(p.pid)
	var ours, theirs unix.Stat_t
	if err := errors.Join(unix.Stat(exe, &ours), unix.Stat(proc+"/exe", &theirs)); err != nil {
		return "", fmt.Errorf("compare builds: %w", err)
	}
	if ours.Dev != theirs.Dev || ours.Ino != theirs.Ino {
		return "it is of another build", nil
	}
	line, err := os.ReadFile(proc + "/cmdline")
	if err != nil {
		return "", fmt.Errorf("read arguments: %w", err)
	}
	args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	if !slices.Equal(args, s.argv()) {
		return "it has other arguments", nil
	}
	ns, err := s.namespace()
	if err != nil {
		return "", err
	}
	defer ns.Close()
	id, err := netns.IDOf(proc + "/ns/net")
	if err != nil {
		return "", err
	}
	if id != ns.ID() {
		return "it is in another network namespace", nil
	}
	return "", nil
}

package supervise

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/internal/netns"
)

// Spec says what is to run.
type Spec struct {
	Name string   // of the role; names the record too
	Args []string // after the program's name
	UID  uint32
	GID  uint32
	// Netns is a function that opens the namespace to run in, asked at each
	// start; nil for the supervisor's own.
	Netns func() (*netns.NS, error)
	// Listen are addresses (IP:port; port 0 chooses one), listened on in the
	// supervisor's namespace and handed over as files 3, 4 … They are TCP
	// addresses, or after "udp:" those of UDP sockets; after "connect:" comes
	// the address of another host to which a UDP socket is connected.
	Listen []string
	// Inside are like Listen, but in the process's own namespace; their files
	// come after those of Listen.
	Inside []string
}

const firstSocket = 3

func (s Spec) argv() []string { return append([]string{"isthmus"}, s.Args...) }

func (s Spec) namespace() (*netns.NS, error) {
	if s.Netns == nil {
		return netns.Current()
	}
	return s.Netns()
}

// spawn starts a process and has it wait until its record is written.
func (s Spec) spawn(exe, dir string, sockets []socket) (*process, error) {
	ns, err := s.namespace()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	gate, hold, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer hold.Close()
	defer gate.Close()
	var files []*os.File
	for _, l := range sockets {
		f, err := l.file()
		if err != nil {
			return nil, fmt.Errorf("hand socket over: %w", err)
		}
		defer f.Close()
		files = append(files, f)
	}
	pidfd := -1
	cmd := &exec.Cmd{
		Path: exe, Args: s.argv(), Dir: "/", Env: environment(os.Environ()),
		Stdin: gate, Stdout: os.Stderr, Stderr: os.Stderr, ExtraFiles: files,
		SysProcAttr: &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: s.UID, Gid: s.GID},
			Setsid:     true,
			PidFD:      &pidfd,
		},
	}
	if err := startConfined(cmd, ns); err != nil {
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, pidfd: pidfd, child: cmd.Process}
	if err := writeRecord(dir, s.Name, p.pid); err != nil {
		hold.Close() // it ends by itself
		p.wait()
		p.close()
		return nil, fmt.Errorf("write record: %w", err)
	}
	if _, err := io.WriteString(hold, "go\n"); err != nil {
		return nil, errors.Join(fmt.Errorf("let go: %w", err), p.stop(patience))
	}
	return p, nil
}

// AwaitRelease is called first by a supervised process: it returns when its
// record is written, and an error if the supervisor died before, when nobody
// would ever find the process.
func AwaitRelease(stdin io.Reader) error {
	line, err := bufio.NewReader(stdin).ReadString('\n')
	if err != nil || line != "go\n" {
		return errors.New("start: this command is for isthmus serve to run")
	}
	return nil
}

// Listener is the i-th listening socket that the process was handed. The
// descriptor itself stays open, where the next supervisor looks for it.
func Listener(i int) (net.Listener, error) { return handed(i, net.FileListener) }

// PacketConn is the i-th socket that the process was handed, if that is one of
// UDP.
func PacketConn(i int) (net.PacketConn, error) { return handed(i, net.FilePacketConn) }

// Conn is the i-th socket that the process was handed, if that is connected.
func Conn(i int) (net.Conn, error) { return handed(i, net.FileConn) }

func handed[S any](i int, take func(*os.File) (S, error)) (s S, err error) {
	fd, err := unix.FcntlInt(uintptr(firstSocket+i), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return s, fmt.Errorf("take socket %d over: %w", i, err)
	}
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	if s, err = take(f); err != nil {
		return s, fmt.Errorf("take socket %d over: %w", i, err)
	}
	return s, nil
}

// startConfined starts a command from a thread that has entered the namespace
// and given up every way to gain privileges, which the child inherits. The
// thread ends with it.
func startConfined(cmd *exec.Cmd, ns *netns.NS) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := ns.Enter(); err != nil {
			done <- err
			return
		}
		if err := renounce(); err != nil {
			done <- err
			return
		}
		done <- cmd.Start()
	}()
	return <-done
}

// renounce makes the thread one whose children gain nothing by executing
// anything: no_new_privs, and no capability in the bounding or inheritable
// set. Its other capabilities end with the change of user.
func renounce() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	for c := uintptr(0); ; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // past the kernel's last
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&h, &sets[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	sets[0].Inheritable, sets[1].Inheritable = 0, 0
	if err := unix.Capset(&h, &sets[0]); err != nil {
		return fmt.Errorf("clear inheritable capabilities: %w", err)
	}
	return nil
}

// environment is what of the environment a process is given.
func environment(all []string) []string {
	var kept []string
	for _, e := range all {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "PATH", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR",
			"GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GORACE", "GOTRACEBACK", "GOCOVERDIR":
			kept = append(kept, e)
		}
	}
	return kept
}

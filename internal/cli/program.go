package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/internal/netns"
)

// program is something to run inside a namespace.
type program struct {
	args []string
	// user to run as; empty: as whom isthmus runs, with all privileges.
	user string
	ns   *netns.NS
	// resolver is what the program asks about names; the zero address leaves
	// it what is configured for the machine.
	resolver netip.Addr
}

// run runs the program until it ends. It is sent the signals that isthmus
// gets, and dies with isthmus. Its exit status is returned as exitCode.
func (p program) run(env *Env) error {
	path, err := exec.LookPath(p.args[0])
	if err != nil {
		return err
	}
	cmd := exec.Command(path, p.args[1:]...)
	cmd.Args[0] = p.args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = env.Stdin, env.Stdout, env.Stderr, env.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.user != "" {
		if cmd.SysProcAttr.Credential, err = credential(p.user); err != nil {
			return err
		}
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, forwarded(env.Stdin)...)
	defer signal.Stop(signals)
	started := make(chan error, 1)
	ended := make(chan error, 1)
	go func() {
		// The thread has entered the namespace for good. It must last as long
		// as the program, which the kernel takes for its child, not isthmus's.
		runtime.LockOSThread()
		err := p.ns.Enter()
		if err == nil && p.resolver.IsValid() {
			err = useResolver(p.resolver)
		}
		if err == nil && p.user != "" {
			err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		}
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; errors.Is(err, os.ErrPermission) && p.user != "" {
		return fmt.Errorf("start %s: user %s may not execute it: %w", path, p.user, err)
	} else if err != nil {
		return fmt.Errorf("start %s: %w", p.args[0], err)
	}
	for {
		select {
		case s := <-signals:
			// It may just have ended.
			if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return fmt.Errorf("forward signal: %w", err)
			}
		case err := <-ended:
			return result(err)
		}
	}
}

// useResolver gives the thread, and what it starts, a mount namespace in which
// resolv.conf names a resolver.
func useResolver(a netip.Addr) error {
	const path = "/etc/resolv.conf"
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil // nothing to put it over
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make mount namespace: %w", err)
	}
	// What the machine mounts is still seen, but not the other way round.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	f, err := os.CreateTemp("", "isthmus-resolv-*.conf")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "nameserver %s\noptions timeout:2 attempts:3\n", a)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = unix.Mount(f.Name(), path, "", unix.MS_BIND, "")
	}
	// The mount keeps the file.
	if err = errors.Join(err, os.Remove(f.Name())); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return nil
}

// result is the exit status of a program, as shells have it.
func result(err error) error {
	var failed *exec.ExitError
	if !errors.As(err, &failed) {
		return err
	}
	if status := failed.Sys().(syscall.WaitStatus); status.Signaled() {
		return exitCode(128 + int(status.Signal()))
	}
	return exitCode(failed.ExitCode())
}

// forwarded lists the signals that the program is sent. From a terminal the
// kernel sends those of its keys to the program itself, in the same group.
func forwarded(stdin *os.File) []os.Signal {
	list := []os.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2}
	if stdin != nil {
		if _, err := unix.IoctlGetTermios(int(stdin.Fd()), unix.TCGETS); err == nil {
			signal.Ignore(syscall.SIGINT, syscall.SIGQUIT)
			return list
		}
	}
	return append(list, syscall.SIGINT, syscall.SIGQUIT)
}

// credential looks a user up by name or number. Supplementary groups are not
// taken: a program in a private network is to have as little as it can.
func credential(name string) (*syscall.Credential, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return &syscall.Credential{Uid: uint32(n), Gid: uint32(n)}, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("find user %s: %w", name, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("find user %s: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("find user %s: %w", name, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

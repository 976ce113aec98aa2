package netns

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// IDOf identifies the namespace at a path without opening it, which for a
// process's ns/net takes the right to inspect the process.
func IDOf(path string) (ID, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return ID{}, fmt.Errorf("identify namespace %s: %w", path, err)
	}
	return ID{uint64(st.Dev), st.Ino}, nil
}

// Kill ends the processes inside a namespace and waits until they are gone,
// at most for the time given. A process that is born meanwhile is ended too.
func Kill(id ID, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for {
		fds, err := killAll(id)
		if err != nil || len(fds) == 0 {
			return err
		}
		err = waitAll(fds, deadline)
		for _, fd := range fds {
			unix.Close(fd)
		}
		if err != nil {
			return fmt.Errorf("end processes of namespace: %w", err)
		}
	}
}

// killAll sends SIGKILL to every process in the namespace and returns pidfds
// of them.
func killAll(id ID) ([]int, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := proc.Readdirnames(-1)
	proc.Close()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var fds []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() || !inside(pid, id) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it ended meanwhile
		}
		// The pid may have been reused before the pidfd held it.
		if !inside(pid, id) || unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) != nil {
			unix.Close(fd)
			continue
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func inside(pid int, id ID) bool {
	got, err := IDOf(fmt.Sprintf("/proc/%d/ns/net", pid))
	return err == nil && got == id
}

// waitAll waits until the processes behind the pidfds have ended.
func waitAll(fds []int, deadline time.Time) error {
	for _, fd := range fds {
		for {
			left := time.Until(deadline)
			if left <= 0 {
				return os.ErrDeadlineExceeded
			}
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(p, int(left.Milliseconds())+1)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
			if n > 0 {
				break
			}
		}
	}
	return nil
}

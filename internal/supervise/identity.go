package supervise

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// StartTime is the time at which a process started, in clock ticks since the
// machine did. With the pid it names a process for ever (until a reboot).
func StartTime(pid string) (string, error) {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return "", fmt.Errorf("read start time: %w", err)
	}
	// The second field is the command in parentheses, which may hold both
	// parentheses and blanks; field 22 is the 20th after it (proc_pid_stat(5)).
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return "", errors.New("read start time: short /proc/" + pid + "/stat")
	}
	return fields[19], nil
}

// record is what the file of a process says.
type record struct {
	PID   int    `json:"pid"`
	Start string `json:"start"`
}

func recordPath(dir, name string) string { return filepath.Join(dir, name+".json") }

// writeRecord replaces the file at once, so that it is never half written.
func writeRecord(dir, name string, pid int) error {
	start, err := StartTime(strconv.Itoa(pid))
	if err != nil {
		return err
	}
	b, err := json.Marshal(record{pid, start})
	if err != nil {
		return err
	}
	temp := recordPath(dir, "."+name)
	if err := os.WriteFile(temp, b, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, recordPath(dir, name))
}

// forget removes the record of a process that has ended.
func forget(dir, name string) error {
	if err := os.Remove(recordPath(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget process %s: %w", name, err)
	}
	return nil
}

// find opens the process that a record names, if it still runs.
func find(dir, name string) (*process, error) {
	b, err := os.ReadFile(recordPath(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find process %s: %w", name, err)
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil || r.PID <= 1 {
		return nil, fmt.Errorf("find process %s: %s is not a record", name, recordPath(dir, name))
	}
	fd, err := unix.PidfdOpen(r.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find process %s: %w", name, err)
	}
	p := &process{pid: r.PID, pidfd: fd}
	// What has the number now is held by the pidfd; is it the one recorded?
	if start, err := StartTime(strconv.Itoa(r.PID)); err != nil || start != r.Start || p.ended() {
		p.close()
		return nil, nil
	}
	return p, nil
}

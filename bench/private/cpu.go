package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/node"
	"github.com/isthmus-net/isthmus/test/machine"
)

// process is one of Isthmus's, by its role.
type process struct {
	role string
	pid  int
}

// processes are "isthmus serve", which is the node, and those that it runs.
func processes(ctx context.Context, m *machine.Machine) ([]process, error) {
	out, err := machine.Output(m.Isthmus(ctx, "status", "--json"))
	if err != nil {
		return nil, err
	}
	var s node.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return nil, fmt.Errorf("read status: %w", err)
	}
	all := []process{{"node", m.Server().Pid}}
	for _, p := range s.Processes {
		all = append(all, process{p.Role, p.PID})
	}
	return all, nil
}

// tick is the unit of times in /proc, the same on all of Linux's machines.
const tick = time.Second / 100

// used is the CPU time that a process has used, fields 14 and 15 of
// proc_pid_stat(5). Its name, the second, is the only one that may hold spaces.
func (p process) used() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time of %s: %w", p.role, err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("read CPU time of %s: %q", p.role, b)
	}
	var sum time.Duration
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time of %s: %w", p.role, err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

package node

import (
	"fmt"
	"os"
	"regexp"

	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/internal/supervise"
)

// A path under /proc names a namespace by one of its processes, and the number
// of a process that ended may become another's. Such a path is therefore kept
// with the time at which the process started: /proc/812/ns/net@55012.

var (
	processPath = regexp.MustCompile(`^/proc/([0-9]+)/ns/net$`)
	boundPath   = regexp.MustCompile(`^(/proc/([0-9]+)/ns/net)@([0-9]+)$`)
)

// BindPath ties a path of a process's namespace to that very process; other
// paths stay as they are.
func BindPath(path string) (string, error) {
	m := processPath.FindStringSubmatch(path)
	if m == nil {
		return path, nil
	}
	start, err := supervise.StartTime(m[1])
	if err != nil {
		return "", fmt.Errorf("find process of %s: %w", path, err)
	}
	return path + "@" + start, nil
}

// openForeign opens a namespace that the node did not make.
func openForeign(path string) (*netns.NS, error) {
	m := boundPath.FindStringSubmatch(path)
	if m == nil {
		return netns.Open(path)
	}
	ns, err := netns.Open(m[1])
	if err != nil {
		return nil, err
	}
	// Asked after the namespace was opened: what was opened is the process's.
	if now, err := supervise.StartTime(m[2]); err != nil || now != m[3] {
		ns.Close()
		return nil, fmt.Errorf("open namespace %s: the process has ended: %w", m[1], os.ErrNotExist)
	}
	return ns, nil
}

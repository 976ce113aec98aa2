package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/netns"
)

// trace passes a question on to the control process, which knows neither
// namespaces nor processes: a sender that is named by one becomes its ENI.
func (c *Commands) trace(ctx context.Context, params json.RawMessage) (Answer, error) {
	var question map[string]json.RawMessage
	var from string
	err := json.Unmarshal(params, &question)
	if err == nil && question["from"] != nil {
		err = json.Unmarshal(question["from"], &from)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("read parameters: %w", err)
	}
	if path := namespacePath(from); path != "" {
		id, err := c.Node.InterfaceIn(path)
		if err != nil {
			return Answer{}, err
		}
		if question["from"], err = json.Marshal(id); err != nil {
			return Answer{}, err
		}
	}
	var result json.RawMessage
	err = c.call(ctx, "trace", question, &result)
	return Answer{Result: result}, err
}

// namespacePath is the path of the namespace that a name means: an absolute
// path, or the id of a process. It is empty for other names.
func namespacePath(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	if _, err := strconv.ParseUint(name, 10, 31); err == nil {
		return "/proc/" + name + "/ns/net"
	}
	return ""
}

// InterfaceIn finds the ENI whose device is in a namespace.
func (n *Node) InterfaceIn(path string) (string, error) {
	wanted, err := netns.Open(path)
	if err != nil {
		return "", fmt.Errorf("open namespace: %w", err)
	}
	defer wanted.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	var found []string
	for _, d := range n.devices {
		open := openForeign
		if d.own {
			open = netns.Open
		}
		ns, err := open(d.netns)
		if err != nil {
			continue // it has ended: nothing is sent from there
		}
		if ns.ID() == wanted.ID() {
			found = append(found, d.id)
		}
		ns.Close()
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("no network interface is in namespace %s: isthmus status lists those that are in one", path)
	case 1:
		return found[0], nil
	}
	return "", errors.New("several network interfaces are in namespace " + path + ": name one of " + strings.Join(found, ", "))
}

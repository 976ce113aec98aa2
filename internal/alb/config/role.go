package config

import "fmt"

// Owner is what the Owner of a node's ENI begins with in the data plane's
// tables, by which the machine knows that a process belongs there.
const Owner = "alb/"

// Role is the role in which the process of a node subscribes to the feed.
func Role(eni string) string { return Owner + eni }

// FirstUID and LastUID bound the users of the nodes' processes. Linux
// distributions and systemd give out none of these (systemd.io/UIDS-GIDS).
const (
	FirstUID = 0x70000000
	LastUID  = 0x7ffffffe
)

// UID is the user of a node's process, by the number of its ENI. Numbers are
// never given twice, so that no process shares its user with another one of
// whatever time.
func UID(eniNumber uint32) (uint32, error) {
	if eniNumber > LastUID-FirstUID {
		return 0, fmt.Errorf("give a user to the load balancer's node: network interface number %d is beyond the range of users", eniNumber)
	}
	return FirstUID + eniNumber, nil
}

package machine

import (
	"regexp"
	"slices"
	"strings"
)

// raceReport is a report of the race detector, or of one that was broken off.
var raceReport = regexp.MustCompile(`(?s)WARNING: DATA RACE.*?(\n=====|$)`)

// races are the reports of data races in a log, without those that are GoBGP's
// alone. Its 4.8.0 publishes a peer's configuration and then writes the same
// into it again when a session ends within half a minute (pkg/server/server.go,
// handleFSMMessage), while another session's update reads it; and it reads the
// message that opened a session without the lock for it (its pull request 3540).
// Nothing that we call keeps it from that, and what is read is either way the
// same.
func races(log string) []string {
	return slices.DeleteFunc(raceReport.FindAllString(log, -1), func(report string) bool {
		accesses := raceAccess.FindAllStringSubmatch(report, -1)
		for _, a := range accesses {
			if !strings.HasPrefix(a[1], "github.com/osrg/gobgp/") {
				return false
			}
		}
		return len(accesses) == 2
	})
}

// raceAccess is one of the two accesses of a report, with the function that made it.
var raceAccess = regexp.MustCompile(`(?m)^\s*(?:Previous )?(?:atomic )?(?i:read|write) at 0x[0-9a-f]+ by .*:\n(?:\s*runtime\..*\n.*\n)*\s*(\S+)\(`)

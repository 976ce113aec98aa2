package machine

import (
	"regexp"
	"slices"
	"strings"
)

// raceReport is a report of the race detector, or of one that was broken off.
var raceReport = regexp.MustCompile(`(?s)WARNING: DATA RACE.*?(\n=====|$)`)

// races are the reports of data races in a log, without one of GoBGP 4.8.0
// (no issue of it is known; its newest release has it). When a session ends that
// lasted less than half a minute, handleFSMMessage counts that in a copy of the
// peer's configuration, publishes the copy, and assigns to it anew, while the
// update of another session reads in it which VRF the peer is of. What it
// assigns is a copy of the same: the name that is read is the old one, at the
// same place. No call of ours has a part in it, as calls exclude both: only a
// server for each session would. Other races in GoBGP are reported: they may be
// of values that we gave it and changed.
func races(log string) []string {
	return slices.DeleteFunc(raceReport.FindAllString(log, -1), func(report string) bool {
		const server = "github.com/osrg/gobgp/v4/pkg/server.(*BgpServer)."
		var accesses []string
		for _, a := range raceAccess.FindAllStringSubmatch(report, -1) {
			accesses = append(accesses, strings.ToLower(a[1])+" "+a[2])
		}
		slices.Sort(accesses)
		return slices.Equal(accesses, []string{"read " + server + "propagateUpdateToNeighbors.func1", "write " + server + "handleFSMMessage"})
	})
}

// raceAccess is one of the two accesses of a report: its kind, and the function
// that made it.
var raceAccess = regexp.MustCompile(`(?m)^\s*(?:Previous )?((?i:(?:atomic )?(?:read|write))) at 0x[0-9a-f]+ by .*:\n(?:\s*runtime\..*\n.*\n)*\s*(\S+)\(`)

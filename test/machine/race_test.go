package machine

import "testing"

func TestRaces(t *testing.T) {
	const (
		ends     = "  github.com/osrg/gobgp/v4/pkg/server.(*BgpServer).handleFSMMessage()\n      /mod/server.go:1679 +0xc6f\n"
		forwards = "  github.com/osrg/gobgp/v4/pkg/server.(*BgpServer).propagateUpdateToNeighbors.func1()\n      /mod/server.go:1470 +0x479\n"
		path     = "  github.com/osrg/gobgp/v4/internal/pkg/table.(*Path).SetHash()\n      /mod/path.go:1 +0x1\n"
		ours     = "  github.com/isthmus-net/isthmus/internal/bgp.(*speaker).observe()\n      /src/speaker.go:9 +0x1\n"
		copied   = "  runtime.slicecopy()\n      /go/slice.go:1 +0x2\n"
	)
	// Whatever calls the function that made an access is of no account.
	report := func(kind, stack, previousKind, previous string) string {
		return "level=INFO msg=x\n==================\nWARNING: DATA RACE\n" + kind + " at 0x00c0011966a8 by goroutine 134:\n" + stack + ours +
			"\nPrevious " + previousKind + " at 0x00c0011966a8 by goroutine 144:\n" + previous + ours +
			"\nGoroutine 134 (running) created at:\n" + ends + "==================\nlevel=INFO msg=y\n"
	}
	known := report("Write", ends, "read", forwards)
	for name, test := range map[string]struct {
		log  string
		want int
	}{
		"none":                      {"level=INFO msg=x\n", 0},
		"the known one":             {known, 0},
		"the known one, read later": {report("Read", forwards, "write", ends), 0},
		"the known one, copying":    {report("Write", copied+ends, "read", forwards), 0},
		"the same, both writing":    {report("Write", ends, "write", forwards), 1},
		"the same, wrong way round": {report("Read", ends, "write", forwards), 1},
		"another of the library":    {report("Write", path, "read", forwards), 1},
		"the library's, of a path":  {report("Write", path, "read", path), 1},
		"ours":                      {report("Write", ours, "read", ours), 1},
		"ours, copying":             {report("Write", copied+ours, "read", ours), 1},
		"ours with the library":     {report("Write", ends, "read", ours), 1},
		"the library with ours":     {report("Write", ours, "read", forwards), 1},
		"both":                      {known + report("Write", ours, "read", ours), 1},
		"one that was cut short":    {"WARNING: DATA RACE\nWrite at 0x1 by goroutine 1:\n" + ends, 1},
		"one without a stack": {"WARNING: DATA RACE\nWrite at 0x1 by goroutine 1:\n" + ends +
			"\nPrevious read at 0x1 by goroutine 2:\n  [failed to restore the stack]\n\n==================\n", 1},
	} {
		if got := races(test.log); len(got) != test.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

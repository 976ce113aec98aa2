package machine

import "testing"

func TestRaces(t *testing.T) {
	const (
		library = "  github.com/osrg/gobgp/v4/pkg/server.(*BgpServer).handleFSMMessage()\n      /mod/server.go:1679 +0xc6f\n"
		ours    = "  github.com/isthmus-net/isthmus/internal/bgp.(*speaker).observe()\n      /src/speaker.go:9 +0x1\n"
		copied  = "  runtime.slicecopy()\n      /go/slice.go:1 +0x2\n"
	)
	report := func(first, second string) string {
		return "level=INFO msg=x\n==================\nWARNING: DATA RACE\nWrite at 0x00c0011966a8 by goroutine 134:\n" + first + ours +
			"\nPrevious read at 0x00c0011966a8 by goroutine 144:\n" + second + ours +
			"\nGoroutine 134 (running) created at:\n" + library + "==================\nlevel=INFO msg=y\n"
	}
	for name, test := range map[string]struct {
		log  string
		want int
	}{
		"none":                   {"level=INFO msg=x\n", 0},
		"the library's":          {report(library, library), 0},
		"the library's, copying": {report(copied+library, library), 0},
		"ours":                   {report(ours, ours), 1},
		"ours, copying":          {report(copied+ours, ours), 1},
		"ours with the library":  {report(library, ours), 1},
		"the library with ours":  {report(ours, library), 1},
		"both":                   {report(library, library) + report(ours, ours), 1},
		"one that was cut short": {"WARNING: DATA RACE\nWrite at 0x1 by goroutine 1:\n" + library, 1},
	} {
		if got := races(test.log); len(got) != test.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

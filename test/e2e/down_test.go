package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/cilium/ebpf"

	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/test/machine"
)

// TestDown: two instances in namespaces that stand for two machines; what one
// of them does, "isthmus down" above all, is nothing to the other.
func TestDown(t *testing.T) {
	m, other := start(t), machine.StartTest(t, binary)
	a := site(t, m, accountA, machine.SiteOptions{})
	b := site(t, other, accountA, machine.SiteOptions{Locations: slowLocation})
	sum := putSlow(t, b)
	ofM, ofOther := overV1(t, a), overV2(t, b)
	client := addHost(t, other, accountA, b.Subnet, "", nil)
	answers(t, m, ofM.URL+"/x", 200, accountA)
	answers(t, other, ofOther.URL+"/x", 200, accountA)

	t.Run("a running instance", func(t *testing.T) {
		foreign := attached(t, m, a)
		left := takeFootprint(t, m)
		x := download(t, client, b.Node)
		if err := m.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		left.gone(t, m)
		if got := devices(t, foreign); !slices.Equal(got, []string{"lo"}) {
			t.Errorf("a namespace that an interface was attached to holds %v", got)
		}
		x.complete(t, sum)
		answers(t, other, ofOther.URL+"/x", 200, accountA)
		if err := m.Down(t.Context()); err != nil {
			t.Errorf("down when there is nothing: %v", err)
		}
	})
	t.Run("an instance of which all is dead", func(t *testing.T) {
		left := takeFootprint(t, other)
		killEverything(t, other)
		if err := other.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		left.gone(t, other)
	})
}

// attached puts an interface into a namespace that is not Isthmus's, and
// returns what makes a command inside it.
func attached(t *testing.T, m *machine.Machine, s *machine.Site) (inside func(...string) *exec.Cmd) {
	t.Helper()
	path := filepath.Join(m.Dir, "foreign")
	ns, err := netns.Create(path, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(ns.Close(), netns.Delete(path)); err != nil {
			t.Error(err)
		}
	})
	n, err := s.AWS.EC2.CreateNetworkInterface(t.Context(), &ec2.CreateNetworkInterfaceInput{SubnetId: &s.Subnet})
	if err != nil {
		t.Fatal(err)
	}
	output(t, m.Isthmus(t.Context(), "attach", *n.NetworkInterface.NetworkInterfaceId, "--netns", path))
	inside = func(args ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), "nsenter", append([]string{"--net=" + path, "--"}, args...)...)
	}
	if got := devices(t, inside); len(got) != 2 {
		t.Fatalf("an interface was attached to a namespace that now holds %v", got)
	}
	return inside
}

// devices lists the network devices of the namespace of commands.
func devices(t *testing.T, command func(...string) *exec.Cmd) (names []string) {
	t.Helper()
	var list []struct{ Ifname string }
	if err := json.Unmarshal([]byte(output(t, command("ip", "-json", "link"))), &list); err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		names = append(names, d.Ifname)
	}
	return names
}

// footprint is what an instance is in the kernel.
type footprint struct {
	namespaces []netns.ID
	programs   []ebpf.ProgramID
	maps       []ebpf.MapID
}

// takeFootprint looks for what a running instance has made.
func takeFootprint(t *testing.T, m *machine.Machine) (f footprint) {
	t.Helper()
	run := filepath.Join(m.Dir, "run")
	spaces, err := filepath.Glob(filepath.Join(run, "netns", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range spaces {
		id, err := netns.IDOf(path)
		if err != nil {
			t.Fatal(err)
		}
		f.namespaces = append(f.namespaces, id)
	}
	pins, err := filepath.Glob(filepath.Join(run, "bpf", "isthmus", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pins {
		if p, err := ebpf.LoadPinnedProgram(path, nil); err == nil {
			info, err := p.Info()
			p.Close()
			if err != nil {
				t.Fatal(err)
			}
			id, _ := info.ID()
			f.programs = append(f.programs, id)
		} else if o, err := ebpf.LoadPinnedMap(path, nil); err == nil {
			info, err := o.Info()
			o.Close()
			if err != nil {
				t.Fatal(err)
			}
			id, _ := info.ID()
			f.maps = append(f.maps, id)
		}
	}
	running := instanceProcesses(t, m, f.namespaces)
	if len(f.namespaces) < 4 || len(f.programs) == 0 || len(f.maps) == 0 || len(running) < 5 {
		t.Fatalf("a running instance is no more than %+v and processes %v", f, running)
	}
	if got := machineDevices(t, m); !slices.Equal(got, []string{"lo"}) {
		t.Errorf("the machine's own namespace holds %v while Isthmus runs", got)
	}
	return f
}

func machineDevices(t *testing.T, m *machine.Machine) []string {
	t.Helper()
	return devices(t, func(args ...string) *exec.Cmd { return m.Command(t.Context(), args[0], args[1:]...) })
}

// instanceProcesses are those that were started with the instance's directory
// as an argument, or are in one of its namespaces.
func instanceProcesses(t *testing.T, m *machine.Machine, spaces []netns.ID) []int {
	t.Helper()
	run := []byte(filepath.Join(m.Dir, "run"))
	return findProcesses(t, func(proc string) bool {
		line, err := os.ReadFile(proc + "/cmdline")
		return err == nil && bytes.Contains(line, run) || inOneOf(proc, spaces)
	})
}

// processesIn are those in a network namespace.
func processesIn(t *testing.T, space netns.ID) []int {
	t.Helper()
	return findProcesses(t, func(proc string) bool { return inOneOf(proc, []netns.ID{space}) })
}

func inOneOf(proc string, spaces []netns.ID) bool {
	id, err := netns.IDOf(proc + "/ns/net")
	return err == nil && slices.Contains(spaces, id)
}

// findProcesses asks a function about the directory in /proc of each process.
// One that ends meanwhile has no files there.
func findProcesses(t *testing.T, is func(proc string) bool) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && is("/proc/"+e.Name()) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// gone checks that nothing of it is left.
func (f footprint) gone(t *testing.T, m *machine.Machine) {
	t.Helper()
	// "isthmus run" ends when it has seen its program end.
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		pids := instanceProcesses(t, m, f.namespaces)
		return len(pids) == 0, fmt.Sprintf("processes %v live on", pids), nil
	})
	if err != nil {
		t.Error(err)
	}
	if got := machineDevices(t, m); !slices.Equal(got, []string{"lo"}) {
		t.Errorf("the machine's own namespace holds %v", got)
	}
	run := filepath.Join(m.Dir, "run")
	if _, err := os.Lstat(run); !errors.Is(err, os.ErrNotExist) {
		left, _ := filepath.Glob(filepath.Join(run, "*"))
		t.Errorf("the run directory is left, with %v", left)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " "+run) {
			t.Errorf("a mount is left: %s", line)
		}
	}
	// The kernel frees what nothing refers to in its own time.
	err = machine.Until(t.Context(), patience, func() (bool, string, error) {
		for _, id := range f.programs {
			if p, err := ebpf.NewProgramFromID(id); !errors.Is(err, os.ErrNotExist) {
				p.Close()
				return false, "a program is left", nil
			}
		}
		for _, id := range f.maps {
			if o, err := ebpf.NewMapFromID(id); !errors.Is(err, os.ErrNotExist) {
				o.Close()
				return false, "a map is left", nil
			}
		}
		return true, "", nil
	})
	if err != nil {
		t.Error(err)
	}
}

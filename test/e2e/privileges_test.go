package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/test/machine"
)

// TestPrivileges: what serves strangers can do little, as the kernel tells it.
func TestPrivileges(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{})
	run, data := filepath.Join(m.Dir, "run"), filepath.Join(m.Dir, "data")
	pids := processes(t, m)

	users := map[string]int{}
	t.Run("each role has a user of its own and no capabilities", func(t *testing.T) {
		owners := map[int]string{0: "root"}
		for _, role := range roles {
			p := confined(t, pids[role])
			uid := p.user(t)
			if owner, taken := owners[uid]; taken {
				t.Errorf("%s runs as user %d, as does %s", role, uid, owner)
			}
			owners[uid], users[role] = role, uid
			if p["CapBnd"] != none {
				t.Errorf("%s can gain capabilities %s", role, p["CapBnd"])
			}
		}
	})
	t.Run("a program of isthmus run is nobody and inherits no files", func(t *testing.T) {
		h := addHost(t, m, accountA, a.Subnet, "", nil)
		for _, i := range status(t, m).Interfaces {
			if i.ID != h.eni {
				continue
			}
			id, err := netns.IDOf(i.Netns)
			if err != nil {
				t.Fatal(err)
			}
			inside := processesIn(t, id)
			if len(inside) != 1 {
				t.Fatalf("processes %v are in the namespace of %s", inside, h.eni)
			}
			if uid := confined(t, inside[0]).user(t); uid != 65534 {
				t.Errorf("the program runs as user %d", uid)
			}
			// What this test was started with is not Isthmus's.
			ours := openFiles(t, os.Getpid())
			for fd, file := range openFiles(t, inside[0]) {
				if fd > 2 && file != ours[fd] {
					t.Errorf("the program was handed %s as file %d", file, fd)
				}
			}
			return
		}
		t.Errorf("isthmus status does not tell of %s", h.eni)
	})
	t.Run("files are for whom they are meant", func(t *testing.T) {
		for path, want := range map[string]struct {
			mode os.FileMode
			uid  int
		}{
			filepath.Join(run, "node.sock"):         {os.ModeSocket | 0o600, 0},
			filepath.Join(run, "feed"):              {os.ModeDir | 0o750, users["control"]},
			filepath.Join(run, "feed", "feed.sock"): {os.ModeSocket | 0o660, users["control"]},
			filepath.Join(run, "bpf"):               {os.ModeDir | os.ModeSticky | 0o700, 0},
			data:                                    {os.ModeDir | 0o700, users["control"]},
		} {
			info, err := os.Stat(path)
			if err != nil {
				t.Error(err)
				continue
			}
			var st unix.Stat_t
			if err := unix.Stat(path, &st); err != nil {
				t.Fatal(err)
			}
			if info.Mode() != want.mode || int(st.Uid) != want.uid {
				t.Errorf("%s is %v of user %d, want %v of %d", path, info.Mode(), st.Uid, want.mode, want.uid)
			}
		}
	})
	t.Run("the gateway's user gets the gateway's configuration and nothing else", func(t *testing.T) {
		gid := confined(t, pids["gateway"]).ids(t, "Gid")
		as(t, users["gateway"], gid, func() {
			feed := filepath.Join(run, "feed", "feed.sock")
			if kind, err := subscribe(feed, "gateway"); err != nil || kind != "update" {
				t.Errorf("as gateway: %q, %v", kind, err)
			}
			for _, role := range []string{"node", "health"} {
				if kind, err := subscribe(feed, role); err != nil || kind != "refused" {
					t.Errorf("as %s: %q, %v", role, kind, err)
				}
			}
			for _, dir := range []string{data, filepath.Join(run, "bpf")} {
				if _, err := os.ReadDir(dir); !errors.Is(err, os.ErrPermission) {
					t.Errorf("read %s: %v", dir, err)
				}
			}
			if _, err := net.Dial("unix", filepath.Join(run, "node.sock")); !errors.Is(err, os.ErrPermission) {
				t.Errorf("connect to the node: %v", err)
			}
			if err := unix.Kill(pids["control"], 0); !errors.Is(err, unix.EPERM) {
				t.Errorf("signal control: %v", err)
			}
		})
		as(t, users["control"], gid, func() {
			if _, err := os.ReadDir(data); err != nil {
				t.Errorf("as control: %v", err)
			}
		})
	})
}

// openFiles tells what a process has open.
func openFiles(t *testing.T, pid int) map[int]string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[int]string{}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		files[fd], _ = os.Readlink(filepath.Join(dir, e.Name())) // of this test's own files one may be closed now
	}
	return files
}

// none is an empty set of capabilities.
const none = "0000000000000000"

// process is /proc/PID/status.
type process map[string]string

// confined reads what the kernel tells of a process, which must have no
// capabilities and no way to gain privileges by executing anything.
func confined(t *testing.T, pid int) process {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	p := process{}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		p[name] = strings.TrimSpace(value)
	}
	for name, want := range map[string]string{
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapAmb": none, "NoNewPrivs": "1", "Groups": "",
	} {
		if p[name] != want {
			t.Errorf("%s (%d): %s is %q, want %q", p["Name"], pid, name, p[name], want)
		}
	}
	return p
}

func (p process) user(t *testing.T) int {
	t.Helper()
	return p.ids(t, "Uid")
}

// ids is the one id that is the real, effective, saved and file system's.
func (p process) ids(t *testing.T, name string) int {
	t.Helper()
	f := strings.Fields(p[name])
	if len(f) != 4 || f[1] != f[0] || f[2] != f[0] || f[3] != f[0] {
		t.Fatalf("%s of %s: %s", name, p["Name"], p[name])
	}
	id, err := strconv.Atoi(f[0])
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// as runs a function on a thread that has become another user for good.
func as(t *testing.T, uid, gid int, fn func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		defer close(done)
		// Bare system calls, since those of the runtime are for all threads.
		for _, c := range [][4]uintptr{
			{unix.SYS_SETGROUPS, 0, 0, 0},
			{unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
			{unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
		} {
			if _, _, errno := unix.RawSyscall(c[0], c[1], c[2], c[3]); errno != 0 {
				done <- errno
				return
			}
		}
		fn()
	}()
	if err := <-done; err != nil {
		t.Fatalf("become user %d: %v", uid, err)
	}
}

// subscribe says hello to the feed and returns the kind of its answer. A message
// is JSON after its length in four bytes.
func subscribe(path, role string) (kind string, err error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	hello := fmt.Appendf(nil, `{"kind":"hello","role":%q}`, role)
	if _, err := c.Write(append([]byte{0, 0, 0, byte(len(hello))}, hello...)); err != nil {
		return "", err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return "", err
	}
	var answer struct{ Kind string }
	err = json.NewDecoder(c).Decode(&answer)
	return answer.Kind, err
}

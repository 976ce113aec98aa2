package cli

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/internal/node"
)

// machine is a namespace that stands for a machine on which isthmus runs.
type machine struct {
	t         *testing.T
	ns        *netns.NS
	base      string
	run, data string
	log       *os.File
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("needs root")
	}
	// Where users without privileges can get to.
	base, err := os.MkdirTemp("", "isthmus-serve-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, base: base, run: filepath.Join(base, "run"), data: filepath.Join(base, "data")}
	if m.log, err = os.Create(filepath.Join(base, "log")); err != nil {
		t.Fatal(err)
	}
	if m.ns, err = netns.Create(filepath.Join(base, "ns"), func() error {
		lo, err := netlink.LinkByName("lo")
		return errors.Join(err, netlink.LinkSetUp(lo))
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		out, err := m.command("down", "--data", "--data-dir", m.data).CombinedOutput()
		if err != nil {
			t.Errorf("down: %v: %s", err, out)
		}
		if t.Failed() {
			b, _ := os.ReadFile(m.log.Name())
			t.Logf("%s", b)
		}
		if err := netns.Kill(m.ns.ID(), 10*time.Second); err != nil {
			t.Error(err)
		}
		m.ns.Close()
		m.log.Close()
		if err := netns.Delete(filepath.Join(base, "ns")); err != nil {
			t.Error(err)
		}
		os.Remove(m.log.Name())
		os.Remove(filepath.Join(base, "ready"))
		left, err := os.ReadDir(base)
		if err != nil || len(left) > 0 {
			t.Errorf("left behind are %v, %v", left, err)
		}
		if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), base) {
			t.Errorf("mounts are left: %v", err)
		}
		os.RemoveAll(base)
	})
	return m
}

// command is isthmus on the machine.
func (m *machine) command(args ...string) *exec.Cmd {
	m.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.Command("nsenter", append([]string{"--net=" + filepath.Join(m.base, "ns"),
		"bash", "-c", `exec -a isthmus "$0" "$@"`, exe, "--run-dir", m.run}, args...)...)
	// The race detector would have each process wait for a second at its end.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	return cmd
}

// serving is a running isthmus serve.
type serving struct {
	process *os.Process
	ended   chan error
}

// end sends it a signal and waits until it has ended.
func (s serving) end(signal os.Signal) error {
	if err := s.process.Signal(signal); err != nil {
		return err
	}
	return <-s.ended
}

// serve starts isthmus serve and waits until it is ready.
func (m *machine) serve() serving {
	m.t.Helper()
	ready := filepath.Join(m.base, "ready")
	os.Remove(ready)
	cmd := m.command("serve", "--data-dir", m.data, "--ready-file", ready)
	cmd.Stdout, cmd.Stderr = m.log, m.log
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	m.t.Cleanup(func() { cmd.Process.Kill() })
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			return serving{cmd.Process, ended}
		}
		select {
		case err := <-ended:
			m.t.Fatalf("serve ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			m.t.Fatal("serve is not ready")
		}
	}
}

// isthmus runs a command to its end.
func (m *machine) isthmus(args ...string) (string, error) {
	m.t.Helper()
	cmd := m.command(args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%v: %w: %s", args, err, stderr.String())
	}
	return string(out), err
}

func (m *machine) status() node.Status {
	m.t.Helper()
	out, err := m.isthmus("status", "--json")
	if err != nil {
		m.t.Fatal(err)
	}
	var s node.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		m.t.Fatal(err)
	}
	return s
}

// ec2 calls the AWS API and picks an element out of the answer.
func (m *machine) ec2(element string, params ...string) string {
	m.t.Helper()
	form := url.Values{"Version": {"2016-11-15"}}
	for i := 0; i < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, address string) (c net.Conn, err error) {
			err = m.ns.Do(func() error { c, err = net.DialTimeout(network, address, 10*time.Second); return err })
			return c, err
		},
	}}
	r, err := http.NewRequest(http.MethodPost, defaultEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		m.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=000000000000/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := client.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(string(body)))
	for {
		token, err := d.Token()
		if err != nil {
			m.t.Fatalf("%v: no %s in %s", params, element, body)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == element {
			var text string
			if err := d.DecodeElement(&text, &start); err != nil {
				m.t.Fatal(err)
			}
			return text
		}
	}
}

func (m *machine) subnet() string {
	vpc := m.ec2("vpcId", "Action", "CreateVpc", "CidrBlock", "10.0.0.0/16")
	return m.ec2("subnetId", "Action", "CreateSubnet", "VpcId", vpc, "CidrBlock", "10.0.1.0/24")
}

// start starts a program by isthmus run, and waits for the line that tells
// its network interface.
func (m *machine) start(args ...string) (*exec.Cmd, string) {
	m.t.Helper()
	cmd := m.command(append([]string{"run"}, args...)...)
	r, w, err := os.Pipe()
	if err != nil {
		m.t.Fatal(err)
	}
	defer r.Close()
	cmd.Stderr = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line := make([]byte, 256)
	n, err := r.Read(line)
	eni := regexp.MustCompile(`eni-[0-9a-f]+`).FindString(string(line[:n]))
	if eni == "" {
		m.t.Fatalf("run: %v: %s", err, line[:n])
	}
	return cmd, eni
}

// until waits until a condition holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

func (m *machine) has(eni string) bool {
	m.t.Helper()
	for _, i := range m.status().Interfaces {
		if i.ID == eni {
			return true
		}
	}
	return false
}

func pids(s node.Status) string {
	var list []string
	for _, p := range s.Processes {
		list = append(list, fmt.Sprint(p.Role, p.PID))
	}
	return strings.Join(list, " ")
}

func TestServe(t *testing.T) {
	m := newMachine(t)
	serve := m.serve()
	before := m.status()
	if len(before.Processes) != 5 || len(before.Interfaces) != 4 {
		t.Fatalf("status %+v", before)
	}
	if out, err := m.isthmus("exec", "gateway", "--", "readlink", "/proc/self/ns/net"); err != nil {
		t.Error(err)
	} else if link, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", before.Processes[1].PID)); strings.TrimSpace(out) != link {
		t.Errorf("the gateway runs in %s, its interface is in %s", link, out)
	}
	subnet := m.subnet()

	// A program's status is passed on, and its instance is gone at once.
	_, err := m.isthmus("run", "--subnet", subnet, "--", "sh", "-c", "exit 7")
	var failed *exec.ExitError
	if !errors.As(err, &failed) || failed.ExitCode() != 7 {
		t.Errorf("run: %v", err)
	}
	if n := len(m.status().Interfaces); n != 6 { // two are the resolver of the VPC
		t.Errorf("%d interfaces after the program", n)
	}

	// One that goes on, over the death of serve.
	one, eni := m.start("--subnet", subnet, "--private-ip", "10.0.1.10", "--", "sleep", "60")
	if out, err := m.isthmus("exec", eni, "--", "ip", "-br", "address", "show", "eth0"); err != nil || !strings.Contains(out, "10.0.1.10/24") {
		t.Errorf("exec: %s, %v", out, err)
	}
	out, err := m.isthmus("trace", "--from", eni, "--to", "10.0.9.9:80")
	if !errors.As(err, &failed) || failed.ExitCode() != notForwarded || !strings.Contains(out, "no-address") {
		t.Errorf("trace: %s, %v", out, err)
	}
	serve.end(os.Kill)
	serve = m.serve()
	after := m.status()
	if pids(before) != pids(after) {
		t.Errorf("%s became %s", pids(before), pids(after))
	}
	if !m.has(eni) || one.ProcessState != nil {
		t.Error("the instance is gone")
	}
	// Its death is noticed by whoever serves then.
	one.Process.Kill()
	until(t, "the instance is gone", func() bool { return !m.has(eni) })

	// And by who serves later.
	two, eni := m.start("--subnet", subnet, "--", "sleep", "60")
	serve.end(os.Kill)
	two.Process.Kill()
	two.Wait()
	serve = m.serve()
	until(t, "the instance is gone", func() bool { return !m.has(eni) })

	// A process that is killed comes back.
	for _, p := range m.status().Processes {
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		until(t, p.Role+" is back", func() bool {
			for _, now := range m.status().Processes {
				if now.Role == p.Role {
					return now.PID != 0 && now.PID != p.PID
				}
			}
			return false
		})
	}
	if _, err := m.isthmus("run", "--subnet", subnet, "--", "true"); err != nil {
		t.Error(err)
	}

	// A second one is refused.
	if _, err := m.isthmus("serve", "--data-dir", m.data); err == nil || !strings.Contains(err.Error(), "in use by another isthmus") {
		t.Errorf("a second serve: %v", err)
	}

	// Ctrl-C leaves the namespaces; what was told to the API is kept.
	if err := serve.end(os.Interrupt); err != nil {
		t.Errorf("serve ended with %v", err)
	}
	if _, err := m.isthmus("status"); err == nil {
		t.Error("somebody serves still")
	}
	if _, err := os.Stat(node.Dir(m.run).Fabric()); err != nil {
		t.Errorf("the fabric: %v", err)
	}
	m.serve()
	if _, err := m.isthmus("run", "--subnet", subnet, "--", "true"); err != nil {
		t.Error(err)
	}
}

func TestAttachCommand(t *testing.T) {
	m := newMachine(t)
	m.serve()
	subnet := m.subnet()
	eni := m.ec2("networkInterfaceId", "Action", "CreateNetworkInterface", "SubnetId", subnet, "PrivateIpAddress", "10.0.1.20")
	path := filepath.Join(m.base, "container")
	ns, err := netns.Create(path, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer netns.Delete(path)
	defer ns.Close()
	if _, err := m.isthmus("attach", eni, "--netns", filepath.Join(m.base, "ns")); err == nil || !strings.Contains(err.Error(), "machine's own") {
		t.Errorf("attach to the machine's namespace: %v", err)
	}
	for range 2 {
		if _, err := m.isthmus("attach", eni, "--netns", path); err != nil {
			t.Fatal(err)
		}
		if out, err := m.isthmus("exec", eni, "--", "ip", "-br", "address", "show", "eth0"); err != nil || !strings.Contains(out, "10.0.1.20/24") {
			t.Errorf("exec: %s, %v", out, err)
		}
		if _, err := m.isthmus("attach", eni, "--netns", path); err == nil {
			t.Error("attached twice")
		}
		if _, err := m.isthmus("attach", eni, "--detach"); err != nil {
			t.Fatal(err)
		}
		if _, err := m.isthmus("exec", eni, "--", "true"); err == nil {
			t.Error("still attached")
		}
	}
	if _, err := m.isthmus("attach", "eni-none", "--netns", path); err == nil || !strings.Contains(err.Error(), "eni-none") {
		t.Errorf("attach of nothing: %v", err)
	}
}

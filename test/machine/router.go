package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/isthmus-net/isthmus/internal/netns"
)

// Router is an on-premises network 192.168.50.0/24: a customer's router, in a
// namespace of its own, on which BIRD speaks BGP with virtual interfaces, and a
// host behind it at 192.168.50.10.
type Router struct {
	Netns      string // path of the router's namespace
	dir        string
	host       string // path of the host's namespace
	namespaces []*netns.NS
	bird       *exec.Cmd
}

// OnPremisesHost is the address of the host behind a router.
const OnPremisesHost = "192.168.50.10"

// Router makes an on-premises network.
func (m *Machine) Router() (r *Router, err error) {
	dir, err := os.MkdirTemp(m.Dir, "router-")
	if err != nil {
		return nil, err
	}
	r = &Router{dir: dir, Netns: filepath.Join(dir, "router"), host: filepath.Join(dir, "host")}
	for _, path := range []string{r.Netns, r.host} {
		ns, err := netns.Create(path, loopbackUp)
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		r.namespaces = append(r.namespaces, ns)
	}
	for _, c := range []string{
		"nsenter --net=" + r.Netns + " ip link add lan0 type veth peer name eth0 netns " + fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), r.namespaces[1].Fd()),
		"nsenter --net=" + r.Netns + " ip addr add 192.168.50.1/24 dev lan0",
		"nsenter --net=" + r.Netns + " ip link set lan0 up",
		"nsenter --net=" + r.Netns + " sysctl -qw net.ipv4.ip_forward=1",
		"nsenter --net=" + r.host + " ip addr add " + OnPremisesHost + "/24 dev eth0",
		"nsenter --net=" + r.host + " ip link set eth0 up",
		"nsenter --net=" + r.host + " ip route add default via 192.168.50.1",
	} {
		if out, err := exec.Command("sh", "-c", c).CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w: %s", c, err, out), r.Close())
		}
	}
	return r, nil
}

// BGP says what a router's BIRD does. One of several sessions takes the place of
// another that is down.
type BGP struct {
	Wires       []Wire
	HoldSeconds int      // BIRD's own if it is zero
	AS          int      // 65000 if it is zero
	Routes      []string // announced beside the network's own
}

const birdConf = `router id ROUTER;
protocol device {}
protocol static lan { ipv4; ROUTES }
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
`

const birdSession = `protocol bgp NAME {
  local CUSTOMER as ASN; neighbor AMAZON as 64512; connect delay time 1; connect retry time 1; error wait time 1, 1; HOLD
  ipv4 { import all; export where source = RTS_STATIC; };
}
`

// Start starts BIRD.
func (r *Router) Start(b BGP) error {
	if err := r.configure(b); err != nil {
		return err
	}
	r.bird = r.Command(context.Background(), "bird", "-f", "-c", r.config(), "-s", r.control())
	log, err := os.OpenFile(r.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	r.bird.Stdout, r.bird.Stderr = log, log
	return r.bird.Start()
}

// configure writes BIRD's configuration.
func (r *Router) configure(b BGP) error {
	routes := `route 192.168.50.0/24 via "lan0";`
	for _, o := range b.Routes {
		routes += fmt.Sprintf(` route %s via "lan0";`, o)
	}
	conf := strings.NewReplacer("ROUTER", b.Wires[0].Customer, "ROUTES", routes).Replace(birdConf)
	hold := ""
	if b.HoldSeconds > 0 {
		hold = fmt.Sprintf("hold time %d;", b.HoldSeconds)
	}
	for _, w := range b.Wires {
		conf += strings.NewReplacer("NAME", w.Session(), "CUSTOMER", w.Customer, "AMAZON", w.Amazon, "HOLD", hold, "ASN", fmt.Sprint(cmp.Or(b.AS, 65000))).Replace(birdSession)
	}
	return os.WriteFile(r.config(), []byte(conf), 0o644)
}

// BIRD gives a command to BIRD, and returns what that answers.
func (r *Router) BIRD(ctx context.Context, command ...string) (string, error) {
	return Output(r.Command(ctx, "birdc", append([]string{"-s", r.control()}, command...)...))
}

// Signal sends BIRD a signal.
func (r *Router) Signal(s os.Signal) error { return r.bird.Process.Signal(s) }

// LogPath is the file that holds what BIRD logs.
func (r *Router) LogPath() string { return filepath.Join(r.dir, "log") }

func (r *Router) config() string  { return filepath.Join(r.dir, "bird.conf") }
func (r *Router) control() string { return filepath.Join(r.dir, "ctl") }

// Stop ends BIRD.
func (r *Router) Stop() error {
	if r.bird == nil {
		return nil
	}
	// One that is stopped does not hear of its end.
	err := errors.Join(r.Signal(syscall.SIGCONT), r.Signal(os.Interrupt))
	r.bird.Wait() // it was told to end, so how does not matter
	r.bird = nil
	return err
}

// Command is a command on the router.
func (r *Router) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + r.Netns, "--", name}, args...)...)
}

// Host is a command on the host behind the router.
func (r *Router) Host(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + r.host, "--", name}, args...)...)
}

// Close removes everything.
func (r *Router) Close() error {
	err := r.Stop()
	for i, ns := range r.namespaces {
		err = errors.Join(err, netns.Kill(ns.ID(), 5*time.Second), ns.Close(), netns.Delete([]string{r.Netns, r.host}[i]))
	}
	return err
}

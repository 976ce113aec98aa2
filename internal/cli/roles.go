package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/isthmus-net/isthmus/internal/bgp"
	"github.com/isthmus-net/isthmus/internal/control"
	"github.com/isthmus-net/isthmus/internal/dns"
	"github.com/isthmus-net/isthmus/internal/dns/config"
	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/gateway"
	"github.com/isthmus-net/isthmus/internal/health"
	"github.com/isthmus-net/isthmus/internal/linelog"
	"github.com/isthmus-net/isthmus/internal/supervise"
)

// The users of the unprivileged processes but those of load balancers' nodes
// (config.UID): numbers that no distribution gives
// out (systemd documents 60578 to 61183 and from 61184 its own; see
// systemd.io/UIDS-GIDS), and their group, which may open the feed.
const (
	uidControl = 61901
	uidGateway = 61902
	uidHealth  = 61903
	uidDNS     = 61905
	uidBGP     = 61907
	gid        = 61900
)

// allow says which user may subscribe to the feed in which role.
func allow(role feed.Role, uid int) bool {
	switch role {
	case "node":
		return uid == 0
	case "gateway":
		return uid == uidGateway
	case "health":
		return uid == uidHealth
	case "dns":
		return uid == uidDNS
	case "bgp":
		return uid == uidBGP
	}
	return false
}

// drainTime is how long requests under way may take when the gateway ends;
// less than the supervisor's patience.
const drainTime = 8 * time.Second

// logFlags say how to log.
type logFlags struct {
	LogFormat string `help:"Log as text or as json." enum:"text,json" default:"text"`
	LogLevel  string `help:"Log from this level: debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
}

func (f logFlags) logger(role string, env *Env) *slog.Logger {
	options := &slog.HandlerOptions{Level: f.level()}
	var h slog.Handler = slog.NewTextHandler(env.Stderr, options)
	if f.LogFormat == "json" {
		h = slog.NewJSONHandler(env.Stderr, options)
	}
	return slog.New(h).With("process", role)
}

// accessLog makes a log for a line of each request, which is gathered with
// others. It is closed before the process ends.
func (f logFlags) accessLog(role string, env *Env) (*linelog.Log, io.Closer) {
	w := linelog.New(env.Stderr, f.logger(role, env))
	return linelog.NewLog(w, f.LogFormat == "json", f.level(), role), w
}

func (f logFlags) level() (level slog.Level) {
	// The enum has no other values.
	_ = level.UnmarshalText([]byte(f.LogLevel))
	return level
}

func (f logFlags) args() []string {
	return []string{"--log-format", f.LogFormat, "--log-level", f.LogLevel}
}

// role runs the main function of a supervised process: from the release by the
// supervisor to the signal that ends it.
func role(ctx context.Context, env *Env, main func(context.Context) error) error {
	// The log may be a pipe whose reader has gone, which must end no process.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := supervise.AwaitRelease(env.Stdin); err != nil {
		return err
	}
	if err := main(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

type controlCmd struct {
	logFlags
	DataDir       string
	EtcdEndpoints []string
	Region        string
	Feed          string
	AccessLogs    bool
	S3Dir         string `name:"s3-dir"`
}

func (c *controlCmd) Run(ctx context.Context, env *Env) error {
	return role(ctx, env, func(ctx context.Context) error {
		api, err := supervise.Listener(0)
		if err != nil {
			return err
		}
		subscribers, err := listenFeed(c.Feed)
		if err != nil {
			return err
		}
		return control.Main(ctx, control.Config{
			DataDir: c.DataDir, EtcdEndpoints: c.EtcdEndpoints, Region: c.Region,
			AccessLogs: c.AccessLogs, S3Dir: c.S3Dir, API: api, Feed: subscribers, Allow: allow, Log: c.logger("control", env),
		})
	})
}

func (c *controlCmd) args() []string {
	args := append([]string{"control"}, c.logFlags.args()...)
	args = append(args, "--region", c.Region, "--feed", c.Feed)
	if c.AccessLogs {
		args = append(args, "--access-logs")
	}
	if c.S3Dir != "" {
		args = append(args, "--s3-dir", c.S3Dir)
	}
	if len(c.EtcdEndpoints) > 0 {
		return append(args, "--etcd-endpoints", strings.Join(c.EtcdEndpoints, ","))
	}
	return append(args, "--data-dir", c.DataDir)
}

// listenFeed opens the feed's socket for the processes of the group. The
// directory belongs to the control process.
func listenFeed(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open feed: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open feed: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("open feed: %w", err), l.Close())
	}
	return l, nil
}

type gatewayCmd struct {
	logFlags
	Feed        string
	Hosts       []string
	ExposeCause bool
	// HTTPS and Metrics say which listeners were handed over between that for
	// HTTP and those of privateListen.
	HTTPS   bool `name:"https"`
	Metrics bool

	PublicThroughEndpoints bool
	AccessLogDir           string
	OTLPEndpoint           string `name:"otlp-endpoint"`
	OTLPSocket             string `name:"otlp-socket"` // the relay to the endpoint
}

func (c *gatewayCmd) Run(ctx context.Context, env *Env) error {
	return role(ctx, env, func(ctx context.Context) (err error) {
		var public, inside gateway.Doors
		var metrics net.Listener
		to := []*net.Listener{&public.HTTP}
		if c.HTTPS {
			to = append(to, &public.HTTPS)
		}
		if c.Metrics {
			to = append(to, &metrics)
		}
		for i, l := range append(to, &inside.HTTP, &inside.HTTPS) {
			if *l, err = supervise.Listener(i); err != nil {
				return err
			}
		}
		var export *gateway.Export
		if c.OTLPEndpoint != "" {
			export = &gateway.Export{Endpoint: c.OTLPEndpoint, Socket: c.OTLPSocket}
		}
		log := c.logger("gateway", env)
		access, closer := c.accessLog("gateway", env)
		defer closer.Close()
		var stageLogs *os.Root
		if c.AccessLogDir != "" {
			if stageLogs, err = os.OpenRoot(c.AccessLogDir); err != nil {
				return fmt.Errorf("open directory of access logs: %w", err)
			}
			defer stageLogs.Close()
		}
		return gateway.Main(ctx, gateway.Process{
			Public: public, Inside: inside, Metrics: metrics, Export: export, Feed: c.Feed, Drain: drainTime, Log: log,
			Options: gateway.Options{
				Hosts: c.Hosts, ExposeCause: c.ExposeCause, PublicThroughEndpoints: c.PublicThroughEndpoints, StageLogs: stageLogs, Access: access,
			},
		})
	})
}

func (c *gatewayCmd) args() []string {
	args := append([]string{"gateway"}, c.logFlags.args()...)
	args = append(args, "--feed", c.Feed)
	if c.HTTPS {
		args = append(args, "--https")
	}
	if len(c.Hosts) > 0 {
		args = append(args, "--hosts", strings.Join(c.Hosts, ","))
	}
	if c.ExposeCause {
		args = append(args, "--expose-cause")
	}
	if c.PublicThroughEndpoints {
		args = append(args, "--public-through-endpoints")
	}
	if c.AccessLogDir != "" {
		args = append(args, "--access-log-dir", c.AccessLogDir)
	}
	if c.Metrics {
		args = append(args, "--metrics")
	}
	if c.OTLPEndpoint != "" {
		args = append(args, "--otlp-endpoint", c.OTLPEndpoint, "--otlp-socket", c.OTLPSocket)
	}
	return args
}

type healthCmd struct {
	logFlags
	Feed string
}

func (c *healthCmd) Run(ctx context.Context, env *Env) error {
	return role(ctx, env, func(ctx context.Context) error {
		return health.Main(ctx, c.Feed, c.logger("health", env))
	})
}

func (c *healthCmd) args() []string {
	return append(append([]string{"health"}, c.logFlags.args()...), "--feed", c.Feed)
}

type dnsCmd struct {
	logFlags
	Feed string
	// Host and Forward say which sockets were handed over beside the two inside
	// API Gateway's VPC, in the order of sockets.
	Host    bool
	Forward bool
	// ForwardStream is the socket of the relay to the same resolver over TCP.
	ForwardStream string
}

func (c *dnsCmd) Run(ctx context.Context, env *Env) error {
	return role(ctx, env, func(ctx context.Context) (err error) {
		p := dns.Process{Feed: c.Feed, ForwardStream: c.ForwardStream, Log: c.logger("dns", env)}
		next := 0
		if c.Forward {
			if p.Forward, err = supervise.Conn(next); err != nil {
				return err
			}
			next++
		}
		for _, s := range []struct {
			handed bool
			to     *dns.Sockets
		}{{c.Host, &p.Host}, {true, &p.Inside}} {
			if !s.handed {
				continue
			}
			if s.to.TCP, err = supervise.Listener(next); err != nil {
				return err
			}
			if s.to.UDP, err = supervise.PacketConn(next + 1); err != nil {
				return err
			}
			next += 2
		}
		return dns.Main(ctx, p)
	})
}

// sockets are those that the process is to be handed, in the order of Run.
func (c *dnsCmd) sockets(host, forward netip.AddrPort) (listen, inside []string) {
	if c.Forward {
		listen = append(listen, "connect:"+forward.String())
	}
	if c.Host {
		listen = append(listen, host.String(), "udp:"+host.String())
	}
	at := netip.AddrPortFrom(netip.IPv4Unspecified(), config.Port).String()
	return listen, []string{at, "udp:" + at}
}

func (c *dnsCmd) args() []string {
	args := append(append([]string{"dns"}, c.logFlags.args()...), "--feed", c.Feed)
	if c.Host {
		args = append(args, "--host")
	}
	if c.Forward {
		args = append(args, "--forward", "--forward-stream", c.ForwardStream)
	}
	return args
}

type bgpCmd struct {
	logFlags
	Feed string
}

func (c *bgpCmd) Run(ctx context.Context, env *Env) error {
	return role(ctx, env, func(ctx context.Context) error {
		return bgp.Main(ctx, c.Feed, c.logger("bgp", env))
	})
}

func (c *bgpCmd) args() []string {
	return append(append([]string{"bgp"}, c.logFlags.args()...), "--feed", c.Feed)
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/isthmus-net/isthmus/internal/datapath"
	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/internal/node"
	"github.com/isthmus-net/isthmus/internal/relay"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/supervise"
)

type serveCmd struct {
	logFlags
	DataDir                string         `help:"Directory of what is to be kept: the embedded etcd." default:"/var/lib/isthmus" env:"ISTHMUS_DATA_DIR"`
	EtcdEndpoints          []string       `help:"Use an external etcd instead of the embedded one." placeholder:"URL,…"`
	Region                 string         `help:"The region that is served." default:"us-east-1"`
	APIListen              netip.AddrPort `name:"api-listen" help:"Address of the AWS API; loopback only, since it accepts any credentials." default:"127.0.0.1:4566"`
	GatewayListen          netip.AddrPort `help:"Address at which APIs are invoked." default:"127.0.0.1:8080"`
	GatewayHTTPSListen     netip.AddrPort `name:"gateway-https-listen" help:"Address at which APIs are invoked by HTTPS; empty for none." default:"127.0.0.1:8443"`
	GatewayHost            []string       `help:"Other names of this machine, under which the path form of invocation is served." placeholder:"NAME,…"`
	ExposeCause            bool           `help:"Tell clients why an integration failed, in the header x-isthmus-cause."`
	DNSListen              netip.AddrPort `name:"dns-listen" help:"Address at which names are answered for this machine; loopback only." placeholder:"IP:PORT"`
	DNSForward             netip.AddrPort `name:"dns-forward" help:"Resolver that is asked about names of the outside; nobody is if it is not given." placeholder:"IP:PORT"`
	PublicThroughEndpoints bool           `help:"Let public APIs be called through interface endpoints too. AWS refuses that."`
	AccessLogDir           string         `help:"Directory in which the access logs of stages are kept, a file for each log group: ACCOUNT/GROUP.log." placeholder:"DIR"`
	Metrics                netip.AddrPort `help:"Address at which metrics of the gateway and of load balancers are collected, at /metrics, in Prometheus's format." placeholder:"IP:PORT"`
	OTLPEndpoint           string         `name:"otlp-endpoint" help:"URL of a collector of OpenTelemetry (OTLP over HTTP), to which a span of each call and of its integration goes." placeholder:"URL"`
	ALBAccessLog           string         `name:"alb-access-log" help:"Directory in which the access logs of Application Load Balancers are kept, in AWS's format, a file for each node." placeholder:"DIR"`
	S3Dir                  string         `name:"s3-dir" help:"Directory in the place of Amazon S3, in which BUCKET/KEY is an object: trust stores are made of such." placeholder:"DIR"`
	MaxFlows               uint32         `help:"Size of the flow table when it is first made; each flow takes two entries." placeholder:"N"`
	ReadyFile              string         `help:"Write this file when everything is ready." placeholder:"FILE"`
}

func (serveCmd) Help() string {
	return examples(`Runs the control plane, the gateway, the health checker, the resolver and the BGP
process as users without privileges, and puts what they decide in force. Ctrl-C ends these processes;
packets keep flowing until isthmus down.`,
		"isthmus serve",
		"isthmus serve --gateway-listen 0.0.0.0:80 --gateway-https-listen 0.0.0.0:443 --gateway-host api.example.com",
		"isthmus serve --metrics 127.0.0.1:9464",
		"isthmus serve --otlp-endpoint http://127.0.0.1:4318",
		"isthmus serve --dns-listen 127.0.0.1:5353   # dig @127.0.0.1 -p 5353 finds load balancers and endpoints",
		"isthmus serve --access-log-dir /var/log/isthmus/apis --alb-access-log /var/log/isthmus/balancers",
		"isthmus serve --s3-dir /srv/s3   # /srv/s3/certificates/ca.pem is s3://certificates/ca.pem",
		"isthmus serve --run-dir /tmp/i/run --data-dir /srv/i   # a second instance, in another network namespace",
	)
}

// nameFlag says which flag names the address if an error is that it can't be
// listened at.
func (c *serveCmd) nameFlag(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "listen" || op.Addr == nil {
		return err
	}
	for flag, at := range map[string]netip.AddrPort{
		"--api-listen": c.APIListen, "--gateway-listen": c.GatewayListen, "--gateway-https-listen": c.GatewayHTTPSListen,
		"--metrics": c.Metrics, "--dns-listen": c.DNSListen,
	} {
		if at.IsValid() && op.Addr.String() == at.String() {
			return fmt.Errorf("%s: %w; choose another address", flag, err)
		}
	}
	return err
}

// endpoints is where an instance listens, for clients of all users.
type endpoints struct {
	API          string `json:"api"`
	Gateway      string `json:"gateway"`
	GatewayHTTPS string `json:"gatewayHTTPS,omitempty"`
	Region       string `json:"region"`
}

func (c *serveCmd) check() error {
	switch {
	case os.Geteuid() != 0:
		return fmt.Errorf("isthmus serve makes network namespaces and loads the packet program: %w", os.ErrPermission)
	case !c.APIListen.Addr().IsLoopback():
		return fmt.Errorf("--api-listen %s: the AWS API accepts any credentials, so that it listens on loopback addresses only; "+
			"reach it from elsewhere through an SSH tunnel", c.APIListen)
	case c.DNSListen.IsValid() && (!c.DNSListen.Addr().IsLoopback() || c.DNSListen.Port() == 0):
		return fmt.Errorf("--dns-listen %s: names are answered at a port of a loopback address only", c.DNSListen)
	}
	return nil
}

func (c *serveCmd) Run(ctx context.Context, env *Env, dir node.Dir) (err error) {
	begin := time.Now()
	if err := c.check(); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		return err
	}
	lock, err := node.Lock(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := c.prepare(dir); err != nil {
		return err
	}
	log := c.logger("node", env)
	sup, err := supervise.New(dir.Processes(), log)
	if err != nil {
		return err
	}
	defer sup.Stop()
	s := &server{serveCmd: c, dir: dir, log: log, sup: sup, stop: stop}
	group, ctx := errgroup.WithContext(ctx)
	s.group = group
	group.Go(func() error {
		if err := s.bringUp(ctx); err != nil {
			return c.nameFlag(err)
		}
		return s.announce(ctx, env, begin)
	})
	if err = group.Wait(); errors.Is(err, context.Canceled) {
		err = nil
	}
	s.close()
	sup.Stop()
	if err == nil {
		fmt.Fprintln(env.Stderr, "isthmus: stopped; packets keep flowing. isthmus down removes namespaces and devices.")
	}
	return err
}

// prepare makes the directories and gives them to their users.
func (c *serveCmd) prepare(dir node.Dir) error {
	if err := os.MkdirAll(dir.FeedDir(), 0o750); err != nil {
		return fmt.Errorf("make feed directory: %w", err)
	}
	if err := os.Chown(dir.FeedDir(), uidControl, gid); err != nil {
		return fmt.Errorf("make feed directory: %w", err)
	}
	if err := reachable(dir.FeedDir()); err != nil {
		return err
	}
	if err := c.prepareAccessLog(); err != nil {
		return err
	}
	if err := c.prepareS3(); err != nil {
		return err
	}
	if c.AccessLogDir != "" {
		var err error
		if c.AccessLogDir, err = filepath.Abs(c.AccessLogDir); err != nil {
			return err
		}
		if err := claim("directory of access logs", "--access-log-dir", c.AccessLogDir, uidGateway, 0o750); err != nil {
			return err
		}
	}
	if len(c.EtcdEndpoints) > 0 {
		return nil
	}
	return claimData(c.DataDir)
}

// prepareAccessLog makes the directory, through which nodes' users come to
// their files.
func (c *serveCmd) prepareAccessLog() (err error) {
	if c.ALBAccessLog == "" {
		return nil
	}
	if c.ALBAccessLog, err = filepath.Abs(c.ALBAccessLog); err != nil {
		return err
	}
	if err := os.MkdirAll(c.ALBAccessLog, 0o755); err != nil {
		return fmt.Errorf("make directory of access logs: %w", err)
	}
	info, err := os.Stat(c.ALBAccessLog)
	switch {
	case err != nil:
		return err
	case info.Mode().Perm()&0o001 == 0:
		return fmt.Errorf("--alb-access-log %s: load balancers have no privileges, and can't reach their files there (mode %04o): chmod o+x it, or choose another directory",
			c.ALBAccessLog, info.Mode().Perm())
	}
	return reachable(c.ALBAccessLog)
}

// prepareS3 checks that the control process's user can come to the objects.
func (c *serveCmd) prepareS3() (err error) {
	if c.S3Dir == "" {
		return nil
	}
	if c.S3Dir, err = filepath.Abs(c.S3Dir); err != nil {
		return err
	}
	info, err := os.Stat(c.S3Dir)
	switch {
	case err != nil:
		return fmt.Errorf("--s3-dir: %w", err)
	case !info.IsDir() || info.Mode().Perm()&0o005 != 0o005:
		return fmt.Errorf("--s3-dir %s: it must be a directory that the control process, which has no privileges, can read (mode %04o): chmod o+rx it", c.S3Dir, info.Mode().Perm())
	}
	return reachable(c.S3Dir)
}

// server is a running isthmus serve.
type server struct {
	*serveCmd
	dir   node.Dir
	log   *slog.Logger
	sup   *supervise.Supervisor
	stop  func()
	group *errgroup.Group

	datapath     *datapath.Datapath
	node         *node.Node
	client       *feed.Client
	api, gateway netip.AddrPort
	gatewayHTTPS netip.AddrPort // not valid if there is none
}

func (s *server) close() {
	if s.node != nil {
		s.node.Close()
	}
	if s.datapath != nil {
		s.datapath.Close()
	}
}

// bringUp starts everything in the order in which each part needs the others:
// the control process, the node's first tables, and with the ENIs that these
// bring the processes that run inside them.
func (s *server) bringUp(ctx context.Context) (err error) {
	control := controlCmd{logFlags: s.logFlags, DataDir: s.DataDir, EtcdEndpoints: s.EtcdEndpoints, Region: s.Region, Feed: s.dir.Feed(), AccessLogs: s.AccessLogDir != "", S3Dir: s.S3Dir}
	at, err := s.sup.Start(supervise.Spec{
		Name: "control", Args: control.args(), UID: uidControl, GID: gid, Listen: []string{s.APIListen.String()},
	})
	if err != nil {
		return err
	}
	s.api = at[0]
	if err := node.Mount(s.dir); err != nil {
		return err
	}
	if s.datapath, err = datapath.Open(datapath.Options{PinDir: s.dir.Pins(), MaxFlows: s.MaxFlows}); err != nil {
		return err
	}
	if s.node, err = node.Open(s.dir, s.datapath, s.log); err != nil {
		return err
	}
	s.client = feed.Dial(feed.ClientOptions{
		Path: s.dir.Feed(), Role: "node", OnConfig: s.node.OnConfig, Log: s.log,
		Handlers: map[string]func(context.Context, json.RawMessage) (any, error){"callers": s.node.OnCallers(s.datapath)},
	})
	s.group.Go(func() error { return s.client.Run(ctx) })
	s.group.Go(func() error { return s.node.Run(ctx) })
	s.every(ctx, expireEvery, func() {
		if _, err := s.datapath.Expire(datapath.Now()); err != nil {
			s.log.Error("expire flows", "error", err)
		}
	})
	gateway := gatewayCmd{
		logFlags: s.logFlags, Feed: s.dir.Feed(), Hosts: s.GatewayHost, ExposeCause: s.ExposeCause, AccessLogDir: s.AccessLogDir,
		HTTPS: s.GatewayHTTPSListen.IsValid(), Metrics: s.Metrics.IsValid(), PublicThroughEndpoints: s.PublicThroughEndpoints,
	}
	if s.OTLPEndpoint != "" {
		gateway.OTLPEndpoint, gateway.OTLPSocket = s.OTLPEndpoint, s.dir.OTLP()
		if err := s.relayExport(ctx); err != nil {
			return err
		}
	}
	listen := []string{s.GatewayListen.String()}
	if gateway.HTTPS {
		listen = append(listen, s.GatewayHTTPSListen.String())
	}
	if gateway.Metrics {
		listen = append(listen, s.Metrics.String())
	}
	if at, err = s.inside(ctx, supervise.Spec{
		Name: node.OwnerGateway, Args: gateway.args(), UID: uidGateway, Listen: listen, Inside: privateListen,
	}); err != nil {
		return err
	}
	if s.gateway = at[0]; gateway.HTTPS {
		s.gatewayHTTPS = at[1]
	}
	health := healthCmd{s.logFlags, s.dir.Feed()}
	if _, err := s.inside(ctx, supervise.Spec{Name: node.OwnerHealth, Args: health.args(), UID: uidHealth}); err != nil {
		return err
	}
	if err := s.resolve(ctx); err != nil {
		return err
	}
	bgp := bgpCmd{s.logFlags, s.dir.Feed()}
	if _, err := s.inside(ctx, supervise.Spec{Name: node.OwnerBGP, Args: bgp.args(), UID: uidBGP}); err != nil {
		return err
	}
	s.group.Go(func() error { return s.balance(ctx) })
	return s.answer(ctx)
}

// relayExport leads the gateway, which is in API Gateway's VPC, to the collector.
func (s *server) relayExport(ctx context.Context) error {
	to, err := collectorOf(ctx, s.OTLPEndpoint)
	if err != nil {
		return err
	}
	l, err := relay.Listen(s.dir.OTLP(), uidGateway)
	if err != nil {
		return err
	}
	s.group.Go(func() error { return relay.Serve(ctx, l, to, relay.Export, s.log) })
	return nil
}

// resolve starts the resolver.
func (s *server) resolve(ctx context.Context) error {
	c := dnsCmd{logFlags: s.logFlags, Feed: s.dir.Feed(), Host: s.DNSListen.IsValid(), Forward: s.DNSForward.IsValid()}
	listen, inside := c.sockets(s.DNSListen, s.DNSForward)
	if c.Forward {
		c.ForwardStream = s.dir.Relay()
		l, err := relay.Listen(c.ForwardStream, uidDNS)
		if err != nil {
			return err
		}
		s.group.Go(func() error { return relay.Serve(ctx, l, s.DNSForward, relay.DNS, s.log) })
	}
	_, err := s.inside(ctx, supervise.Spec{Name: node.OwnerDNS, Args: c.args(), UID: uidDNS, Listen: listen, Inside: inside})
	return err
}

// privateListen are where the gateway listens in API Gateway's VPC, to which
// only interface endpoints lead.
var privateListen = []string{
	netip.AddrPortFrom(netip.IPv4Unspecified(), config.PrivateHTTPPort).String(),
	netip.AddrPortFrom(netip.IPv4Unspecified(), config.PrivateHTTPSPort).String(),
}

// inside starts a process in the namespace of its ENI.
func (s *server) inside(ctx context.Context, spec supervise.Spec) ([]netip.AddrPort, error) {
	eni, err := s.node.Owned(ctx, spec.Name)
	if err != nil {
		return nil, err
	}
	ns, err := s.node.Wait(ctx, eni)
	if err != nil {
		return nil, err
	}
	ns.Close()
	spec.GID = gid
	spec.Netns = func() (*netns.NS, error) { return netns.Open(s.dir.Namespace(eni)) }
	return s.sup.Start(spec)
}

// How often idle flows are collected and instances whose command died are
// looked for.
const (
	expireEvery = 5 * time.Second
	sweepEvery  = time.Second
)

// answer opens the node's socket.
func (s *server) answer(ctx context.Context) error {
	c := &node.Commands{
		Node: s.node, Datapath: s.datapath, Control: s.client, Processes: s.sup.Status, Stop: s.stop, Log: s.log,
	}
	// Instances that ended unseen are no reason not to serve.
	if err := c.Prepare(ctx, s.dir); err != nil {
		s.log.Warn("terminate instances that ended", "error", err)
	}
	s.every(ctx, sweepEvery, func() { c.Sweep(ctx) })
	l, err := node.Listen(s.dir.Socket())
	if err != nil {
		return err
	}
	s.group.Go(func() error { return node.Serve(ctx, l, c.Handlers(), s.log) })
	return nil
}

// every does something time and again until ctx ends.
func (s *server) every(ctx context.Context, period time.Duration, do func()) {
	s.group.Go(func() error {
		t := time.NewTicker(period)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-t.C:
				do()
			}
		}
	})
}

// announce waits until both doors answer and tells everybody.
func (s *server) announce(ctx context.Context, env *Env, begin time.Time) error {
	for _, at := range []netip.AddrPort{s.api, s.gateway} {
		if err := answers(ctx, at); err != nil {
			return err
		}
	}
	e := endpoints{API: urlOf("http", s.api), Gateway: urlOf("http", s.gateway), Region: s.Region}
	if s.gatewayHTTPS.IsValid() {
		e.GatewayHTTPS = urlOf("https", s.gatewayHTTPS)
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	var authorities map[resource.AuthorityUse]string
	if err := s.client.Call(ctx, "authorities", struct{}{}, &authorities); err != nil {
		return fmt.Errorf("get the authorities' certificates: %w", err)
	}
	for use, ca := range authorities {
		if err := os.WriteFile(s.dir.Authority(use), []byte(ca), 0o644); err != nil {
			return fmt.Errorf("tell an authority's certificate: %w", err)
		}
	}
	if err := os.WriteFile(s.dir.Endpoints(), append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("tell endpoints: %w", err)
	}
	fmt.Fprintf(env.Stderr, "isthmus: ready in %.2f s: AWS API %s, APIs invoked at %s\n", time.Since(begin).Seconds(), e.API, strings.TrimSuffix(e.Gateway+" "+e.GatewayHTTPS, " "))
	if s.ReadyFile != "" {
		if err := os.WriteFile(s.ReadyFile, append(b, '\n'), 0o644); err != nil {
			return fmt.Errorf("write ready file: %w", err)
		}
	}
	return notify(env.Getenv("NOTIFY_SOCKET"), "READY=1")
}

// urlOf is how this machine reaches one of its own sockets.
func urlOf(scheme string, at netip.AddrPort) string {
	switch {
	case !at.Addr().IsUnspecified():
	case at.Addr().Is4():
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	default:
		at = netip.AddrPortFrom(netip.IPv6Loopback(), at.Port())
	}
	return scheme + "://" + at.String()
}

// answers waits for an HTTP server's answer, whichever it is. The socket is
// there already, so that one request waits for as long as it takes.
func answers(ctx context.Context, at netip.AddrPort) error {
	transport := &http.Transport{DisableKeepAlives: true}
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, urlOf("http", at)+"/", nil)
		if err != nil {
			return err
		}
		resp, err := transport.RoundTrip(r)
		if err == nil {
			return resp.Body.Close()
		}
		// The process was killed while the request was with it.
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

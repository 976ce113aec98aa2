package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/service"
	"github.com/isthmus-net/isthmus/internal/service/elbv2"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
)

// Config says where the control process finds what it needs.
type Config struct {
	DataDir       string   // of the embedded etcd
	EtcdEndpoints []string // of an external one instead
	Region        string
	API           net.Listener // AWS API
	Feed          net.Listener // Unix socket
	AccessLogs    bool         // the gateway keeps access logs of stages
	// Allow says which user may subscribe as which role, but for load
	// balancers' nodes, of which the tables tell.
	Allow func(role feed.Role, uid int) bool
	Log   *slog.Logger
	// S3Dir, if it is not empty, is a directory in the place of Amazon S3, in
	// which BUCKET/KEY is an object.
	S3Dir string
}

// Limits of the AWS API against slow and idle clients.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// shutdownGrace is what calls under way may take when the process ends. They
// need milliseconds; but a connection that a client has opened in advance, and
// not used, looks to the server as if its first call were on the way.
const shutdownGrace = time.Second

// Main runs the control process until ctx ends.
func Main(ctx context.Context, c Config) (err error) {
	db, err := store.Open(ctx, store.Config{Dir: c.DataDir, Endpoints: c.EtcdEndpoints, Log: c.Log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.Update(ctx, func(tx *store.Tx) error { return vpc.EnsureServiceVPC(tx, c.Region) }); err != nil {
		return fmt.Errorf("make API Gateway's network: %w", err)
	}
	for more := true; more; {
		if _, err := db.Update(ctx, func(tx *store.Tx) (err error) {
			more, err = vpc.AddResolvers(tx, c.Region)
			return err
		}); err != nil {
			return err
		}
	}

	apis, err := ensureAuthority(ctx, db, c.Region, resource.APIs, time.Now())
	if err != nil {
		return err
	}
	certificates, err := ensureAuthority(ctx, db, c.Region, resource.Certificates, time.Now())
	if err != nil {
		return err
	}
	ctl := &controller{
		db: db, region: c.Region, log: c.Log,
		published: map[feed.Role]publication{}, gatewayCertificates: &gatewayCertificates{Authority: apis, region: c.Region}, certificates: certificates,
	}
	subscribers := feed.NewServer(feed.Options{Log: c.Log, Allow: func(role feed.Role, uid int) bool {
		return c.Allow == nil || c.Allow(role, uid) || ctl.tracer.allowBalancer(role, uid)
	}})
	ctl.feed = subscribers
	ctl.serveRequests()
	balancing := elbv2.Options{URL: "http://" + c.API.Addr().String()}
	if c.S3Dir != "" {
		if balancing.S3, err = os.OpenRoot(c.S3Dir); err != nil {
			return fmt.Errorf("open the directory in the place of S3: %w", err)
		}
		defer balancing.S3.Close()
	}
	api := &http.Server{
		Handler: publicKeys(db, c.Region, elbv2.Locations(db, wire.NewHandler(wire.Options{
			DefaultRegion: c.Region, OneRegion: true, Reserved: []string{vpc.ServiceAccount(c.Region)}, Log: c.Log,
		}, service.All(db, service.Options{AccessLogs: c.AccessLogs, Balancing: balancing})...))),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
	}

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ctl.run(ctx) })
	group.Go(func() error { return subscribers.Serve(c.Feed) })
	group.Go(func() error {
		if err := api.Serve(c.API); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		subscribers.Close()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if err := api.Shutdown(grace); !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return api.Close()
	})
	return group.Wait()
}

// serveRequests answers what the other processes ask.
func (c *controller) serveRequests() {
	c.feed.Handle("create-instance", only(roleNode, c.createInstance))
	c.feed.Handle("terminate-instance", only(roleNode, c.terminateInstance))
	c.feed.Handle("keep-instances", only(roleNode, c.keepInstances))
	c.feed.Handle("attach-interface", only(roleNode, c.attachInterface))
	c.feed.Handle("trace", only(roleNode, c.trace))
	c.feed.Handle("topology", only(roleNode, c.topology))
	c.feed.Handle("explain", c.tracer.explainTo)
	c.feed.Handle("authorities", only(roleNode, func(context.Context, struct{}) (map[resource.AuthorityUse]string, error) {
		return map[resource.AuthorityUse]string{resource.APIs: c.gatewayCertificates.PEM, resource.Certificates: c.certificates.PEM}, nil
	}))
	c.feed.Handle("callers", only(roleGateway, c.callers))
	c.feed.Handle("balancer-metrics", only(roleGateway, c.balancerMetrics))
	c.feed.Handle("health", only(roleHealth, c.reportHealth))
	c.feed.Handle("anomalies", c.reportAnomalies)
	c.feed.Handle("bgp", only(roleBGP, c.reportBGP))
}

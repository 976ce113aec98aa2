package alb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/linelog"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// Process says what the process of a node is started with.
type Process struct {
	ENI  string
	Feed string // path of the control process's feed socket
	// Drain is how long requests under way may take after the end was asked
	// for, or after their listener was deleted.
	Drain time.Duration
	// AllowRoot lets the process run as root. Nothing needs it; a process that
	// parses strangers' bytes should not have it.
	AllowRoot bool
	Access    *linelog.Log // gets a line for each request
	Log       *slog.Logger
	// AccessFile, if not empty, is the path of a file that is there, and gets a
	// line for each request in AWS's format.
	AccessFile string
}

// Main runs the process of a node, inside the namespace of its ENI, until ctx
// ends, and then lets the requests under way end.
func Main(ctx context.Context, p Process) error {
	if os.Geteuid() == 0 && !p.AllowRoot {
		return errors.New("start load balancer's node: it must not run as root")
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	file, err := openAccessFile(p.AccessFile)
	if err != nil {
		return err
	}
	// The balancer is made before the client whose requests it needs.
	var client *feed.Client
	b := New(Options{Access: p.Access, AccessFile: file, Log: p.Log, Upstream: upstream.Options{Dialing: upstream.Dialing{
		Explain: func(ctx context.Context, _ netip.Addr, dst netip.AddrPort) (upstream.Explanation, error) {
			return explain(ctx, client, dst)
		},
	}}})
	d := &doors{handler: b.Handler, tls: b.TLS, refuse: b.Refuse, failed: b.logHandshake, drain: p.Drain, log: p.Log, open: map[uint16]*door{}}
	defer b.Close()
	defer d.close()
	client = feed.Dial(feed.ClientOptions{
		Path: p.Feed, Role: feed.Role(config.Role(p.ENI)), Log: p.Log,
		Handlers: map[string]func(context.Context, json.RawMessage) (any, error){
			"preview": b.onPreview,
			"metrics": func(context.Context, json.RawMessage) (any, error) {
				m := b.Metrics()
				d.count(&m)
				return m, nil
			},
		},
		OnConfig: func(_ context.Context, revision int64, raw json.RawMessage) error {
			var c config.Config
			if err := json.Unmarshal(raw, &c); err != nil {
				return fmt.Errorf("read configuration: %w", err)
			}
			if err := b.Apply(&c); err != nil {
				return err
			}
			if err := d.set(&c); err != nil {
				return err
			}
			p.Log.Info("configuration applied", "revision", revision, "listeners", len(c.Listeners), "target_groups", len(c.TargetGroups))
			return nil
		},
	})
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go b.watch(watching, func(ctx context.Context, found []config.Anomaly) error {
		return client.Call(ctx, "anomalies", found, nil)
	})
	if err := client.Run(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}

// openAccessFile is nil for no path.
func openAccessFile(path string) (io.Writer, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open access log: %w", err)
	}
	return f, nil
}

// explain asks the control process, which traces the packet from the node's
// own ENI.
func explain(ctx context.Context, client *feed.Client, dst netip.AddrPort) (upstream.Explanation, error) {
	question := struct {
		Destination netip.AddrPort `json:"destination"`
	}{dst}
	var answer struct {
		Verdict string `json:"verdict"`
		Cause   string `json:"cause"`
	}
	if err := client.Call(ctx, "explain", question, &answer); err != nil {
		return upstream.Explanation{}, err
	}
	// Only a packet that is dropped has a cause.
	return upstream.Explanation{Verdict: answer.Verdict, Cause: answer.Cause, Definitive: answer.Cause != ""}, nil
}

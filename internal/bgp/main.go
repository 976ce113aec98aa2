package bgp

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/isthmus-net/isthmus/internal/bgp/config"
	"github.com/isthmus-net/isthmus/internal/feed"
)

const (
	// reportTimeout bounds one delivery of reports, and with it the wait for
	// the control process when that is away.
	reportTimeout = 10 * time.Second
	reportRetry   = time.Second
)

// Main is the process: it takes its configuration from the feed at feedPath
// and reports there, until ctx ends, whose error it returns. While the control
// process is away the sessions go on.
func Main(ctx context.Context, feedPath string, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := &loop{log: log, listen: netip.AddrPortFrom(netip.IPv4Unspecified(), config.Port), configs: make(chan request)}
	client := feed.Dial(feed.ClientOptions{
		Path: feedPath,
		Role: "bgp",
		Log:  log,
		OnConfig: func(ctx context.Context, _ int64, raw json.RawMessage) error {
			c, err := config.Parse(raw)
			if err != nil {
				return err
			}
			return l.configure(ctx, c)
		},
	})
	l.report = func(ctx context.Context, reports []config.Report) error {
		ctx, cancel := context.WithTimeout(ctx, reportTimeout)
		defer cancel()
		return client.Call(ctx, "bgp", reports, nil)
	}
	done := make(chan error, 1)
	go func() {
		done <- l.run(ctx)
		cancel()
	}()
	err := client.Run(ctx)
	if failure := <-done; failure != nil && failure != context.Canceled {
		return failure
	}
	return err
}

// request is a configuration to be applied.
type request struct {
	config config.Config
	done   chan error
}

// loop is the process apart from the feed.
type loop struct {
	log     *slog.Logger
	listen  netip.AddrPort
	configs chan request
	report  func(ctx context.Context, reports []config.Report) error

	speaker *speaker
	told    map[string]config.Report // what was reported last, by interface
}

// configure has a configuration applied.
func (l *loop) configure(ctx context.Context, c config.Config) error {
	r := request{c, make(chan error, 1)}
	select {
	case l.configs <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run serves until ctx ends, and then ends the sessions.
func (l *loop) run(ctx context.Context) error {
	defer func() {
		if l.speaker != nil {
			l.speaker.server.Stop()
		}
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var changed chan struct{}
		var ended chan netip.Addr
		if l.speaker != nil {
			changed, ended = l.speaker.changed, l.speaker.ended
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-l.configs:
			r.done <- l.apply(ctx, r.config)
		case <-changed:
		case peer := <-ended:
			for _, s := range l.speaker.sessions {
				if s.Peer == peer.Unmap() {
					s.complete = true
				}
			}
		case <-timer.C:
		}
		if l.speaker == nil {
			continue
		}
		again, err := l.tell(ctx, time.Now())
		if err != nil && ctx.Err() == nil {
			l.log.Warn("report BGP sessions", "error", err)
			again = time.Now().Add(reportRetry)
		}
		wait := time.Hour
		if !again.IsZero() {
			wait = max(0, time.Until(again))
		}
		timer.Reset(wait)
	}
}

// apply makes the sessions those of the configuration. Everything is reported
// anew afterwards: it may have come from a control process that knows less.
func (l *loop) apply(ctx context.Context, c config.Config) (err error) {
	l.told = map[string]config.Report{}
	if l.speaker == nil {
		if len(c.Sessions) == 0 {
			return nil
		}
		if l.speaker, err = newSpeaker(ctx, c.RouterID, l.listen, l.log); err != nil {
			return err
		}
	}
	return l.speaker.apply(ctx, c, time.Now())
}

// tell reports the sessions that have changed, and says when to look again.
func (l *loop) tell(ctx context.Context, now time.Time) (again time.Time, err error) {
	seen, err := l.speaker.observe(ctx)
	if err != nil {
		return again, err
	}
	var news []config.Report
	for id, s := range l.speaker.sessions {
		if s.pardoned(seen[id], now) {
			if err := l.speaker.readmit(ctx, s); err != nil {
				return again, err
			}
			s.overLimit = now
		}
		r, known, next := s.next(seen[id], now)
		if !next.IsZero() && (again.IsZero() || next.Before(again)) {
			again = next
		}
		if last, ok := l.told[id]; known && (!ok || !equal(last, r)) {
			news = append(news, r)
		}
	}
	if len(news) == 0 {
		return again, nil
	}
	if err := l.report(ctx, news); err != nil {
		return again, fmt.Errorf("tell control: %w", err)
	}
	for _, r := range news {
		l.told[r.Interface] = r
		l.log.Info("BGP session", "interface", r.Interface, "up", r.Up, "routes", len(r.Routes), "cause", r.Cause)
	}
	return again, nil
}

func equal(r, o config.Report) bool {
	return r.Interface == o.Interface && r.Up == o.Up && r.Cause == o.Cause && r.HoldSeconds == o.HoldSeconds && slices.Equal(r.Routes, o.Routes)
}

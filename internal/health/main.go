package health

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/isthmus-net/isthmus/internal/feed"
)

// reportTimeout bounds one delivery of reports, and with it the wait for the
// control process when that is away.
const reportTimeout = 10 * time.Second

// Main is the health checker's process: it takes its configuration from the
// feed at feedPath and reports there, until ctx ends, whose error it returns.
// While the control process is away it goes on with what it has.
func Main(ctx context.Context, feedPath string, log *slog.Logger) error {
	configs := make(chan Config)
	client := feed.Dial(feed.ClientOptions{
		Path: feedPath,
		Role: "health",
		Log:  log,
		OnConfig: func(ctx context.Context, _ int64, raw json.RawMessage) error {
			config, err := parseConfig(raw)
			if err != nil {
				return err
			}
			select {
			case configs <- config:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		Run(ctx, Options{
			Configs: configs,
			Log:     log,
			Report: func(ctx context.Context, reports []Report) error {
				ctx, cancel := context.WithTimeout(ctx, reportTimeout)
				defer cancel()
				return client.Call(ctx, "health", reports, nil)
			},
		})
	}()
	defer func() { <-done }()
	return client.Run(ctx)
}

// parseConfig reads a configuration and refuses checks that could never be
// sent, or would be sent without pause.
func parseConfig(raw json.RawMessage) (Config, error) {
	var config Config
	if err := json.Unmarshal(raw, &config); err != nil {
		return config, fmt.Errorf("parse health checks: %w", err)
	}
	for _, c := range config.Checks {
		if c.Interval <= 0 || c.Timeout <= 0 || !c.Source.IsValid() || !c.Destination.IsValid() {
			return config, fmt.Errorf("parse health checks: check of %s, %s:%d has no interval, timeout or address", c.TargetGroup, c.Target, c.Port)
		}
	}
	return config, nil
}

package store

import (
	"fmt"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// dialCluster returns a client of an external cluster and what closes it. It
// does not wait for a connection.
func dialCluster(config Config, log *slog.Logger) (*clientv3.Client, func() error, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            config.Endpoints,
		TLS:                  config.TLS,
		DialKeepAliveTime:    5 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		MaxCallSendMsgSize:   10 << 20,
		Logger:               newZapLogger(log),
		// A cluster that is back is used again soon.
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 3 * time.Second,
		})},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("connect to cluster %v: %w", config.Endpoints, err)
	}
	return client, client.Close, nil
}

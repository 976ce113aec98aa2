package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// startEmbedded starts an etcd of one member in this process and returns a
// client of it and what stops it.
func startEmbedded(ctx context.Context, dir string, log *slog.Logger) (*clientv3.Client, func() error, error) {
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, nil, err
	}
	server, err := embed.StartEtcd(embeddedConfig(filepath.Join(dir, "etcd"), log))
	if err != nil {
		unlock()
		return nil, nil, fmt.Errorf("start etcd: %w", err)
	}
	select {
	case <-server.Server.ReadyNotify():
	case <-server.Server.StopNotify():
		err = errors.New("it stopped")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		server.Close()
		unlock()
		return nil, nil, fmt.Errorf("start etcd: %w", err)
	}
	client := v3client.New(server.Server)
	release := func() error {
		err := client.Close()
		if errors.Is(err, context.Canceled) {
			err = nil // what a client without a connection says
		}
		server.Close()
		return errors.Join(err, unlock())
	}
	return client, release, nil
}

// lockDir makes the directory and takes it for this process. The lock goes
// with the process, however it ends; the file only tells who has it.
func lockDir(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			var pid [20]byte
			n, _ := f.Read(pid[:])
			return nil, fmt.Errorf("lock data directory %s: %w (pid %s)", dir, ErrLocked, strings.TrimSpace(string(pid[:n])))
		}
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintln(os.Getpid()))); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	return f.Close, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// embeddedConfig is an etcd of one member that listens nowhere.
func embeddedConfig(dir string, log *slog.Logger) *embed.Config {
	c := embed.NewConfig()
	c.Name = "isthmus"
	c.Dir = dir
	// The member needs a URL as its identity, though nobody can reach it.
	c.ListenPeerUrls, c.ListenClientUrls = nil, nil
	c.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "localhost:0"}}
	c.AdvertiseClientUrls = nil
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	// A lone member elects itself after one to five ticks. A tick wakes the
	// process, so it is not shorter than the start needs.
	c.TickMs, c.ElectionMs = 50, 250
	// One transaction may be as large as an API with all its resources.
	c.MaxTxnOps = math.MaxInt16
	c.MaxRequestBytes = 10 << 20
	c.QuotaBackendBytes = 8 << 30
	// Nobody reads the past but a watch that lags.
	c.AutoCompactionMode = embed.CompactorModeRevision
	c.AutoCompactionRetention = "1000"
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newZapLogger(log))
	return c
}

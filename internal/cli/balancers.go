package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb"
	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/internal/supervise"
)

// albPrefix begins the names of the processes of load balancers' nodes.
const albPrefix = "alb-"

// startAgain is how long to wait after a process could not be started.
const startAgain = time.Second

func albName(eni string) string { return albPrefix + eni }

// balance runs a process inside each ENI that is a node of an Application Load
// Balancer, for as long as there is one, until ctx ends.
func (s *server) balance(ctx context.Context) error {
	running := map[string]bool{}
	swept := false
	for {
		nodes, changed := s.node.Plugged(config.Owner)
		for eni := range running {
			if _, ok := nodes[eni]; !ok {
				delete(running, eni)
				// Its namespace is gone already, and so may it be.
				if err := s.sup.End(albName(eni)); err != nil {
					s.log.Error("end load balancer's node", "eni", eni, "error", err)
				}
			}
		}
		var again <-chan time.Time
		for eni, number := range nodes {
			if running[eni] {
				continue
			}
			if err := s.startBalancer(eni, number); err != nil {
				s.log.Error("start load balancer's node", "eni", eni, "error", err)
				again = time.After(startAgain)
				continue
			}
			running[eni] = true
		}
		if !swept {
			wanted := func(name string) bool { return running[strings.TrimPrefix(name, albPrefix)] }
			if err := s.sup.EndOthers(albPrefix, wanted); err != nil {
				s.log.Error("end load balancers' nodes that are no more wanted", "error", err)
			}
			swept = true
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *server) startBalancer(eni string, number uint32) error {
	uid, err := config.UID(number)
	if err != nil {
		return err
	}
	cmd := albCmd{logFlags: s.logFlags, Feed: s.dir.Feed(), ENI: eni}
	if s.ALBAccessLog != "" {
		if cmd.AccessLog, err = accessFile(s.ALBAccessLog, eni, int(uid)); err != nil {
			return err
		}
	}
	_, err = s.sup.Start(supervise.Spec{
		Name: albName(eni), Args: cmd.args(), UID: uid, GID: gid,
		Netns: func() (*netns.NS, error) { return netns.Open(s.dir.Namespace(eni)) },
	})
	return err
}

// accessFile makes the file of a node's access log, into which the node's user
// alone may write.
func accessFile(dir, eni string, uid int) (string, error) {
	path := filepath.Join(dir, eni+".log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|syscall.O_NOFOLLOW, 0o640)
	if err != nil {
		return "", fmt.Errorf("make access log: %w", err)
	}
	defer f.Close()
	if err := f.Chown(uid, 0); err != nil {
		return "", fmt.Errorf("make access log: %w", err)
	}
	return path, nil
}

type albCmd struct {
	logFlags
	Feed      string
	ENI       string `name:"eni"`
	AccessLog string
}

func (c *albCmd) Run(ctx context.Context, env *Env) error {
	return role(ctx, env, func(ctx context.Context) error {
		log := c.logger(albName(c.ENI), env)
		access, closer := c.accessLog(albName(c.ENI), env)
		defer closer.Close()
		return alb.Main(ctx, alb.Process{ENI: c.ENI, Feed: c.Feed, Drain: drainTime, Access: access, Log: log, AccessFile: c.AccessLog})
	})
}

func (c *albCmd) args() []string {
	args := append(append([]string{"alb"}, c.logFlags.args()...), "--feed", c.Feed, "--eni", c.ENI)
	if c.AccessLog != "" {
		args = append(args, "--access-log", c.AccessLog)
	}
	return args
}

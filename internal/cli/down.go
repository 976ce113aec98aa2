package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/isthmus-net/isthmus/internal/node"
)

// stopTimeout is how long a running isthmus may take to end.
const stopTimeout = time.Minute

type downCmd struct {
	Data    bool   `help:"Remove the data directory too."`
	DataDir string `help:"The data directory." default:"/var/lib/isthmus" env:"ISTHMUS_DATA_DIR"`
}

func (downCmd) Help() string {
	return examples(`Stops isthmus serve, ends the programs of isthmus run, and removes every
namespace, device, pinned object, mount and socket of the instance. What the AWS
API was told is kept for the next isthmus serve, unless --data is given.`,
		"isthmus down",
		"isthmus down --data",
	)
}

func (c *downCmd) Run(ctx context.Context, env *Env, dir node.Dir) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	lock, err := node.Stop(ctx, dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := node.Down(dir); err != nil {
		return err
	}
	if c.Data {
		if err := removeData(c.DataDir); err != nil {
			return err
		}
	}
	fmt.Fprintln(env.Stderr, "isthmus: everything is removed")
	return nil
}

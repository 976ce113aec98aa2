package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/isthmus-net/isthmus/internal/node"
)

type caCmd struct{}

func (caCmd) Help() string {
	return examples(`Prints the certificate (PEM) of the authority that vouches for private APIs when
they are called by HTTPS through an interface endpoint. It vouches for no names
but theirs.`,
		"isthmus ca > /usr/local/share/ca-certificates/isthmus.crt && update-ca-certificates",
		"isthmus ca > ca.pem && isthmus run --subnet subnet-0a1b -- curl --cacert ca.pem https://…",
	)
}

func (caCmd) Run(env *Env, dir node.Dir) error {
	b, err := os.ReadFile(dir.Authority())
	if errors.Is(err, os.ErrNotExist) {
		return node.ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("read the authority's certificate: %w", err)
	}
	_, err = env.Stdout.Write(b)
	return err
}

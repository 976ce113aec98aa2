package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/isthmus-net/isthmus/internal/node"
	"github.com/isthmus-net/isthmus/internal/resource"
)

type caCmd struct {
	ACM bool `name:"acm" help:"The authority behind certificates that were requested of Certificate Manager."`
}

func (caCmd) Help() string {
	return examples(`Prints the certificate (PEM) of the authority that vouches for APIs when they are
called by HTTPS. It vouches for no names but theirs. With --acm, that of the
authority that issues what is requested of Certificate Manager: it vouches for
whatever name was asked for, so trust it only where you want that.`,
		"isthmus ca > /usr/local/share/ca-certificates/isthmus.crt && update-ca-certificates",
		"isthmus ca > ca.pem && curl --cacert ca.pem https://a1b2c3d4e5.execute-api.localhost:8443/prod/pets",
		"isthmus ca > ca.pem && isthmus run --subnet subnet-0a1b -- curl --cacert ca.pem https://…",
		"isthmus ca --acm > acm.pem && isthmus run --subnet subnet-0a1b -- curl --cacert acm.pem https://shop.example",
	)
}

func (c caCmd) Run(env *Env, dir node.Dir) error {
	use := resource.APIs
	if c.ACM {
		use = resource.Certificates
	}
	b, err := os.ReadFile(dir.Authority(use))
	if errors.Is(err, os.ErrNotExist) {
		return node.ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("read the authority's certificate: %w", err)
	}
	_, err = env.Stdout.Write(b)
	return err
}

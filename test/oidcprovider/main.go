// Oidcprovider is an OpenID provider for tests: the example server of
// github.com/zitadel/oidc with one client, whose access tokens are JSON Web
// Tokens. TLS is for what stands before it. It is a module of its own, so that
// nothing of it goes into Isthmus.
package main

import (
	"context"
	"flag"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// store is the example's, with other access tokens.
type store struct{ *storage.Storage }

type client struct{ op.Client }

func (client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

func (s store) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return client{c}, nil
}

func main() {
	log.SetFlags(0)
	var (
		listen   = flag.String("listen", ":8080", "address")
		issuer   = flag.String("issuer", "", "URL")
		id       = flag.String("client", "", "id of the client")
		secret   = flag.String("secret", "", "of the client")
		redirect = flag.String("redirect", "", "URL that the client may be sent back to")
	)
	flag.Parse()
	storage.RegisterClients(storage.WebClient(*id, *secret, *redirect))
	s := store{storage.NewStorage(storage.NewUserStore(*issuer))}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	server := &http.Server{Addr: *listen, Handler: exampleop.SetupServer(*issuer, s, logger, false), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

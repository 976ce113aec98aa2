// Package service joins the AWS services that Isthmus serves.
package service

import (
	"github.com/isthmus-net/isthmus/internal/service/acm"
	"github.com/isthmus-net/isthmus/internal/service/apigateway"
	"github.com/isthmus-net/isthmus/internal/service/apigatewayv2"
	"github.com/isthmus-net/isthmus/internal/service/directconnect"
	"github.com/isthmus-net/isthmus/internal/service/ec2"
	"github.com/isthmus-net/isthmus/internal/service/elbv2"
	"github.com/isthmus-net/isthmus/internal/service/servicediscovery"
	"github.com/isthmus-net/isthmus/internal/service/sts"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	wireacm "github.com/isthmus-net/isthmus/internal/wire/acm"
	wireapigateway "github.com/isthmus-net/isthmus/internal/wire/apigateway"
	wireapigatewayv2 "github.com/isthmus-net/isthmus/internal/wire/apigatewayv2"
	wiredirectconnect "github.com/isthmus-net/isthmus/internal/wire/directconnect"
	wireec2 "github.com/isthmus-net/isthmus/internal/wire/ec2"
	wireelbv2 "github.com/isthmus-net/isthmus/internal/wire/elbv2"
	wireservicediscovery "github.com/isthmus-net/isthmus/internal/wire/servicediscovery"
	wirests "github.com/isthmus-net/isthmus/internal/wire/sts"
)

//go:generate go run ./compatibility

// Options are what services are made with.
type Options struct {
	AccessLogs bool // the gateway keeps them, so that stages may have them
	Balancing  elbv2.Options
}

// All are the services, with their state in db.
func All(db *store.DB, o Options) []wire.Service {
	return []wire.Service{
		{API: wireec2.API, Server: ec2.New(db), Partly: ec2.Partly},
		{API: wireelbv2.API, Server: elbv2.New(db, o.Balancing), Partly: elbv2.Partly},
		{API: wireacm.API, Server: acm.New(db), Partly: acm.Partly},
		{API: wireapigateway.API, Server: apigateway.New(db, o.AccessLogs), Partly: apigateway.Partly},
		{API: wireapigatewayv2.API, Server: apigatewayv2.New(db, o.AccessLogs), Partly: apigatewayv2.Partly},
		{API: wireservicediscovery.API, Server: servicediscovery.New(db), Partly: servicediscovery.Partly},
		{API: wiredirectconnect.API, Server: directconnect.New(db), Partly: directconnect.Partly},
		{API: wirests.API, Server: sts.Service{}},
	}
}

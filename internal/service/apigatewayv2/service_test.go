package apigatewayv2

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigatewayv2"
)

// db is shared by the tests, each of which is an account of its own.
var db *store.DB

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "apigatewayv2")
	if err == nil {
		db, err = store.Open(context.Background(), store.Config{Dir: dir})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	db.Close()
	os.RemoveAll(dir)
	os.Exit(code)
}

var accounts atomic.Int64

// env is a caller with an account that owns a VPC with two subnets and a
// group, and a balancer with a listener.
type env struct {
	*testing.T
	api.Server
	ctx                                context.Context
	account                            string
	subnetA, subnetB, group            string
	otherSubnet, otherGroup            string // of another VPC
	balancer, listener, missedListener string
}

func newEnv(t *testing.T) *env {
	n := accounts.Add(1)
	account := fmt.Sprintf("%012d", n)
	elb := "arn:aws:elasticloadbalancing:us-east-1:" + account
	e := &env{
		T: t, Server: New(db, true), account: account,
		ctx:     wire.WithCaller(t.Context(), wire.Caller{Account: account, Region: "us-east-1"}),
		subnetA: fmt.Sprint("subnet-a", n), subnetB: fmt.Sprint("subnet-b", n), group: fmt.Sprint("sg-", n),
		otherSubnet: fmt.Sprint("subnet-x", n), otherGroup: fmt.Sprint("sg-x", n),
		balancer: elb + ":loadbalancer/net/n/1", listener: elb + ":listener/net/n/1/2", missedListener: elb + ":listener/app/n/1/3",
	}
	meta := resource.Meta{Account: account, Region: "us-east-1"}
	e.put(func(tx *store.Tx) {
		store.Subnets.Put(tx, &resource.Subnet{Meta: meta, ID: e.subnetA, VPC: "vpc-1", Zone: "us-east-1a"})
		store.Subnets.Put(tx, &resource.Subnet{Meta: meta, ID: e.subnetB, VPC: "vpc-1", Zone: "us-east-1b"})
		store.Subnets.Put(tx, &resource.Subnet{Meta: meta, ID: e.otherSubnet, VPC: "vpc-2", Zone: "us-east-1a"})
		store.SecurityGroups.Put(tx, &resource.SecurityGroup{Meta: meta, ID: e.group, VPC: "vpc-1"})
		store.SecurityGroups.Put(tx, &resource.SecurityGroup{Meta: meta, ID: e.otherGroup, VPC: "vpc-2"})
		store.LoadBalancers.Put(tx, &resource.LoadBalancer{Meta: meta, ARN: e.balancer})
		store.Listeners.Put(tx, &resource.Listener{Meta: meta, ARN: e.listener, LoadBalancer: e.balancer, Port: 80})
	})
	return e
}

// put writes rows as the controllers or other services would.
func (e *env) put(f func(tx *store.Tx)) {
	e.Helper()
	if _, err := db.Update(e.ctx, func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		e.Fatal(err)
	}
}

// must fails the test on an error.
func must[O any](t testing.TB) func(*O, error) *O {
	return func(out *O, err error) *O {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// refused checks that an error is AWS's with this status, code and message.
func refused(t testing.TB, err error, status int, code, message string) {
	t.Helper()
	var e *wire.Error
	if !errors.As(err, &e) || e.Status != status || e.Code != code || e.Message != message {
		t.Errorf("got error %#v\nwant %d %s %q", err, status, code, message)
	}
}

const badRequestCode = "BadRequestException"

func (e *env) newAPI() *string {
	e.Helper()
	return must[api.CreateApiOutput](e)(e.CreateApi(e.ctx, &api.CreateApiInput{Name: wire.Ptr("a"), ProtocolType: wire.Ptr("HTTP")})).ApiId
}

func (e *env) newLink() *string {
	e.Helper()
	return must[api.CreateVpcLinkOutput](e)(e.CreateVpcLink(e.ctx, &api.CreateVpcLinkInput{
		Name: wire.Ptr("l"), SubnetIds: []string{e.subnetA, e.subnetB}, SecurityGroupIds: []string{e.group}})).VpcLinkId
}

// newIntegration adds an integration through a link, or (nil) of the internet.
func (e *env) newIntegration(id, link *string) *string {
	e.Helper()
	in := &api.CreateIntegrationInput{ApiId: id, IntegrationType: wire.Ptr("HTTP_PROXY"), IntegrationMethod: wire.Ptr("GET"), IntegrationUri: wire.Ptr("http://a/")}
	if link != nil {
		in.ConnectionType, in.ConnectionId, in.IntegrationUri = wire.Ptr("VPC_LINK"), link, &e.listener
	}
	return must[api.CreateIntegrationOutput](e)(e.CreateIntegration(e.ctx, in)).IntegrationId
}

func (e *env) newRoute(id *string, key string, integration *string) *string {
	e.Helper()
	return must[api.CreateRouteOutput](e)(e.CreateRoute(e.ctx, &api.CreateRouteInput{
		ApiId: id, RouteKey: &key, Target: wire.Ptr("integrations/" + *integration)})).RouteId
}

func (e *env) newAutoStage(id *string) {
	e.Helper()
	must[api.CreateStageOutput](e)(e.CreateStage(e.ctx, &api.CreateStageInput{ApiId: id, StageName: wire.Ptr("$default"), AutoDeploy: wire.Ptr(true)}))
}

// deployed is the snapshot that a stage serves; nil for none.
func (e *env) deployed(id *string, name string) *resource.HTTPDeployment {
	e.Helper()
	st, ok := store.HTTPStages.Get(db.View(), *id+"/"+name)
	if !ok {
		e.Fatalf("no stage %s", name)
	}
	d, _ := store.HTTPDeployments.Get(db.View(), *id+"/"+st.Deployment)
	return d
}

package apigateway

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
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

// db is shared by the tests, each of which is an account of its own.
var db *store.DB

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "apigateway")
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

// env is a caller with an account that owns nothing yet.
type env struct {
	*testing.T
	api.Server
	ctx     context.Context
	account string
}

func newEnv(t *testing.T) *env {
	account := fmt.Sprintf("%012d", accounts.Add(1))
	ctx := wire.WithCaller(t.Context(), wire.Caller{Account: account, Region: "us-east-1"})
	return &env{t, New(db, true), ctx, account}
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

// put writes rows as the controllers or other services would.
func (e *env) put(f func(tx *store.Tx)) {
	e.Helper()
	if _, err := db.Update(e.ctx, func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		e.Fatal(err)
	}
}

func (e *env) meta() resource.Meta { return resource.Meta{Account: e.account, Region: "us-east-1"} }

// newNLB writes a balancer with a listener and returns the ARNs of both.
func (e *env) newNLB(name string) (balancer, listener string) {
	arn := "arn:aws:elasticloadbalancing:us-east-1:" + e.account
	balancer, listener = arn+":loadbalancer/net/"+name+"/50dc6c495c0c9188", arn+":listener/net/"+name+"/50dc6c495c0c9188/1"
	e.put(func(tx *store.Tx) {
		store.LoadBalancers.Put(tx, &resource.LoadBalancer{Meta: e.meta(), ARN: balancer, Name: name, Type: "network"})
		store.Listeners.Put(tx, &resource.Listener{Meta: e.meta(), ARN: listener, LoadBalancer: balancer, Port: 80})
	})
	return balancer, listener
}

// newAPI makes an API and returns its id and its root resource's.
func (e *env) newAPI() (id, root *string) {
	e.Helper()
	a := must[api.RestApi](e)(e.CreateRestApi(e.ctx, &api.CreateRestApiInput{Name: wire.Ptr("a")}))
	return a.Id, a.RootResourceId
}

// newMethod gives a resource a method with an integration, which in completes.
func (e *env) newMethod(id, resource *string, method string, in api.PutIntegrationInput) {
	e.Helper()
	must[api.Method](e)(e.PutMethod(e.ctx, &api.PutMethodInput{RestApiId: id, ResourceId: resource, HttpMethod: &method, AuthorizationType: wire.Ptr("NONE")}))
	in.RestApiId, in.ResourceId, in.HttpMethod = id, resource, &method
	must[api.Integration](e)(e.PutIntegration(e.ctx, &in))
}

func ops(list ...string) (out []*api.PatchOperation) {
	for i := 0; i < len(list); i += 3 {
		out = append(out, &api.PatchOperation{Op: &list[i], Path: &list[i+1], Value: &list[i+2]})
	}
	return out
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewID(10)
		for _, c := range id {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
				t.Fatalf("id %q", id)
			}
		}
		if len(id) != 10 || seen[id] {
			t.Fatalf("id %q has a wrong length or comes twice", id)
		}
		seen[id] = true
	}
}

func TestPage(t *testing.T) {
	var items []string
	for i := range 60 {
		items = append(items, fmt.Sprintf("%02d", 59-i))
	}
	limit := wire.Ptr[int64](7)
	var got []string
	var position *string
	for pages := 1; ; pages++ {
		part, next, err := Page(append([]string{}, items...), asIs, limit, position)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, part...)
		if position = next; next == nil {
			if pages != 9 {
				t.Errorf("%d pages, want 9", pages)
			}
			break
		}
	}
	for i, s := range got {
		if s != fmt.Sprintf("%02d", i) {
			t.Fatalf("item %d is %s", i, s)
		}
	}
	if len(got) != 60 {
		t.Errorf("%d items, want 60", len(got))
	}
	if part, next, _ := Page(append([]string{}, items...), asIs, nil, nil); len(part) != 25 || next == nil {
		t.Errorf("default page has %d items", len(part))
	}
	if _, _, err := Page(items, asIs, nil, wire.Ptr("?")); err == nil {
		t.Error("wrong position accepted")
	}
}

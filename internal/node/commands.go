package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/isthmus-net/isthmus/internal/datapath"
	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/internal/supervise"
	"github.com/isthmus-net/isthmus/internal/topology"
)

// Bounds of the wait for a device to be plugged in or out, and for an answer
// of the control process, which may have to be started again first.
const (
	deviceTimeout  = 15 * time.Second
	controlTimeout = 15 * time.Second
)

// Owners of the ENIs in whose namespaces Isthmus's own processes run.
const (
	OwnerGateway = "gateway"
	OwnerHealth  = "health"
	OwnerDNS     = "dns"
	OwnerBGP     = "bgp"
)

// Control is the control process, as package feed reaches it.
type Control interface {
	Call(ctx context.Context, method string, params, result any) error
}

// Commands answers the requests on the node's socket.
type Commands struct {
	Node      *Node
	Datapath  *datapath.Datapath
	Control   Control
	Processes func() []supervise.Status
	Stop      func() // begins the end of isthmus serve
	Log       *slog.Logger

	instances *instances
}

// Prepare must be called before the others: it finds out which instances
// still live, and has the control process terminate all that do not.
func (c *Commands) Prepare(ctx context.Context, dir Dir) error {
	c.instances = &instances{dir: dir.Instances(), log: c.Log, terminate: c.terminate}
	living, _, err := c.instances.list()
	if err != nil {
		return err
	}
	if living == nil {
		living = []string{}
	}
	return c.call(ctx, "keep-instances", struct {
		Instances []string `json:"instances"`
	}{living}, nil)
}

// Sweep terminates the instances whose command died.
func (c *Commands) Sweep(ctx context.Context) { c.instances.sweep(ctx) }

// Handlers are the methods of the node's socket.
func (c *Commands) Handlers() map[string]Handler {
	return map[string]Handler{
		"run":    handler(c.run),
		"exec":   handler(c.exec),
		"attach": handler(c.attach),
		"status": handler(c.status),
		"trace":  c.trace,
		"show":   handler(c.show),
		"stop": handler(func(context.Context, struct{}) (Answer, error) {
			return Answer{Released: c.Stop}, nil
		}),
	}
}

func handler[P any](fn func(context.Context, P) (Answer, error)) Handler {
	return func(ctx context.Context, raw json.RawMessage) (Answer, error) {
		var p P
		if err := json.Unmarshal(raw, &p); err != nil {
			return Answer{}, fmt.Errorf("read parameters: %w", err)
		}
		return fn(ctx, p)
	}
}

// RunParams ask for an instance; as control's create-instance has them.
type RunParams struct {
	Account string     `json:"account"`
	Region  string     `json:"region"`
	Subnet  string     `json:"subnet"`
	Groups  []string   `json:"groups"`
	Address netip.Addr `json:"address,omitzero"`
	Name    string     `json:"name,omitempty"`
	Link    string     `json:"link,omitempty"`
}

// RunResult is an instance. With it come two files: its network namespace, and
// one that holds the instance for as long as it is open.
type RunResult struct {
	Instance  string     `json:"instance"`
	Interface string     `json:"interface"`
	Address   netip.Addr `json:"address"`
	// Resolver answers names in the VPC; the zero address if nobody does.
	Resolver netip.Addr `json:"resolver,omitzero"`
}

func (c *Commands) run(ctx context.Context, p RunParams) (Answer, error) {
	var made RunResult
	if err := c.call(ctx, "create-instance", p, &made); err != nil {
		return Answer{}, err
	}
	// From here on the instance is found by the sweep should this process or
	// the client die.
	held, err := c.instances.hold(made.Instance)
	if err != nil {
		return Answer{}, errors.Join(err, c.terminate(ctx, made.Instance))
	}
	release := func() {
		held.Close()
		// The request's context has ended with the request.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deviceTimeout)
		defer cancel()
		c.instances.sweep(ctx)
	}
	wait, cancel := context.WithTimeout(ctx, deviceTimeout)
	defer cancel()
	ns, err := c.Node.Wait(wait, made.Interface)
	if err != nil {
		release()
		return Answer{}, err
	}
	made.Resolver = c.Node.Resolver(made.Interface)
	return Answer{Result: made, Files: []*os.File{ns.File(), held}, Released: release}, nil
}

func (c *Commands) terminate(ctx context.Context, id string) error {
	return c.Control.Call(ctx, "terminate-instance", struct {
		Instance string `json:"instance"`
	}{id}, nil)
}

// ExecParams name an ENI by its id, or by the owner of a process's ENI.
type ExecParams struct {
	Interface string `json:"interface"`
}

// ExecResult comes with the namespace as a file.
type ExecResult struct {
	Interface string     `json:"interface"`
	Netns     string     `json:"netns"`             // path
	Resolver  netip.Addr `json:"resolver,omitzero"` // as in RunResult
}

func (c *Commands) exec(_ context.Context, p ExecParams) (Answer, error) {
	id, path, ns, err := c.Node.Namespace(p.Interface)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Result: ExecResult{id, path, c.Node.Resolver(id)}, Files: []*os.File{ns.File()}}, nil
}

// AttachParams put an ENI into a namespace that exists, or take it out.
type AttachParams struct {
	Interface string `json:"interface"`
	Netns     string `json:"netns"` // absolute path
	Detach    bool   `json:"detach,omitempty"`
}

// AttachResult is what was attached.
type AttachResult struct {
	Interface string     `json:"interface"`
	Address   netip.Addr `json:"address"`
	Resolver  netip.Addr `json:"resolver,omitzero"` // as in RunResult
}

func (c *Commands) attach(ctx context.Context, p AttachParams) (Answer, error) {
	if !p.Detach {
		path, err := c.Node.attachable(p.Netns)
		if err != nil {
			return Answer{}, err
		}
		p.Netns = path
	}
	var made AttachResult
	if err := c.call(ctx, "attach-interface", p, &made); err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, deviceTimeout)
	defer cancel()
	if p.Detach {
		return Answer{Result: made}, c.Node.WaitGone(ctx, p.Interface)
	}
	ns, err := c.Node.Wait(ctx, p.Interface)
	if err != nil {
		return Answer{}, err
	}
	ns.Close()
	made.Resolver = c.Node.Resolver(made.Interface)
	return Answer{Result: made}, nil
}

// attachable checks a namespace's path and returns it in the form that is
// kept.
func (n *Node) attachable(path string) (string, error) {
	path, err := BindPath(path)
	if err != nil {
		return "", err
	}
	ns, err := n.fabric.namespace(spec{place: place{netns: path}})
	if err != nil {
		return "", err
	}
	return path, ns.Close()
}

// Namespace opens the namespace of an ENI, which is named by its id, or by its
// owner if that is one of Isthmus's own processes.
func (n *Node) Namespace(name string) (id, path string, ns *netns.NS, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id = name
	if name == OwnerGateway || name == OwnerHealth || name == OwnerDNS || name == OwnerBGP {
		id = owned(n.tables, name)
	}
	d, problem := n.find(id)
	switch {
	case problem != nil:
		return "", "", nil, problem
	case d == nil:
		return "", "", nil, fmt.Errorf("%s has no device: isthmus status lists the network interfaces that have", name)
	case d.own:
		ns, err = netns.Open(d.netns)
	default:
		ns, err = openForeign(d.netns)
	}
	return id, d.netns, ns, err
}

func (c *Commands) status(context.Context, struct{}) (Answer, error) {
	s := c.Node.Status()
	s.Processes = c.Processes()
	for _, err := range c.Datapath.Flows() {
		if err != nil {
			return Answer{}, err
		}
		s.Flows++
	}
	drops, err := c.Datapath.Drops()
	if err != nil {
		return Answer{}, err
	}
	for _, d := range drops {
		s.Drops = append(s.Drops, DropStatus{c.Node.InterfaceOf(d.ENI), d.Reason.String(), d.Packets})
	}
	return Answer{Result: s}, nil
}

// show adds what is counted here to the control process's graph.
func (c *Commands) show(ctx context.Context, _ struct{}) (Answer, error) {
	var g topology.Graph
	if err := c.call(ctx, "topology", struct{}{}, &g); err != nil {
		return Answer{}, err
	}
	drops, err := c.Datapath.Drops()
	if err != nil {
		return Answer{}, err
	}
	c.Node.mu.Lock()
	t := c.Node.tables
	c.Node.mu.Unlock()
	if t == nil {
		return Answer{Result: g}, nil
	}
	g.Counters, err = count(t, c.Datapath.Flows(), drops)
	return Answer{Result: g}, err
}

// call asks the control process. What it answers with as an error is the whole
// message.
func (c *Commands) call(ctx context.Context, method string, params, result any) error {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	err := c.Control.Call(ctx, method, params, result)
	if e, ok := errors.AsType[*feed.RemoteError](err); ok {
		return errors.New(e.Text)
	}
	return err
}

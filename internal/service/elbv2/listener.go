package elbv2

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// networkProtocols are those of Network Load Balancers' listeners and target
// groups.
var networkProtocols = []string{"TCP", "UDP", "TCP_UDP"}

// CreateListener makes a listener of a load balancer. If there is one on the
// port with the same settings, that one is the answer.
func (s *Service) CreateListener(ctx context.Context, in *api.CreateListenerInput) (*api.CreateListenerOutput, error) {
	sc := scopeOf(ctx)
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	switch {
	case wire.Val(in.Protocol) == "":
		return nil, invalid("A listener protocol must be specified")
	case wire.Val(in.Port) == 0:
		return nil, invalid("A listener port must be specified")
	}
	actions, err := readDefaultActions(wire.Val(in.LoadBalancerArn), in.DefaultActions, nil)
	if err != nil {
		return nil, err
	}
	var l *resource.Listener
	_, err = s.db.Update(ctx, func(tx *store.Tx) error {
		lb, err := sc.findBalancer(tx, wire.Val(in.LoadBalancerArn))
		if err != nil {
			return err
		}
		l = &resource.Listener{
			Meta:           resource.Meta{Account: sc.account, Region: sc.region, Created: now(), Tags: tags},
			LoadBalancer:   lb.ARN,
			Protocol:       *in.Protocol,
			Port:           int(*in.Port),
			DefaultActions: actions,
		}
		if err := sc.checkListener(tx, lb, l); err != nil {
			return err
		}
		if err := sc.secure(tx, l, security{in.SslPolicy, in.Certificates, in.AlpnPolicy, in.MutualAuthentication}); err != nil {
			return err
		}
		others := listeners(tx, lb.ARN)
		if old := onPort(others, l.Port); old != nil {
			if old.Protocol != l.Protocol || !sameTLS(old.TLS, l.TLS) || !reflect.DeepEqual(old.DefaultActions, l.DefaultActions) || !maps.Equal(old.Tags, l.Tags) {
				return duplicateListener(lb)
			}
			l = old
			return nil
		}
		if len(others) >= maxListeners {
			return wire.Errorf(400, "TooManyListeners", "A load balancer can have at most %d listeners", maxListeners)
		}
		l.ARN = listenersOf(lb.ARN) + newID()
		store.Listeners.Put(tx, l)
		giveIdentityKey(tx, lb, l.DefaultActions)
		return checkGroupCount(tx, lb)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateListenerOutput{Listeners: []*api.Listener{showListener(l)}}, nil
}

func duplicateListener(lb *resource.LoadBalancer) error {
	return wire.Errorf(400, "DuplicateListener", "A listener already exists on this port for this load balancer '%s'", lb.ARN)
}

// listeners are the listeners of a load balancer, read-only.
func listeners(r store.Reader, balancer string) []*resource.Listener {
	return slices.Collect(store.Listeners.ScanPrefix(r, listenersOf(balancer)))
}

func onPort(list []*resource.Listener, port int) *resource.Listener {
	for _, l := range list {
		if l.Port == port {
			return l
		}
	}
	return nil
}

// checkSecurity refuses what only TLS listeners have.
func checkSecurity(policy *string, certificates []*api.Certificate, alpn []string, mutual *api.MutualAuthenticationAttributes) error {
	switch {
	case len(certificates) > 0:
		return unsupported("A certificate cannot be specified for listeners without TLS")
	case wire.Val(policy) != "":
		return unsupported("An SSL policy cannot be specified for listeners without TLS")
	case len(alpn) > 0 && !slices.Equal(alpn, []string{"None"}):
		return unsupported("An ALPN policy cannot be specified for listeners without TLS")
	case mutual != nil && wire.Val(mutual.Mode) != "" && *mutual.Mode != "off":
		return unsupported("Mutual authentication is not supported for listeners without TLS")
	}
	return nil
}

// readDefaultActions reads the default actions of a listener of a load
// balancer.
func readDefaultActions(balancer string, actions []*api.Action, old []resource.Action) ([]resource.Action, error) {
	if isApplication(balancer) {
		return readActions(actions, old)
	}
	return readNetworkActions(actions)
}

// checkListener checks what a listener is to be against its load balancer and
// its target groups.
func (s scope) checkListener(r store.Reader, lb *resource.LoadBalancer, l *resource.Listener) error {
	allowed := networkProtocols
	if lb.Type == resource.ApplicationLoadBalancer {
		allowed = []string{"HTTP", "HTTPS"}
	}
	switch {
	case l.Protocol == "TLS" && lb.Type == resource.NetworkLoadBalancer:
		return unsupported("TLS listeners are not supported by Isthmus yet; 'TCP', 'UDP' and 'TCP_UDP' listeners are")
	case !slices.Contains(allowed, l.Protocol):
		return invalid("Listener protocol '%s' must be one of '%s'", l.Protocol, strings.Join(allowed, ", "))
	}
	for _, rule := range rules(r, l.ARN) {
		if err := checkIdentity(l.Protocol, rule.Actions); err != nil {
			return err
		}
	}
	return s.checkActions(r, lb, l.Protocol, l.DefaultActions)
}

// ModifyListener changes the port, the protocol, the TLS or the default actions
// of a listener.
func (s *Service) ModifyListener(ctx context.Context, in *api.ModifyListenerInput) (*api.ModifyListenerOutput, error) {
	sc := scopeOf(ctx)
	var l *resource.Listener
	_, err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if l, err = sc.findListener(tx, wire.Val(in.ListenerArn)); err != nil {
			return err
		}
		lb, err := sc.findBalancer(tx, l.LoadBalancer)
		if err != nil {
			return err
		}
		set(&l.Protocol, in.Protocol)
		setNumber(&l.Port, in.Port)
		if len(in.DefaultActions) > 0 {
			if l.DefaultActions, err = readDefaultActions(lb.ARN, in.DefaultActions, l.DefaultActions); err != nil {
				return err
			}
		}
		if err := sc.checkListener(tx, lb, l); err != nil {
			return err
		}
		for _, rule := range rules(tx, l.ARN) { // of which another protocol may be too little
			if err := sc.checkActions(tx, lb, l.Protocol, rule.Actions); err != nil {
				return err
			}
		}
		if err := sc.secure(tx, l, security{in.SslPolicy, in.Certificates, in.AlpnPolicy, in.MutualAuthentication}); err != nil {
			return err
		}
		if other := onPort(listeners(tx, lb.ARN), l.Port); other != nil && other.ARN != l.ARN {
			return duplicateListener(lb)
		}
		if l.Protocol == "UDP" {
			l.Attributes = nil
		}
		store.Listeners.Put(tx, l)
		giveIdentityKey(tx, lb, l.DefaultActions)
		return checkGroupCount(tx, lb)
	})
	if err != nil {
		return nil, err
	}
	return &api.ModifyListenerOutput{Listeners: []*api.Listener{showListener(l)}}, nil
}

// DeleteListener removes a listener with its rules.
func (s *Service) DeleteListener(ctx context.Context, in *api.DeleteListenerInput) (*api.DeleteListenerOutput, error) {
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		l, err := scopeOf(ctx).findListener(tx, wire.Val(in.ListenerArn))
		if err != nil {
			return err
		}
		deleteListener(tx, l.ARN)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteListenerOutput{}, nil
}

func deleteListener(tx *store.Tx, arn string) {
	for _, r := range rules(tx, arn) {
		store.ListenerRules.Delete(tx, r.ARN)
	}
	store.Listeners.Delete(tx, arn)
}

// DescribeListeners lists the listeners of a load balancer, or those with the
// given ARNs.
func (s *Service) DescribeListeners(ctx context.Context, in *api.DescribeListenersInput) (*api.DescribeListenersOutput, error) {
	sc, view := scopeOf(ctx), s.db.View()
	balancer := wire.Val(in.LoadBalancerArn)
	if (balancer != "") == (len(in.ListenerArns) > 0) {
		return nil, invalid("You must specify either listener ARNs or a load balancer ARN")
	}
	var found []*resource.Listener
	if balancer != "" {
		if _, err := sc.findBalancer(view, balancer); err != nil {
			return nil, err
		}
		found = listeners(view, balancer)
	}
	for _, arn := range in.ListenerArns {
		l, err := sc.findListener(view, arn)
		if err != nil {
			return nil, err
		}
		found = append(found, l)
	}
	found = sortUnique(found, (*resource.Listener).Key)
	shown, next, err := page(found, (*resource.Listener).Key, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	return &api.DescribeListenersOutput{Listeners: showAll(shown, showListener), NextMarker: next}, nil
}

func showListener(l *resource.Listener) *api.Listener {
	out := &api.Listener{
		ListenerArn:     wire.Ptr(l.ARN),
		LoadBalancerArn: wire.Ptr(l.LoadBalancer),
		Port:            wire.Ptr(int64(l.Port)),
		Protocol:        wire.Ptr(l.Protocol),
		DefaultActions:  showActions(l.ARN, l.DefaultActions),
	}
	showSecurity(l, out)
	return out
}

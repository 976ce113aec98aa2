package elbv2

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// protocols are those of listeners and target groups.
var protocols = []string{"TCP", "UDP", "TCP_UDP"}

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
	if err := checkSecurity(in.SslPolicy, in.Certificates, in.AlpnPolicy, in.MutualAuthentication); err != nil {
		return nil, err
	}
	group, err := readActions(in.DefaultActions)
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
			Meta:         resource.Meta{Account: sc.account, Region: sc.region, Created: now(), Tags: tags},
			LoadBalancer: lb.ARN,
			Protocol:     *in.Protocol,
			Port:         int(*in.Port),
			TargetGroup:  group,
		}
		if err := sc.checkListener(tx, lb, l); err != nil {
			return err
		}
		others := listeners(tx, lb.ARN)
		if old := onPort(others, l.Port); old != nil {
			if old.Protocol != l.Protocol || old.TargetGroup != l.TargetGroup || !maps.Equal(old.Tags, l.Tags) {
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
		return nil
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
		return unsupported("A certificate cannot be specified for TCP and UDP listeners")
	case wire.Val(policy) != "":
		return unsupported("An SSL policy cannot be specified for TCP and UDP listeners")
	case len(alpn) > 0 && !slices.Equal(alpn, []string{"None"}):
		return unsupported("An ALPN policy cannot be specified for TCP and UDP listeners")
	case mutual != nil && wire.Val(mutual.Mode) != "" && *mutual.Mode != "off":
		return unsupported("Mutual authentication is not supported for listeners of Network Load Balancers")
	}
	return nil
}

// readActions reads the default actions of a listener: one that forwards to
// one target group, whose ARN it returns.
func readActions(actions []*api.Action) (string, error) {
	if len(actions) != 1 {
		return "", wire.Errorf(400, "InvalidLoadBalancerAction", "A listener of a Network Load Balancer must have exactly one default action")
	}
	a := actions[0]
	if t := wire.Val(a.Type); t != "forward" {
		return "", wire.Errorf(400, "InvalidLoadBalancerAction", "The action type '%s' is not supported for listeners of Network Load Balancers; 'forward' is", t)
	}
	group := wire.Val(a.TargetGroupArn)
	if f := a.ForwardConfig; f != nil {
		switch {
		case len(f.TargetGroups) > 1:
			return "", unsupported("Forwarding to several weighted target groups is not supported by Isthmus yet; specify one target group")
		case f.TargetGroupStickinessConfig != nil && wire.Val(f.TargetGroupStickinessConfig.Enabled):
			return "", unsupported("Target group stickiness is not supported for listeners of Network Load Balancers")
		case len(f.TargetGroups) == 1:
			arn := wire.Val(f.TargetGroups[0].TargetGroupArn)
			if group != "" && group != arn {
				return "", invalid("The target group ARN of an action and that of its forward configuration must be the same")
			}
			group = arn
		}
	}
	if group == "" {
		return "", invalid("A target group ARN must be specified")
	}
	return group, nil
}

// checkListener checks what a listener is to be against its load balancer and
// its target group.
func (s scope) checkListener(r store.Reader, lb *resource.LoadBalancer, l *resource.Listener) error {
	switch {
	case l.Protocol == "TLS":
		return unsupported("TLS listeners are not supported by Isthmus yet; 'TCP', 'UDP' and 'TCP_UDP' listeners are")
	case !slices.Contains(protocols, l.Protocol):
		return invalid("Listener protocol '%s' must be one of '%s'", l.Protocol, strings.Join(protocols, ", "))
	}
	g, err := s.findGroup(r, l.TargetGroup)
	if err != nil {
		return err
	}
	if g.VPC != lb.VPC {
		return unsupported("Target group '%s' and load balancer '%s' must be in the same VPC", g.ARN, lb.ARN)
	}
	// A TCP_UDP group takes any listener; else the protocols must be the same.
	if g.Protocol != l.Protocol && g.Protocol != "TCP_UDP" {
		return wire.Errorf(400, "IncompatibleProtocols", "A listener with protocol '%s' cannot forward to target group '%s' with protocol '%s'", l.Protocol, g.ARN, g.Protocol)
	}
	for _, arn := range balancersOf(r, g.ARN) {
		if arn != lb.ARN {
			return wire.Errorf(400, "TargetGroupAssociationLimit", "The following target groups cannot be associated with more than one load balancer: %s", g.ARN)
		}
	}
	return nil
}

// ModifyListener changes the port, the protocol or the target group of a
// listener.
func (s *Service) ModifyListener(ctx context.Context, in *api.ModifyListenerInput) (*api.ModifyListenerOutput, error) {
	sc := scopeOf(ctx)
	if err := checkSecurity(in.SslPolicy, in.Certificates, in.AlpnPolicy, in.MutualAuthentication); err != nil {
		return nil, err
	}
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
			if l.TargetGroup, err = readActions(in.DefaultActions); err != nil {
				return err
			}
		}
		if err := sc.checkListener(tx, lb, l); err != nil {
			return err
		}
		if other := onPort(listeners(tx, lb.ARN), l.Port); other != nil && other.ARN != l.ARN {
			return duplicateListener(lb)
		}
		if l.Protocol == "UDP" {
			l.Attributes = nil
		}
		store.Listeners.Put(tx, l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.ModifyListenerOutput{Listeners: []*api.Listener{showListener(l)}}, nil
}

// DeleteListener removes a listener.
func (s *Service) DeleteListener(ctx context.Context, in *api.DeleteListenerInput) (*api.DeleteListenerOutput, error) {
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		l, err := scopeOf(ctx).findListener(tx, wire.Val(in.ListenerArn))
		if err != nil {
			return err
		}
		store.Listeners.Delete(tx, l.ARN)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteListenerOutput{}, nil
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
	return &api.Listener{
		ListenerArn:     wire.Ptr(l.ARN),
		LoadBalancerArn: wire.Ptr(l.LoadBalancer),
		Port:            wire.Ptr(int64(l.Port)),
		Protocol:        wire.Ptr(l.Protocol),
		DefaultActions:  showActions(l),
	}
}

func showActions(l *resource.Listener) []*api.Action {
	return []*api.Action{{
		Type:           wire.Ptr("forward"),
		TargetGroupArn: wire.Ptr(l.TargetGroup),
		// The only target group has the default weight.
		ForwardConfig: &api.ForwardActionConfig{TargetGroups: []*api.TargetGroupTuple{
			{TargetGroupArn: wire.Ptr(l.TargetGroup), Weight: wire.Ptr(int64(1))},
		}},
	}}
}

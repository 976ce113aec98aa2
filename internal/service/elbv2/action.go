package elbv2

import (
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// badAction is AWS's error for an action that is none.
func badAction(format string, args ...any) error {
	return wire.Errorf(400, "InvalidLoadBalancerAction", format, args...)
}

// readNetworkActions reads the default actions of a Network Load Balancer's
// listener: one that forwards to one target group.
func readNetworkActions(actions []*api.Action) ([]resource.Action, error) {
	if len(actions) != 1 {
		return nil, badAction("A listener of a Network Load Balancer must have exactly one default action")
	}
	a := actions[0]
	if t := wire.Val(a.Type); t != "forward" {
		return nil, badAction("The action type '%s' is not supported for listeners of Network Load Balancers; 'forward' is", t)
	}
	forward, err := readForward(a)
	switch {
	case err != nil:
		return nil, err
	case len(forward.Groups) > 1:
		return nil, unsupported("Forwarding to several weighted target groups is not supported by Isthmus yet for Network Load Balancers; specify one target group")
	case forward.Sticky:
		return nil, unsupported("Target group stickiness is not supported for listeners of Network Load Balancers")
	}
	// The only group has the default weight.
	forward.Groups[0].Weight, forward.StickySeconds = 1, 0
	return []resource.Action{{Order: int(wire.Val(a.Order)), Forward: forward}}, nil
}

// ending are the types of the actions that end a request.
var ending = []string{"forward", "redirect", "fixed-response"}

// readActions reads the actions of an Application Load Balancer's listener or
// rule: one that ends a request, and before it one that asks who sends it. They
// take the place of old ones, if there are any.
func readActions(actions []*api.Action, old []resource.Action) ([]resource.Action, error) {
	ends := 0
	for _, a := range actions {
		if slices.Contains(ending, wire.Val(a.Type)) {
			ends++
		}
	}
	if ends != 1 {
		return nil, badAction("You must specify exactly one action of the types 'forward', 'redirect' and 'fixed-response'")
	}
	var out []resource.Action
	orders := map[int]bool{}
	for _, a := range actions {
		order := int(wire.Val(a.Order))
		switch {
		case len(actions) > 1 && order == 0:
			return nil, badAction("An order must be specified for each of several actions")
		case len(actions) > 1 && orders[order]:
			return nil, badAction("The order '%d' is given to several actions", order)
		}
		orders[order] = true
		read, err := readAction(a, old)
		if err != nil {
			return nil, err
		}
		read.Order = order
		out = append(out, read)
	}
	slices.SortFunc(out, func(a, b resource.Action) int { return a.Order - b.Order })
	switch {
	case !slices.Contains(ending, typeOf(out[len(out)-1])):
		return nil, badAction("An action of type '%s' must be the last action to be performed", strings.Join(ending, "', '"))
	case len(out) > 2:
		return nil, badAction("At most one action of the types 'authenticate-cognito', 'authenticate-oidc' and 'jwt-validation' can be specified")
	}
	return out, nil
}

// typeOf is the type of an action as on the wire.
func typeOf(a resource.Action) string {
	switch {
	case a.Authenticate != nil:
		return "authenticate-oidc"
	case a.ValidateJWT != nil:
		return "jwt-validation"
	case a.Redirect != nil:
		return "redirect"
	case a.FixedResponse != nil:
		return "fixed-response"
	}
	return "forward"
}

func readAction(a *api.Action, old []resource.Action) (out resource.Action, err error) {
	kind := wire.Val(a.Type)
	if err := onlyOf(kind, a); err != nil {
		return out, err
	}
	switch kind {
	case "forward":
		out.Forward, err = readForward(a)
	case "redirect":
		out.Redirect, err = readRedirect(a.RedirectConfig)
	case "fixed-response":
		out.FixedResponse, err = readFixedResponse(a.FixedResponseConfig)
	case "jwt-validation":
		out.ValidateJWT, err = readValidateJWT(a.JwtValidationConfig)
	case "authenticate-oidc":
		out.Authenticate, err = readAuthenticateOIDC(a.AuthenticateOidcConfig, old)
	case "authenticate-cognito":
		err = unsupported("Actions of type 'authenticate-cognito' are not supported by Isthmus: there is no Amazon Cognito that could be asked for the client's secret; use 'authenticate-oidc' with the endpoints of the user pool's domain")
	default:
		err = badAction("The action type '%s' is not valid", kind)
	}
	return out, err
}

// onlyOf refuses what belongs to an action of another type.
func onlyOf(kind string, a *api.Action) error {
	for owner, given := range map[string]bool{
		"authenticate-cognito": a.AuthenticateCognitoConfig != nil,
		"authenticate-oidc":    a.AuthenticateOidcConfig != nil,
		"fixed-response":       a.FixedResponseConfig != nil,
		"forward":              a.ForwardConfig != nil || a.TargetGroupArn != nil,
		"jwt-validation":       a.JwtValidationConfig != nil,
		"redirect":             a.RedirectConfig != nil,
	} {
		if given && owner != kind {
			return badAction("An action of type '%s' cannot have the configuration of an action of type '%s'", kind, owner)
		}
	}
	return nil
}

// The limits of forward actions.
const (
	maxGroupsOfAction = 5
	maxStickySeconds  = 604800
)

// readForward reads an action that forwards: to the group that it names, or to
// those of its configuration.
func readForward(a *api.Action) (*resource.Forward, error) {
	out, group := &resource.Forward{}, wire.Val(a.TargetGroupArn)
	if f := a.ForwardConfig; f != nil {
		for _, g := range f.TargetGroups {
			w := resource.WeightedGroup{TargetGroup: wire.Val(g.TargetGroupArn), Weight: 1}
			setNumber(&w.Weight, g.Weight)
			out.Groups = append(out.Groups, w)
		}
		if s := f.TargetGroupStickinessConfig; s != nil {
			out.Sticky, out.StickySeconds = wire.Val(s.Enabled), int(wire.Val(s.DurationSeconds))
		}
	}
	if len(out.Groups) == 0 && group != "" {
		out.Groups = []resource.WeightedGroup{{TargetGroup: group, Weight: 1}}
	}
	switch {
	case len(out.Groups) == 0:
		return nil, invalid("A target group ARN must be specified")
	case group != "" && (len(out.Groups) > 1 || out.Groups[0].TargetGroup != group):
		return nil, invalid("The target group ARN of an action and that of its forward configuration must be the same")
	case len(out.Groups) > maxGroupsOfAction:
		return nil, wire.Errorf(400, "TooManyTargetGroups", "An action can forward to at most %d target groups", maxGroupsOfAction)
	case (out.Sticky || out.StickySeconds != 0) && (out.StickySeconds < 1 || out.StickySeconds > maxStickySeconds):
		return nil, badAction("Target group stickiness duration must be between 1 and %d seconds", maxStickySeconds)
	}
	total := 0
	for i, g := range out.Groups {
		if g.TargetGroup == "" {
			return nil, invalid("A target group ARN must be specified")
		}
		if slices.ContainsFunc(out.Groups[:i], func(o resource.WeightedGroup) bool { return o.TargetGroup == g.TargetGroup }) {
			return nil, badAction("Target group '%s' is given twice in an action", g.TargetGroup)
		}
		if g.Weight < 0 || g.Weight > 999 {
			return nil, badAction("Target group weight must be between 0 and 999")
		}
		total += g.Weight
	}
	if total == 0 && len(out.Groups) > 1 {
		return nil, badAction("At least one target group of an action must have a weight greater than 0")
	}
	return out, nil
}

// showActions are actions on the wire. AWS shows the stickiness of groups for
// Application Load Balancers only.
func showActions(balancer string, actions []resource.Action) []*api.Action {
	return showAll(actions, func(a resource.Action) *api.Action {
		out := &api.Action{}
		if a.Order != 0 {
			out.Order = wire.Ptr(int64(a.Order))
		}
		out.Type = wire.Ptr(typeOf(a))
		switch {
		case a.Forward != nil:
			showForward(out, a.Forward, isApplication(balancer))
		case a.Redirect != nil:
			out.RedirectConfig = showRedirect(a.Redirect)
		case a.FixedResponse != nil:
			out.FixedResponseConfig = showFixedResponse(a.FixedResponse)
		case a.Authenticate != nil:
			out.AuthenticateOidcConfig = showAuthenticateOIDC(a.Authenticate)
		case a.ValidateJWT != nil:
			out.JwtValidationConfig = showValidateJWT(a.ValidateJWT)
		}
		return out
	})
}

func showForward(out *api.Action, f *resource.Forward, stickiness bool) {
	out.ForwardConfig = &api.ForwardActionConfig{TargetGroups: showAll(f.Groups, func(g resource.WeightedGroup) *api.TargetGroupTuple {
		return &api.TargetGroupTuple{TargetGroupArn: wire.Ptr(g.TargetGroup), Weight: wire.Ptr(int64(g.Weight))}
	})}
	if len(f.Groups) == 1 {
		out.TargetGroupArn = wire.Ptr(f.Groups[0].TargetGroup)
	}
	if !stickiness {
		return
	}
	s := &api.TargetGroupStickinessConfig{Enabled: wire.Ptr(f.Sticky)}
	if f.StickySeconds != 0 {
		s.DurationSeconds = wire.Ptr(int64(f.StickySeconds))
	}
	out.ForwardConfig.TargetGroupStickinessConfig = s
}

// checkActions checks that actions can be those of a listener with a protocol,
// and the target groups that they forward to.
func (s scope) checkActions(r store.Reader, lb *resource.LoadBalancer, protocol string, actions []resource.Action) error {
	if err := checkIdentity(protocol, actions); err != nil {
		return err
	}
	for _, arn := range resource.TargetGroups(actions) {
		g, err := s.findGroup(r, arn)
		if err != nil {
			return err
		}
		if g.VPC != lb.VPC {
			return unsupported("Target group '%s' and load balancer '%s' must be in the same VPC", g.ARN, lb.ARN)
		}
		// Over HTTP and HTTPS any leads to any. A TCP_UDP group takes any listener
		// of a Network Load Balancer; else the protocols must be the same.
		if isHTTP(g.Protocol) != isHTTP(protocol) || !isHTTP(protocol) && g.Protocol != protocol && g.Protocol != "TCP_UDP" {
			return wire.Errorf(400, "IncompatibleProtocols", "A listener with protocol '%s' cannot forward to target group '%s' with protocol '%s'", protocol, g.ARN, g.Protocol)
		}
		if g.ProtocolVersion != "" && protocol != "HTTPS" {
			return badAction("Listener protocol '%s' is not supported with a target group with the protocol-version '%s'", protocol, g.ProtocolVersion)
		}
		if g.ProtocolVersion != "" && len(actions) > 1 {
			return badAction("Actions before 'forward' are not supported with a target group with the protocol-version '%s'", g.ProtocolVersion)
		}
		for _, other := range balancersOf(r, g.ARN) {
			if other != lb.ARN {
				return wire.Errorf(400, "TargetGroupAssociationLimit", "The following target groups cannot be associated with more than one load balancer: %s", g.ARN)
			}
		}
	}
	return nil
}

// checkIdentity refuses actions that ask for an identity over what is not
// secure.
func checkIdentity(protocol string, actions []resource.Action) error {
	if kind := typeOf(actions[0]); !slices.Contains(ending, kind) && protocol != "HTTPS" {
		return badAction("Actions of type '%s' are supported only on HTTPS listeners", kind)
	}
	return nil
}

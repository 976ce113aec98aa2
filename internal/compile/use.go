package compile

import "github.com/isthmus-net/isthmus/internal/resource"

// use is a target group in use by a load balancer.
type use struct {
	lb    *resource.LoadBalancer
	group *resource.TargetGroup
	port  int // of the listener
}

// uses lists what listeners, by themselves or in their rules, forward to.
func uses(in Input) (out []use) {
	groups, balancers, listeners := index(in.TargetGroups), index(in.LoadBalancers), index(in.Listeners)
	add := func(l *resource.Listener, actions []resource.Action) {
		lb := balancers[l.LoadBalancer]
		for _, arn := range resource.TargetGroups(actions) {
			if g := groups[arn]; lb != nil && g != nil {
				out = append(out, use{lb, g, l.Port})
			}
		}
	}
	for _, l := range in.Listeners {
		add(l, l.DefaultActions)
	}
	for _, r := range in.ListenerRules {
		if l := listeners[r.Listener]; l != nil {
			add(l, r.Actions)
		}
	}
	return out
}

// groupOf is the ARN of the one target group that a Network Load Balancer's
// listener forwards to.
func groupOf(l *resource.Listener) string {
	for _, arn := range resource.TargetGroups(l.DefaultActions) {
		return arn
	}
	return ""
}

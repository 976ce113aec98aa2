package compile

import "github.com/isthmus-net/isthmus/internal/resource"

// use is a target group in use by a load balancer.
type use struct {
	lb    *resource.LoadBalancer
	group *resource.TargetGroup
	port  int // of the listener
}

// uses lists what listeners, by themselves or in their rules, forward to.
func uses(lbs []*resource.LoadBalancer, ls []*resource.Listener, rules []*resource.ListenerRule, gs []*resource.TargetGroup) (out []use) {
	groups, balancers, listeners := index(gs), index(lbs), index(ls)
	add := func(l *resource.Listener, actions []resource.Action) {
		lb := balancers[l.LoadBalancer]
		for _, arn := range resource.TargetGroups(actions) {
			if g := groups[arn]; lb != nil && g != nil {
				out = append(out, use{lb, g, l.Port})
			}
		}
	}
	for _, l := range ls {
		add(l, l.DefaultActions)
	}
	for _, r := range rules {
		if l := listeners[r.Listener]; l != nil {
			add(l, r.Actions)
		}
	}
	return out
}

// groupsByBalancer are the target groups that each load balancer forwards to.
func groupsByBalancer(uses []use) map[string][]*resource.TargetGroup {
	out := map[string][]*resource.TargetGroup{}
	for _, u := range uses {
		out[u.lb.ARN] = append(out[u.lb.ARN], u.group)
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

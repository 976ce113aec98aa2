package policy

// Any combines decisions of which one that allows is enough, unless one denies:
// several identity policies; the identity and the resource policy of the same
// account. (Table A of "How API Gateway resource policies affect authorization
// workflow".)
func Any(decisions ...Decision) Decision {
	var combined Decision
	for _, d := range decisions {
		switch {
		case d.Outcome == ExplicitDeny:
			return d
		case d.Outcome == Allowed && combined.Outcome != Allowed,
			combined == Decision{}:
			combined = d
		}
	}
	return combined
}

// All combines decisions that must all allow: the identity and the resource
// policy of different accounts (table B); the policy of the endpoint that a
// request came through, with what decides without it. Of several that do not
// allow, one that denies explicitly decides, else the first. No decision at all
// is an implicit deny.
func All(decisions ...Decision) Decision {
	var combined Decision
	for i, d := range decisions {
		switch {
		case d.Outcome == ExplicitDeny:
			return d
		case i == 0, d.Outcome == ImplicitDeny && combined.Outcome == Allowed:
			combined = d
		}
	}
	return combined
}

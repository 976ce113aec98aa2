package policy

import (
	"slices"
	"strings"
)

// Principal is who makes a request. The zero Principal is anonymous. Of the
// fields that do not apply, none is set.
type Principal struct {
	Account       string // twelve digits
	ARN           string // of the root user, the user, or the session
	Role          string // of a role session: the ARN of its role
	Service       string // "apigateway.amazonaws.com"
	Federated     string // the identity provider
	CanonicalUser string // the canonical user id of the account
}

// Anonymous reports whether the request is not signed by anybody.
func (p *Principal) Anonymous() bool { return *p == Principal{} }

// keys returns the values of the global condition keys that say who the
// principal is. They are not taken from [Request.Context], so that there is one
// truth only.
func (p *Principal) keys(key string) (value string, known bool) {
	switch key {
	case "aws:principalaccount":
		return p.Account, true
	case "aws:principalarn":
		if p.Role != "" {
			return p.Role, true
		}
		return p.ARN, true
	}
	return "", false
}

// principals is the Principal or NotPrincipal element.
type principals struct {
	everybody bool
	accounts  []string // as an id or as the ARN of the root user
	arns      []string // of users, roles and sessions
	services  []string
	federated []string
	canonical []string
}

// names reports whether p names who, by any of the names that who has.
func (p *principals) names(who *Principal) bool {
	return p.everybody ||
		slices.Contains(p.accounts, who.Account) ||
		slices.Contains(p.arns, who.ARN) ||
		slices.Contains(p.arns, who.Role) ||
		contains(p.services, who.Service) ||
		contains(p.federated, who.Federated) ||
		slices.Contains(p.canonical, who.CanonicalUser)
}

// spares reports whether a Deny with NotPrincipal p does not concern who. Its
// account, its role and itself must all be named: AWS "might validate the
// account first, then the role, and then the assumed-role user", and denies if
// one of them is not spared.
func (p *principals) spares(who *Principal) bool {
	if p.everybody || who.Account == "" {
		return p.names(who)
	}
	if contains(p.services, who.Service) || contains(p.federated, who.Federated) ||
		slices.Contains(p.canonical, who.CanonicalUser) {
		return true
	}
	_, root := accountOf(who.ARN)
	return slices.Contains(p.accounts, who.Account) &&
		(who.Role == "" || slices.Contains(p.arns, who.Role)) &&
		(root || who.ARN == "" || slices.Contains(p.arns, who.ARN))
}

// contains reports whether names has name, or * for any name.
func contains(names []string, name string) bool {
	return name != "" && (slices.Contains(names, name) || slices.Contains(names, "*"))
}

// add adds a principal of a type, and reports whether it is valid.
func (p *principals) add(kind, id string) bool {
	if id == "" {
		return false
	}
	switch kind {
	case "AWS":
		return p.addAWS(id)
	case "Service":
		p.services = append(p.services, id)
		return id == "*" || strings.Contains(id, ".") && !strings.ContainsAny(id, "*?")
	case "Federated":
		p.federated = append(p.federated, id)
		return id == "*" || !strings.ContainsAny(id, "*?")
	case "CanonicalUser":
		p.canonical = append(p.canonical, id)
		return !strings.ContainsAny(id, "*?")
	}
	return false
}

func (p *principals) addAWS(id string) bool {
	if id == "*" {
		p.everybody = true
		return true
	}
	if isAccount(id) {
		p.accounts = append(p.accounts, id)
		return true
	}
	if strings.ContainsAny(id, "*?") { // "You cannot use a wildcard to match part of a principal name or ARN"
		return false
	}
	if account, root := accountOf(id); root {
		p.accounts = append(p.accounts, account)
		return true
	} else if account == "" {
		return false
	}
	p.arns = append(p.arns, id)
	return true
}

// accountOf returns the account of the ARN of a principal, and whether it is
// that of the root user, which stands for the account. The account is empty if
// there is no such principal.
func accountOf(arn string) (account string, root bool) {
	parts := strings.SplitN(arn, ":", arnParts)
	if len(parts) < arnParts || parts[0] != "arn" || parts[3] != "" || !isAccount(parts[4]) {
		return "", false
	}
	kind, name, _ := strings.Cut(parts[5], "/")
	switch {
	case parts[2] == "iam" && parts[5] == "root":
		return parts[4], true
	case name == "":
	case parts[2] == "iam" && (kind == "user" || kind == "role"),
		parts[2] == "sts" && (kind == "assumed-role" || kind == "federated-user"):
		return parts[4], false
	}
	return "", false
}

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

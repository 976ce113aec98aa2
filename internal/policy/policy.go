// Package policy is the IAM policy language: it reads policy documents and
// decides about requests.
//
// [Parse] checks a document as AWS does and compiles it; [Policy.Evaluate]
// gives a [Decision], which names the statement that made it; [Any] and [All]
// combine the decisions of several policies. The package knows no service and
// has no state: which keys a request has is the caller's business.
//
// The rules are those of the IAM User Guide ("IAM JSON policy element
// reference", "Policy evaluation logic"). The README lists what was decided
// where the guide is silent or contradicts itself.
package policy

// Versions of the policy language.
const (
	Version2008 = "2008-10-17" // without policy variables; the default
	Version2012 = "2012-10-17"
)

// MaxSize is the size limit of a document, in bytes, unless [Options] says
// otherwise: that of an endpoint policy, the largest there is.
const MaxSize = 20480

// Kind says what a policy is attached to.
type Kind uint8

const (
	// Resource is a policy of a resource or an endpoint: every statement has a
	// principal.
	Resource Kind = iota
	// Identity is a policy of a user or a role: no statement has a principal.
	Identity
)

// Options are the circumstances of a policy.
type Options struct {
	Name    string // what decisions call the policy: "endpoint policy of vpce-…"
	Kind    Kind
	MaxSize int // in bytes, white space included; zero means the constant MaxSize
}

// Policy is a checked policy, ready to decide. It is immutable, and safe for
// use by several goroutines.
type Policy struct {
	name       string
	statements []statement
}

type effect uint8

const (
	deny effect = iota
	allow
)

func (e effect) String() string {
	if e == allow {
		return "Allow"
	}
	return "Deny"
}

// statement is one statement. The not… fields say that a list is that of
// NotPrincipal, NotAction or NotResource.
type statement struct {
	sid    string
	effect effect

	principals   *principals // nil in an identity policy
	notPrincipal bool
	actions      []pattern
	notAction    bool
	resources    []pattern
	notResource  bool
	conditions   []condition
}

package elbv2

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// ARNs hold everything that finds a resource, so they are the keys of the
// tables, and the resources of a scope, of a name or of a load balancer are
// the rows with a prefix:
//
//	arn:aws:elasticloadbalancing:REGION:ACCOUNT:loadbalancer/TYPE/NAME/ID
//	arn:aws:elasticloadbalancing:REGION:ACCOUNT:listener/TYPE/NAME/ID/LISTENER
//	arn:aws:elasticloadbalancing:REGION:ACCOUNT:listener-rule/TYPE/NAME/ID/LISTENER/RULE
//	arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID
//	arn:aws:elasticloadbalancing:REGION:ACCOUNT:truststore/NAME/ID
//
// where TYPE is "net" or "app".

const (
	balancerPart = "loadbalancer/"
	listenerPart = "listener/"
	groupPart    = "targetgroup/"
	rulePart     = "listener-rule/"

	trustStorePart = "truststore/"
)

// typeParts are the types of load balancers in ARNs.
var typeParts = map[string]string{
	resource.NetworkLoadBalancer:     "net/",
	resource.ApplicationLoadBalancer: "app/",
}

// isApplication says whether an ARN is of an Application Load Balancer, or of
// a listener or rule of one.
func isApplication(arn string) bool {
	_, tail, _ := strings.Cut(arn, "/")
	return strings.HasPrefix(tail, "app/")
}

func (s scope) arn(part string) string {
	return "arn:aws:elasticloadbalancing:" + s.region + ":" + s.account + ":" + part
}

// newID makes the 16 hexadecimal digits that end an ARN.
func newID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// typeAndName is the end of a load balancer's ARN: TYPE/NAME/ID.
func typeAndName(lb *resource.LoadBalancer) string {
	_, tail, _ := strings.Cut(lb.ARN, balancerPart)
	return tail
}

// listenersOf is the prefix of the ARNs of a load balancer's listeners.
func listenersOf(balancer string) string {
	return strings.Replace(balancer, ":"+balancerPart, ":"+listenerPart, 1) + "/"
}

// rulesOf is the prefix of the ARNs of a listener's rules; given the prefix of
// a load balancer's listeners, it is that of all of their rules.
func rulesOf(listener string) string {
	return strings.TrimSuffix(strings.Replace(listener, ":"+listenerPart, ":"+rulePart, 1), "/") + "/"
}

// listenerOfRule is the ARN of a rule's listener.
func listenerOfRule(rule string) string {
	return strings.Replace(rule[:strings.LastIndexByte(rule, '/')], ":"+rulePart, ":"+listenerPart, 1)
}

// defaultRule is the ARN of a listener's default rule. It depends on the
// listener alone, since the rule is stored nowhere.
func defaultRule(listener string) string {
	sum := sha256.Sum256([]byte(listener))
	return rulesOf(listener) + hex.EncodeToString(sum[:8])
}

var (
	balancerTail = regexp.MustCompile(`^(net|app|gwy)/[A-Za-z0-9-]+/[0-9a-f]{16}$`)
	listenerTail = regexp.MustCompile(`^(net|app|gwy)/[A-Za-z0-9-]+/[0-9a-f]{16}/[0-9a-f]{16}$`)
	ruleTail     = regexp.MustCompile(`^(net|app|gwy)/[A-Za-z0-9-]+(/[0-9a-f]{16}){3}$`)
	groupTail    = regexp.MustCompile(`^[A-Za-z0-9-]+/[0-9a-f]{16}$`)
)

// wellFormed says whether an ARN is of the scope and of a kind. AWS calls the
// ARNs of other accounts and regions invalid, not unknown.
func (s scope) wellFormed(arn, kind string, tail *regexp.Regexp) bool {
	rest, ok := strings.CutPrefix(arn, s.arn(kind+"/"))
	return ok && tail.MatchString(rest)
}

func (s scope) checkBalancerARN(arn string) error {
	if !s.wellFormed(arn, "loadbalancer", balancerTail) {
		return invalid("'%s' is not a valid load balancer ARN", arn)
	}
	return nil
}

func (s scope) checkListenerARN(arn string) error {
	if !s.wellFormed(arn, "listener", listenerTail) {
		return invalid("'%s' is not a valid listener ARN", arn)
	}
	return nil
}

func (s scope) checkGroupARN(arn string) error {
	if !s.wellFormed(arn, "targetgroup", groupTail) {
		return invalid("'%s' is not a valid target group ARN", arn)
	}
	return nil
}

func (s scope) findBalancer(r store.Reader, arn string) (*resource.LoadBalancer, error) {
	if err := s.checkBalancerARN(arn); err != nil {
		return nil, err
	}
	if lb, ok := store.LoadBalancers.Get(r, arn); ok {
		return lb, nil
	}
	return nil, errNoBalancer
}

func (s scope) findListener(r store.Reader, arn string) (*resource.Listener, error) {
	if err := s.checkListenerARN(arn); err != nil {
		return nil, err
	}
	if l, ok := store.Listeners.Get(r, arn); ok {
		return l, nil
	}
	return nil, errNoListener
}

func (s scope) findGroup(r store.Reader, arn string) (*resource.TargetGroup, error) {
	if err := s.checkGroupARN(arn); err != nil {
		return nil, err
	}
	if g, ok := store.TargetGroups.Get(r, arn); ok {
		return g, nil
	}
	return nil, errNoGroup
}

// trustStores are those of the scope, read-only and sorted.
func (s scope) trustStores(r store.Reader) []*resource.TrustStore {
	return slices.Collect(store.TrustStores.ScanPrefix(r, s.arn(trustStorePart)))
}

func (s scope) findTrustStore(r store.Reader, arn string) (*resource.TrustStore, error) {
	if !s.wellFormed(arn, "truststore", groupTail) {
		return nil, invalid("'%s' is not a valid trust store ARN", arn)
	}
	if t, ok := store.TrustStores.Get(r, arn); ok {
		return t, nil
	}
	return nil, errNoTrustStore
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9-]*$`)

// checkName checks the name of a load balancer or target group; what says
// which, at the beginning of a sentence.
func checkName(what, name string) error {
	switch {
	case name == "":
		return invalid("%s name cannot be empty", what)
	case len(name) > 32:
		return invalid("%s name '%s' cannot be longer than '32' characters", what, name)
	case !nameForm.MatchString(name):
		return invalid("%s name '%s' can only contain characters that are alphanumeric characters or hyphens(-)", what, name)
	case name[0] == '-' || name[len(name)-1] == '-':
		return invalid("%s name '%s' cannot begin or end with '-'", what, name)
	}
	return nil
}

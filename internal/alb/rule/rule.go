package rule

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// Rules are the compiled rules of a listener.
type Rules []conditions

// conditions are those of one rule, all of which must hold.
type conditions []condition

// condition tells whether it holds for a request.
type condition func(subject) bool

// subject is a request, and what of it is compared with many rules. It is passed
// by value, in registers: it would be allocated for each request otherwise.
type subject struct {
	*message.Request
	name string // its host without the port
	path string // its path, normalized
}

// Compile makes rules of their configuration, in whose order they are tried.
func Compile(rules []config.Rule) (Rules, error) {
	compiled := make(Rules, len(rules))
	for i, r := range rules {
		for _, c := range r.Conditions {
			f, err := compile(c)
			if err != nil {
				return nil, fmt.Errorf("compile rule %s: %w", r.ARN, err)
			}
			compiled[i] = append(compiled[i], f)
		}
	}
	return compiled, nil
}

// Find is the index of the first rule whose conditions hold, or -1.
func (rs Rules) Find(r *message.Request) int {
	if len(rs) == 0 {
		return -1
	}
	s := subject{r, Hostname(r.Host), normalized(r.Path)}
	for i, rule := range rs {
		if rule.hold(s) {
			return i
		}
	}
	return -1
}

func (cs conditions) hold(s subject) bool {
	for _, c := range cs {
		if !c(s) {
			return false
		}
	}
	return true
}

// compile follows "Condition types for listener rules" in the user guide of
// Application Load Balancers.
func compile(c config.Condition) (condition, error) {
	switch c.Field {
	case config.HostHeader:
		hosts := newPatterns(c.Values, true)
		// Expressions see the port too.
		regexes, err := newRegexes(c.Regex, "(?i)")
		return func(s subject) bool {
			return matchAny(hosts, s.name) || regexAny(regexes, s.Host)
		}, err
	case config.PathPattern:
		paths := newPatterns(c.Values, false)
		regexes, err := newRegexes(c.Regex, "")
		return func(s subject) bool {
			return matchAny(paths, s.path) || regexAny(regexes, s.path)
		}, err
	case config.RequestMethod:
		return func(s subject) bool { return slices.Contains(c.Values, s.Method) }, nil
	case config.HTTPHeader:
		return headerCondition(c)
	case config.QueryString:
		return queryCondition(c.Query), nil
	case config.SourceIP:
		return sourceCondition(c.Sources), nil
	}
	return nil, fmt.Errorf("unknown condition %q", c.Field)
}

func headerCondition(c config.Condition) (condition, error) {
	values := newPatterns(c.Values, true)
	regexes, err := newRegexes(c.Regex, "")
	holds := func(value string) bool { return matchAny(values, value) || regexAny(regexes, value) }
	return func(s subject) bool {
		for _, f := range s.Header {
			if strings.EqualFold(f.Name, c.HeaderName) && holds(f.Value) {
				return true
			}
		}
		// The engine keeps it apart from the others.
		return strings.EqualFold(c.HeaderName, "Host") && holds(s.Host)
	}, err
}

type queryPair struct {
	any        bool // whatever the key
	key, value pattern
}

// queryCondition compares keys and values as they are on the wire.
func queryCondition(pairs []config.QueryPair) condition {
	compiled := make([]queryPair, len(pairs))
	for i, p := range pairs {
		compiled[i] = queryPair{p.Key == "", newPattern(p.Key, true), newPattern(p.Value, true)}
	}
	return func(s subject) bool {
		for parameter := range strings.SplitSeq(s.Query, "&") {
			if parameter == "" {
				continue
			}
			key, value, _ := strings.Cut(parameter, "=")
			for i := range compiled {
				p := &compiled[i]
				if (p.any || p.key.match(key)) && p.value.match(value) {
					return true
				}
			}
		}
		return false
	}
}

func sourceCondition(sources []netip.Prefix) condition {
	return func(s subject) bool {
		client := s.Client.Addr().Unmap()
		return slices.ContainsFunc(sources, func(p netip.Prefix) bool { return p.Contains(client) })
	}
}

// Hostname is a Host field without its port.
func Hostname(host string) string {
	if strings.IndexByte(host, ':') < 0 {
		return strings.Trim(host, "[]") // without the error that SplitHostPort would make
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

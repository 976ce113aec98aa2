package elbv2

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/alb/rule"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// The limits of a rule's conditions.
const (
	maxConditionValues = 5   // of a rule
	maxWildcards       = 5   // of a rule
	maxPattern         = 128 // characters of a value or expression
	maxMethod          = 40
)

// conditionFields are the fields of conditions, in the order in which AWS
// names them.
var conditionFields = []string{"path-pattern", "host-header", "http-header", "http-request-method", "query-string", "source-ip"}

// readConditions reads the conditions of a rule.
func readConditions(list []*api.RuleCondition) ([]resource.RuleCondition, error) {
	if len(list) == 0 {
		return nil, invalid("A condition must be specified")
	}
	var out []resource.RuleCondition
	values, wildcards := 0, 0
	for _, in := range list {
		c, err := readCondition(in)
		if err != nil {
			return nil, err
		}
		// Only header and query conditions can be given several times.
		again := func(o resource.RuleCondition) bool { return o.Field == c.Field }
		if c.Field != "http-header" && c.Field != "query-string" && slices.ContainsFunc(out, again) {
			return nil, invalid("A rule can only have one '%s' condition", c.Field)
		}
		out = append(out, c)
		values += len(c.Values) + len(c.Regex) + len(c.Query)
		for _, p := range patterns(c) {
			wildcards += strings.Count(p, "*") + strings.Count(p, "?")
		}
	}
	switch {
	case values > maxConditionValues:
		return nil, invalid("A rule can only have '%d' condition values", maxConditionValues)
	case wildcards > maxWildcards:
		return nil, invalid("A rule can only have '%d' condition wildcards", maxWildcards)
	}
	return out, nil
}

// patterns are the texts of a condition in which wildcards mean something.
func patterns(c resource.RuleCondition) []string {
	if c.Field == "http-request-method" || c.Field == "source-ip" {
		return nil
	}
	out := slices.Clone(c.Values)
	for _, q := range c.Query {
		out = append(out, q.Key, q.Value)
	}
	return out
}

// readCondition reads one condition, whose values may be given in either of
// two ways for hosts and paths.
func readCondition(in *api.RuleCondition) (resource.RuleCondition, error) {
	c := resource.RuleCondition{Field: wire.Val(in.Field)}
	// What is given, by the field that it belongs to.
	configs := map[string][]string{}
	if x := in.HostHeaderConfig; x != nil {
		configs["host-header"], c.Regex = x.Values, append(c.Regex, x.RegexValues...)
	}
	if x := in.PathPatternConfig; x != nil {
		configs["path-pattern"], c.Regex = x.Values, append(c.Regex, x.RegexValues...)
	}
	if x := in.HttpHeaderConfig; x != nil {
		configs["http-header"], c.HeaderName = x.Values, wire.Val(x.HttpHeaderName)
		c.Regex = append(c.Regex, x.RegexValues...)
	}
	if x := in.HttpRequestMethodConfig; x != nil {
		configs["http-request-method"] = x.Values
	}
	if x := in.SourceIpConfig; x != nil {
		configs["source-ip"] = x.Values
	}
	if x := in.QueryStringConfig; x != nil {
		configs["query-string"] = nil
		for _, q := range x.Values {
			c.Query = append(c.Query, resource.QueryPair{Key: wire.Val(q.Key), Value: wire.Val(q.Value)})
		}
	}
	config, given := configs[c.Field]
	switch {
	case c.Field == "":
		return c, invalid("A condition field must be specified")
	case !slices.Contains(conditionFields, c.Field):
		return c, invalid("Condition field '%s' must be one of '[%s]'", c.Field, strings.Join(conditionFields, ", "))
	case len(configs) > 1 || len(configs) == 1 && !given:
		return c, invalid("A condition with the field '%s' can only have the configuration of this field", c.Field)
	case given && len(in.Values) > 0:
		return c, invalid("Values and the configuration of the field '%s' cannot be specified at the same time", c.Field)
	case len(in.Values) > 0 && c.Field != "host-header" && c.Field != "path-pattern":
		return c, invalid("Values cannot be specified for the condition field '%s', but its configuration", c.Field)
	case len(in.RegexValues) > 0 && !slices.Contains(regexFields, c.Field):
		return c, invalid("Regular expressions cannot be specified for the condition field '%s'", c.Field)
	case len(in.RegexValues) > 0 && len(c.Regex) > 0:
		return c, invalid("Regular expressions of a condition and those of its configuration cannot be specified at the same time")
	}
	c.Values = config
	if len(in.Values) > 0 {
		c.Values = in.Values
	}
	if len(in.RegexValues) > 0 {
		c.Regex = in.RegexValues
	}
	switch {
	case len(c.Values)+len(c.Regex)+len(c.Query) == 0:
		return c, invalid("A condition value must be specified")
	case len(c.Values) > 0 && len(c.Regex) > 0:
		return c, invalid("A condition can have either values or regular expressions, not both")
	}
	return c, checkCondition(c)
}

// regexFields are the fields that regular expressions can be compared with.
var regexFields = []string{"host-header", "path-pattern", "http-header"}

// What values are made of.
var (
	hostPattern   = regexp.MustCompile(`^[A-Za-z0-9\-_.*?]+$`)
	pathPattern   = regexp.MustCompile(`^[A-Za-z0-9_\-.$/~"'@:+&*?]+$`)
	headerName    = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,40}$")
	methodPattern = regexp.MustCompile(`^[A-Z\-_]+$`)
	printable     = regexp.MustCompile(`^[ -~]*$`)
)

func checkCondition(c resource.RuleCondition) error {
	if c.Field == "http-header" && !headerName.MatchString(c.HeaderName) {
		return invalid("The HTTP header name '%s' is not valid", c.HeaderName)
	}
	if c.Field == "http-header" && strings.EqualFold(c.HeaderName, "Host") {
		return invalid("The HTTP header name 'Host' cannot be specified; use the condition field 'host-header'")
	}
	for _, v := range c.Values {
		if v == "" || len(v) > maxPattern {
			return invalid("Condition value '%s' must have from 1 to %d characters", v, maxPattern)
		}
		switch c.Field {
		case "host-header":
			if !hostPattern.MatchString(v) {
				return badCharacter(v)
			}
		case "path-pattern":
			if !pathPattern.MatchString(v) {
				return badCharacter(v)
			}
		case "http-header":
			if !printable.MatchString(v) {
				return badCharacter(v)
			}
		case "http-request-method":
			if !methodPattern.MatchString(v) || len(v) > maxMethod {
				return invalid("The HTTP request method '%s' is not valid", v)
			}
		case "source-ip":
			if p, err := netip.ParsePrefix(v); err != nil || p != p.Masked() {
				return invalid("The source IP '%s' is not a valid CIDR block", v)
			}
		}
	}
	for _, v := range c.Regex {
		if v == "" || len(v) > maxPattern {
			return invalid("The regular expression '%s' must have from 1 to %d characters", v, maxPattern)
		}
		if _, err := rule.ParseRegex(v); err != nil {
			return invalid("The regular expression '%s' is not valid: %v", v, err)
		}
	}
	for _, q := range c.Query {
		switch {
		case q.Value == "":
			return invalid("A query string value must be specified")
		case len(q.Key) > maxPattern || len(q.Value) > maxPattern:
			return invalid("Query string keys and values can have at most %d characters", maxPattern)
		case !printable.MatchString(q.Key) || !printable.MatchString(q.Value):
			return invalid("The query string '%s=%s' contains characters that are not valid", q.Key, q.Value)
		}
	}
	return nil
}

func badCharacter(value string) error {
	return invalid("Condition value '%s' contains a character that is not valid", value)
}

// showConditions are conditions on the wire. Values of hosts and paths are
// shown in both ways, as AWS does.
func showConditions(list []resource.RuleCondition) []*api.RuleCondition {
	return showAll(list, func(c resource.RuleCondition) *api.RuleCondition {
		out := &api.RuleCondition{Field: wire.Ptr(c.Field)}
		switch c.Field {
		case "host-header":
			out.Values, out.RegexValues = c.Values, c.Regex
			out.HostHeaderConfig = &api.HostHeaderConditionConfig{Values: c.Values, RegexValues: c.Regex}
		case "path-pattern":
			out.Values, out.RegexValues = c.Values, c.Regex
			out.PathPatternConfig = &api.PathPatternConditionConfig{Values: c.Values, RegexValues: c.Regex}
		case "http-header":
			out.HttpHeaderConfig = &api.HttpHeaderConditionConfig{HttpHeaderName: wire.Ptr(c.HeaderName), Values: c.Values, RegexValues: c.Regex}
		case "http-request-method":
			out.HttpRequestMethodConfig = &api.HttpRequestMethodConditionConfig{Values: c.Values}
		case "source-ip":
			out.SourceIpConfig = &api.SourceIpConditionConfig{Values: c.Values}
		case "query-string":
			out.QueryStringConfig = &api.QueryStringConditionConfig{Values: showAll(c.Query, func(q resource.QueryPair) *api.QueryStringKeyValuePair {
				pair := &api.QueryStringKeyValuePair{Value: wire.Ptr(q.Value)}
				if q.Key != "" {
					pair.Key = wire.Ptr(q.Key)
				}
				return pair
			})}
		}
		return out
	})
}

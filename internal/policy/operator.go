package policy

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// operator is a condition operator without qualifier and IfExists.
type operator struct {
	negated bool
	compile func(value string, variables bool) (test, error)
}

var operators = map[string]operator{
	"StringEquals":              {compile: equals},
	"StringNotEquals":           {compile: equals, negated: true},
	"StringEqualsIgnoreCase":    {compile: equalsIgnoreCase},
	"StringNotEqualsIgnoreCase": {compile: equalsIgnoreCase, negated: true},
	"StringLike":                {compile: like},
	"StringNotLike":             {compile: like, negated: true},

	"NumericEquals":            {compile: numeric(func(c int) bool { return c == 0 })},
	"NumericNotEquals":         {compile: numeric(func(c int) bool { return c == 0 }), negated: true},
	"NumericLessThan":          {compile: numeric(func(c int) bool { return c < 0 })},
	"NumericLessThanEquals":    {compile: numeric(func(c int) bool { return c <= 0 })},
	"NumericGreaterThan":       {compile: numeric(func(c int) bool { return c > 0 })},
	"NumericGreaterThanEquals": {compile: numeric(func(c int) bool { return c >= 0 })},

	"DateEquals":            {compile: date(func(c int) bool { return c == 0 })},
	"DateNotEquals":         {compile: date(func(c int) bool { return c == 0 }), negated: true},
	"DateLessThan":          {compile: date(func(c int) bool { return c < 0 })},
	"DateLessThanEquals":    {compile: date(func(c int) bool { return c <= 0 })},
	"DateGreaterThan":       {compile: date(func(c int) bool { return c > 0 })},
	"DateGreaterThanEquals": {compile: date(func(c int) bool { return c >= 0 })},

	"Bool":         {compile: boolean},
	"BinaryEquals": {compile: binary},
	"IpAddress":    {compile: ipAddress},
	"NotIpAddress": {compile: ipAddress, negated: true},

	"ArnEquals":    {compile: arnLike},
	"ArnLike":      {compile: arnLike},
	"ArnNotEquals": {compile: arnLike, negated: true},
	"ArnNotLike":   {compile: arnLike, negated: true},
}

// matching returns the test that a pattern accepts a value.
func matching(p pattern, err error) (test, error) {
	return func(value string, req *Request) (bool, bool) {
		tokens, ok := p.expand(req, value)
		return ok && match(tokens, value), ok
	}, err
}

func equals(value string, variables bool) (test, error) {
	return matching(compile(value, syntax{variables: variables}))
}

func like(value string, variables bool) (test, error) {
	return matching(compile(value, syntax{wildcards: true, variables: variables}))
}

func arnLike(value string, variables bool) (test, error) {
	return matching(compileARN(value, syntax{wildcards: true, variables: variables}, false))
}

func equalsIgnoreCase(value string, variables bool) (test, error) {
	p, err := compile(value, syntax{variables: variables})
	return func(value string, req *Request) (bool, bool) {
		tokens, ok := p.expand(req, value)
		return ok && match(fold(tokens), strings.ToLower(value)), ok
	}, err
}

// boolean compares truth values. The guide's page on operators supports
// variables here; its page on variables does not.
func boolean(value string, variables bool) (test, error) {
	p, err := compile(value, syntax{variables: variables})
	if err == nil && !p.vars && !isBool(value) {
		err = fmt.Errorf("%q is neither true nor false", value)
	}
	return func(value string, req *Request) (bool, bool) {
		tokens, ok := p.expand(req, value)
		return ok && isBool(value) && match(fold(tokens), strings.ToLower(value)), ok
	}, err
}

func isBool(s string) bool {
	return strings.EqualFold(s, "true") || strings.EqualFold(s, "false")
}

// binary compares bytes. In the policy they are in base64, in the request as
// they are.
func binary(value string, _ bool) (test, error) {
	want, err := base64.StdEncoding.DecodeString(value)
	return func(value string, _ *Request) (bool, bool) { return value == string(want), true }, err
}

// numeric compares decimal numbers exactly; holds gets the sign of the value
// of the request minus that of the policy.
func numeric(holds func(sign int) bool) func(string, bool) (test, error) {
	return func(value string, _ bool) (test, error) {
		want, ok := parseNumber(value)
		if !ok {
			return nil, fmt.Errorf("%q is not a number", value)
		}
		return func(value string, _ *Request) (bool, bool) {
			have, ok := parseNumber(value)
			return ok && holds(have.Cmp(want)), true
		}, nil
	}
}

// decimal is an integer or decimal number. There are no exponents, so that the
// length of a number bounds the work it makes.
var decimal = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?$`)

func parseNumber(s string) (*big.Rat, bool) {
	if len(s) > 64 || !decimal.MatchString(s) {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// date compares instants; holds gets the sign of the value of the request
// minus that of the policy.
func date(holds func(sign int) bool) func(string, bool) (test, error) {
	return func(value string, _ bool) (test, error) {
		want, ok := parseDate(value)
		if !ok {
			return nil, fmt.Errorf("%q is not a date", value)
		}
		return func(value string, _ *Request) (bool, bool) {
			have, ok := parseDate(value)
			return ok && holds(have.Compare(want)), true
		}, nil
	}
}

// dateLayouts are those of the W3C's note on ISO 8601, and the basic form that
// signatures use. Seconds may have a fraction.
var dateLayouts = []string{
	"2006", "2006-01", "2006-01-02",
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00",
	"20060102T150405Z",
}

// epoch is a time in seconds since 1970. Four digits are a year.
var epoch = regexp.MustCompile(`^-?([0-9]{1,3}|[0-9]{5,12})(\.[0-9]{1,9})?$`)

func parseDate(s string) (time.Time, bool) {
	if epoch.MatchString(s) {
		seconds, _ := new(big.Rat).SetString(s)
		nanos := seconds.Mul(seconds, big.NewRat(int64(time.Second), 1)).Num() // at most nine places: whole
		quo, rem := new(big.Int).QuoRem(nanos, big.NewInt(int64(time.Second)), new(big.Int))
		return time.Unix(quo.Int64(), rem.Int64()), true
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// ipAddress tests whether an address is in a range. An address without prefix
// length is a range of one.
func ipAddress(value string, _ bool) (test, error) {
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		address, addressErr := netip.ParseAddr(value)
		if addressErr != nil || address.Zone() != "" {
			return nil, fmt.Errorf("%q is not an address or CIDR range", value)
		}
		address = address.Unmap()
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	return func(value string, _ *Request) (bool, bool) {
		address, err := netip.ParseAddr(value)
		return err == nil && prefix.Contains(address.Unmap()), true
	}, nil
}

package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ParseURI reads an integration's URI: http or https, a host, a port from 1 to
// 65535 if any, a path and a query, each of which may hold "{name}" places.
func ParseURI(s string) (*URI, error) {
	bad := func(why string) (*URI, error) { return nil, fmt.Errorf("parse integration URI %q: %s", s, why) }
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return bad("not printable ASCII")
		}
	}
	u := &URI{}
	rest, ok := strings.CutPrefix(s, "https://")
	if ok {
		u.Scheme, u.Port = "https", 443
	} else if rest, ok = strings.CutPrefix(s, "http://"); ok {
		u.Scheme, u.Port = "http", 80
	} else {
		return bad("the scheme is neither http nor https")
	}
	rest, _, _ = strings.Cut(rest, "#")
	authority := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, rest = rest[:i], rest[i:]
	} else {
		rest = ""
	}
	u.Path, u.Query, _ = strings.Cut(rest, "?")
	u.Host = authority
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		port, err := strconv.ParseUint(authority[i+1:], 10, 16)
		if err != nil || port == 0 {
			return bad("the port is not a number from 1 to 65535")
		}
		u.Host, u.Port = authority[:i], int(port)
	}
	if !validHost(u.Host) {
		return bad("no valid host")
	}
	return u, nil
}

// validHost says whether s is an IPv6 address in brackets, or has nothing that
// would end a host's name.
func validHost(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		address, err := netip.ParseAddr(inner)
		return ok && err == nil && address.Is6()
	}
	return s != "" && !strings.ContainsAny(s, ":@[]\\")
}

const stageVariable = "${stageVariables."

// HasStageVariable says whether Substitute would replace something.
func HasStageVariable(s string) bool { return strings.Contains(s, stageVariable) }

// Substitute replaces each "${stageVariables.name}" by the variable's value. A
// variable that is not defined is an error.
func Substitute(s string, variables map[string]string) (string, error) {
	if !HasStageVariable(s) {
		return s, nil
	}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, stageVariable)
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", fmt.Errorf("substitute stage variables: no closing brace after %q", stageVariable+name)
		}
		value, ok := variables[name]
		if !ok {
			return "", fmt.Errorf("substitute stage variables: %q is not defined", name)
		}
		out.WriteString(value)
		s = rest
	}
}

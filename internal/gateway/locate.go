package gateway

import (
	"net"
	"net/netip"
	"strings"
)

const defaultStage = "$default"

// hostname is a Host header without port, in lower case.
func hostname(host string) string {
	if strings.Contains(host, ":") {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// apiOfHost finds the API that a host name names:
// "{api}.execute-api.localhost" or AWS's own form.
func apiOfHost(host, region string) (api string, ok bool) {
	if name, _, _ := strings.Cut(host, ":"); name != "" { // mostly it is written as it is kept
		if api, ok = apiOfName(name, region); ok && isLower(api) {
			return api, true
		}
	}
	return apiOfName(hostname(host), region)
}

func apiOfName(name, region string) (api string, ok bool) {
	api, rest, ok := strings.Cut(name, ".execute-api.")
	if !ok || api == "" || strings.Contains(api, ".") {
		return "", false
	}
	if rest == "localhost" {
		return api, true
	}
	switch of, domain, _ := strings.Cut(rest, "."); {
	case of != region:
	case domain == "amazonaws.com", domain == "amazonaws.com.cn", domain == "localhost":
		return api, true
	}
	return "", false
}

// isLower tells whether a text has no capital letters.
func isLower(s string) bool {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return false
		}
	}
	return true
}

// apiOfPath splits the path form, "/restapis/{api}/{stage}/_user_request_/…".
// What is left begins with "/" or is empty.
func apiOfPath(path string) (api, stage, rest string, ok bool) {
	path, ok = strings.CutPrefix(path, "/restapis/")
	if !ok {
		return "", "", "", false
	}
	api, path, _ = strings.Cut(path, "/")
	stage, path, _ = strings.Cut(path, "/")
	if stage == "%24default" {
		stage = defaultStage
	}
	marker, rest := splitStage(path)
	return api, stage, rest, marker == "_user_request_" && api != "" && stage != ""
}

// mayUsePathForm tells whether a Host header may come with the path form. A
// page of a foreign site whose name was pointed at this machine must not reach
// private backends, so that only names of the machine itself will do.
func (g *Gateway) mayUsePathForm(host string) bool {
	name := hostname(host)
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	for _, h := range g.options.Hosts {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

// splitStage takes the first segment off a path. What is left begins with "/"
// or is empty.
func splitStage(path string) (stage, rest string) {
	path = strings.TrimPrefix(path, "/")
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

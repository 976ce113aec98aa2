package main

import "fmt"

// door is how a client comes in.
type door string

const (
	plain   door = "plain" // HTTP/1.1
	tlsDoor door = "tls"   // HTTP/1.1 over TLS
	h2      door = "h2"    // HTTP/2 over TLS
)

// kase is a load that all contestants get.
type kase struct {
	name   string
	answer string // the last segment of the path, by which the backend chooses
	routes int    // among which the request's is found
	body   int    // of a POST in bytes; 0 for GET
	door   door
	fresh  bool // a connection for each request
	rate   int  // requests a second; 0 for as many as are answered
}

var cases = []kase{
	{name: "small", answer: "small", routes: 1, door: plain},
	{name: "paced", answer: "small", routes: 1, door: plain, rate: 10_000},
	{name: "small-100", answer: "small", routes: 100, door: plain},
	{name: "small-5000", answer: "small", routes: 5000, door: plain},
	{name: "10k", answer: "10k", routes: 1, door: plain},
	{name: "1m", answer: "1m", routes: 1, door: plain},
	{name: "post10k", answer: "small", routes: 1, body: 10 << 10, door: plain},
	{name: "tls-kept", answer: "small", routes: 1, door: tlsDoor},
	{name: "tls-new", answer: "small", routes: 1, door: tlsDoor, fresh: true},
	{name: "tls-paced", answer: "small", routes: 1, door: tlsDoor, fresh: true, rate: 1000},
	{name: "h2", answer: "small", routes: 1, door: h2},
}

// routeCounts are the numbers of routes that each contestant has a door for.
func routeCounts() []int {
	var counts []int
	seen := map[int]bool{}
	for _, c := range cases {
		if !seen[c.routes] {
			seen[c.routes] = true
			counts = append(counts, c.routes)
		}
	}
	return counts
}

// idleCase is the measurement of memory.
const (
	idleCase        = "idle"
	idleConnections = 10_000
)

// The ports of contestants: a block of ten for each, of which the first ones
// are plain, by number of routes, and the ninth is with TLS.
const (
	firstPort = 7000
	tlsOffset = 8
)

func (s *subject) plainPort(routes int) int {
	for i, n := range routeCounts() {
		if n == routes {
			return s.port + i
		}
	}
	panic(fmt.Sprintf("no door for %d routes", routes))
}

func (s *subject) tlsPort() int { return s.port + tlsOffset }

// Package config is what the BGP process is told, and what it tells.
package config

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

const (
	// Port is where the process listens in API Gateway's VPC.
	Port = 179
	// MaxRoutes is how many routes a router may announce on a private virtual
	// interface; with more, AWS takes the session down ("Direct Connect
	// quotas").
	MaxRoutes = 100
	// HoldTime is AWS's: the longest silence of a router, unless it wants less.
	HoldTime = 90 * time.Second
)

// Config is the sessions that there should be.
type Config struct {
	RouterID netip.Addr `json:"routerId"` // the process's own address
	Sessions []Session  `json:"sessions"`
}

// Session is a virtual interface's.
type Session struct {
	Interface string     `json:"interface"` // dxvif-…
	Number    uint32     `json:"number"`    // of the interface; not zero
	Peer      netip.Addr `json:"peer"`      // the source of the router's connections
	LocalASN  uint32     `json:"localAsn"`
	PeerASN   uint32     `json:"peerAsn"`
	// NextHop is the address by which the router reaches the VPC.
	NextHop  netip.Addr     `json:"nextHop"`
	Announce []netip.Prefix `json:"announce"` // ascending
}

// Report is what is known of a session.
type Report struct {
	Interface string  `json:"interface"`
	Up        bool    `json:"up"`
	Cause     string  `json:"cause,omitempty"`  // why it is down
	Routes    []Route `json:"routes,omitempty"` // ascending; none if it is down
	// HoldSeconds is the hold time of a session that is up; zero: there is none.
	HoldSeconds int `json:"holdSeconds,omitempty"`
}

// Route is a route that a router announces.
type Route struct {
	Prefix netip.Prefix `json:"prefix"`
	Length int          `json:"length"` // of the AS path
}

// Parse reads a configuration.
func Parse(raw json.RawMessage) (Config, error) {
	var c Config
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("parse BGP sessions: %w", err)
	}
	for _, s := range c.Sessions {
		if !s.Peer.Is4() || !s.NextHop.Is4() || s.Number == 0 || s.LocalASN == 0 || s.PeerASN == 0 {
			return c, fmt.Errorf("parse BGP sessions: that of %s has no number, address or ASN", s.Interface)
		}
	}
	return c, nil
}

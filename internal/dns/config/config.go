// Package config is what the resolver is given to answer from.
package config

import (
	"net/netip"
)

// Port is where the resolver's process listens in API Gateway's VPC.
const Port = 53

// Config is the names of one region. All names are in lower case and end with
// a dot.
type Config struct {
	// Askers tells the VPC (vpc-…) of a query by its source: the address of the
	// node that stands for the VPC.
	Askers map[netip.Addr]string `json:"askers"`
	// Public are the zones that are seen from everywhere.
	Public []Zone `json:"public"`
	// VPCs are the zones that only one VPC sees, by its id.
	VPCs map[string][]Zone `json:"vpcs"`
}

// Zone is a domain and all that is known in it.
type Zone struct {
	Name string `json:"name"`
	// Negative is for how long a name may be taken not to exist, in seconds.
	Negative uint32 `json:"negative"`
	// Off is why nothing in the zone is answered; empty if it is.
	Off string `json:"off,omitempty"`
	// Outside: what is not here may exist on the internet. Hint is why it may be
	// missed here.
	Outside bool   `json:"outside,omitempty"`
	Hint    string `json:"hint,omitempty"`
	// Names are by owner name. "*." before a name stands for all others under
	// it, as in RFC 4592.
	Names map[string][]RRSet `json:"names"`
}

// RRSet is the records of one type that a name has.
type RRSet struct {
	Type  string `json:"type"`            // "A", "AAAA", "CNAME", "PTR" or "SRV"
	TTL   uint32 `json:"ttl"`             // seconds
	Limit int    `json:"limit,omitempty"` // so many, chosen by chance; zero: all
	// Data are addresses, names, or "priority weight port name"; of several
	// addresses with spaces between them all are given or none.
	Data []string `json:"data"`
}

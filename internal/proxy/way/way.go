// Package way holds the addresses by which a proxy reaches a backend: plain
// data, compiled by the control plane.
package way

import (
	"net/netip"
	"strconv"
)

// Upstream is the way through a VPC link to one port of one load balancer, or
// to the instances of a Cloud Map service.
type Upstream struct {
	Key     string `json:"key"`
	Link    string `json:"link"`    // the VPC link's id
	Version int    `json:"version"` // 1 (PrivateLink) or 2 (VPC-to-VPC NAT)
	// Cause, if set, says why the way can't be used now: the link is not
	// AVAILABLE, or the load balancer is gone. No address is given then.
	Cause string `json:"cause,omitempty"`
	// Layer is what Cause is of, such as "no-healthy-target"; empty for the
	// link itself.
	Layer string `json:"layer,omitempty"`
	// LoadBalancer is the ARN of the load balancer that is reached, for logs.
	LoadBalancer string `json:"loadBalancer,omitempty"`
	// Sources are the addresses to bind to, in API Gateway's VPC: a version 2
	// link has one a subnet, and a packet sent from it appears in the
	// customer's VPC. Empty for version 1: any address will do.
	Sources []Source `json:"sources,omitempty"`
	// Destinations are the addresses to dial. Version 1: the interface
	// endpoint's, in API Gateway's VPC. Version 2: the load balancer's nodes,
	// or a service's healthy instances, in the customer's VPC. A balancer's
	// zone without a healthy target is left out, as AWS leaves it out of the
	// balancer's DNS name, unless all are.
	Destinations []Destination `json:"destinations,omitempty"`
	// Fingerprint changes with everything that may forbid what was allowed. A
	// connection that was opened under another one is not used for a further
	// request.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Source is a local address.
type Source struct {
	Zone    string     `json:"zone"`
	Address netip.Addr `json:"address"`
}

// Destination is a remote address and port.
type Destination struct {
	Zone    string         `json:"zone"`
	Address netip.AddrPort `json:"address"`
}

// Key names the way through a link to a port of a load balancer.
// Version 1 links lead to one balancer only and leave it empty.
func Key(link, loadBalancer string, port int) string {
	if loadBalancer == "" {
		return link + ":" + strconv.Itoa(port)
	}
	return link + "/" + loadBalancer + ":" + strconv.Itoa(port)
}

// Package config holds the compiled configuration of one node of an
// Application Load Balancer: what the node's process serves. It is plain data
// that travels as JSON; references are resolved, so that the process looks
// nothing up.
//
// A balancer has a node in each of its zones: one ENI, one namespace, one
// process. All nodes of a balancer serve the same listeners; they differ in
// their ENI and, with cross-zone load balancing off, in their targets.
package config

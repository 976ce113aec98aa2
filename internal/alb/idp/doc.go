// Package idp is what a node of an Application Load Balancer has to do with
// identity providers: it asks their endpoints and judges their tokens. What it
// reads comes from strangers, the answers of providers included, and is bounded
// in size and time.
package idp

// Package vpc holds what several services and controllers do to private
// networks inside a transaction: VPCs, subnets, addresses, network interfaces,
// security groups, and both sides of PrivateLink. It also knows API Gateway's
// own account and network in each region.
//
// Errors that a client should see are *wire.Error with AWS's code and message.
package vpc

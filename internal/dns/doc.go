// Package dns is the resolver's process: it answers the names of every VPC from
// compiled configuration. It parses the bytes of strangers and has no
// privileges.
package dns

//go:build !race

package http1

// spoils: see the other one.
const spoils = false

//go:build !race

package http1

// spoils: see texts_race.go.
const spoils = false

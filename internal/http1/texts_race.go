//go:build race

package http1

// spoils tells whether Texts.Reset spoils its memory instead of using it again:
// tests with the race detector so show who keeps a string for longer than its
// message, which is then no text, and a race if somebody reads it meanwhile.
const spoils = true

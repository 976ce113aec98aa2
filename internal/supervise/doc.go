// Package supervise keeps processes running that have no privileges: each a
// role of this very binary, as a user of its own, without capabilities, never
// to gain any, in a session of its own, with its listening sockets handed to
// it, in the network namespace that it is to speak from.
//
// A process survives the death of its supervisor. The next supervisor finds it
// by a file that names its pid and start time, takes copies of its listening
// sockets, and watches it on; unless it is of another build, was started with
// other arguments, or is in another namespace, when it is replaced.
package supervise

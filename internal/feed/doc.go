// Package feed carries compiled configuration from the control process to the
// processes that put it in force, and requests between them, over a Unix
// socket.
//
// A message is JSON behind its length in four bytes, big-endian. A subscriber
// says hello with its role. The server then sends it the whole configuration
// of that role whenever it changes, only ever the latest, and the subscriber
// acknowledges the revision that it has applied, or says why it could not.
// Besides, either side may send requests, which the other answers in any
// order.
//
// A slow or stopped subscriber delays nobody else. A subscriber that loses the
// server keeps what it has and connects again for ever.
package feed

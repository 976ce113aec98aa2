// Package node makes the machine be what the compiled tables say: it owns the
// fabric namespace, the namespaces and devices of ENIs, and the packet
// program's maps, and it answers the commands of the machine's root over a
// local socket. It is the part of Isthmus that is root.
//
// The fabric is a network namespace that holds the host side of every ENI's
// veth pair, named after the ENI's number (eni12), and nothing else. It has no
// addresses and forwards nothing, so that a packet that the packet program
// does not redirect goes nowhere.
//
// What is real is compared with what is wanted, and only the difference is
// changed: applying twice changes nothing, and a node that starts adopts what
// a killed one left, so that established connections go on.
package node

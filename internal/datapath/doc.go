// Package datapath brings the packet program and its tables into the kernel
// and keeps them there: pinned on a bpffs, so that packets flow whether or not
// a process of Isthmus runs.
//
// What it writes into the tables is made by the compiler (package tables); it
// applies it as a difference. What the program writes, flows and drop
// counters, it reads; and it ends flows that are over (Expire).
//
// A directory of pins looks like this:
//
//	schema       the layout of the tables, as a number
//	epoch …      the tables, by name
//	program      the packet program
//	links/7      its attachment to the device with index 7
//
// It appears at once, complete, by a rename; a newer program takes the place
// of an older one by an update of each link. Tables of another layout are
// refused (SchemaError).
package datapath

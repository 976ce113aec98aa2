// Package resource holds the types of what is stored: the desired state that
// the services write, the controllers move along and the compiler reads. The
// types carry data only. One table of the store holds one type; Key is the
// row's key in it.
package resource

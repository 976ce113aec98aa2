// Package bgp is the process that speaks BGP with customers' routers on
// virtual interfaces of AWS Direct Connect: it announces the ranges of VPCs and
// reports what it learns. The routers' connections reach it from an address
// that stands for one virtual interface alone, which is how it tells them
// apart; every interface has routes of its own, in a VRF.
package bgp

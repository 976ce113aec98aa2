package bpf

import "fmt"

// Why a packet was not forwarded; types.h says when each holds.
const (
	DropNone                = dpDropReasonDROP_NONE
	DropMalformed           = dpDropReasonDROP_MALFORMED
	DropUnsupportedProtocol = dpDropReasonDROP_UNSUPPORTED_PROTOCOL
	DropFragment            = dpDropReasonDROP_FRAGMENT
	DropSpoofed             = dpDropReasonDROP_SPOOFED
	DropSGEgress            = dpDropReasonDROP_SG_EGRESS
	DropNACL                = dpDropReasonDROP_NACL
	DropNoRoute             = dpDropReasonDROP_NO_ROUTE
	DropBlackhole           = dpDropReasonDROP_BLACKHOLE
	DropNoPublicAddress     = dpDropReasonDROP_NO_PUBLIC_ADDRESS
	DropNoAddress           = dpDropReasonDROP_NO_ADDRESS
	DropNoDevice            = dpDropReasonDROP_NO_DEVICE
	DropNotAccepted         = dpDropReasonDROP_NOT_ACCEPTED
	DropSGIngress           = dpDropReasonDROP_SG_INGRESS
	DropNoListener          = dpDropReasonDROP_NO_LISTENER
	DropNoHealthyTarget     = dpDropReasonDROP_NO_HEALTHY_TARGET
	DropHairpin             = dpDropReasonDROP_HAIRPIN
	DropPortExhausted       = dpDropReasonDROP_PORT_EXHAUSTED
	DropTableFull           = dpDropReasonDROP_TABLE_FULL
	DropIdle                = dpDropReasonDROP_IDLE
	DropUnrelated           = dpDropReasonDROP_UNRELATED
	DropTooManyHops         = dpDropReasonDROP_TOO_MANY_HOPS
	DropReasons             = dpDropReasonDROP_REASONS // how many there are
)

var dropReasons = [DropReasons]string{
	DropNone:                "forwarded",
	DropMalformed:           "malformed",
	DropUnsupportedProtocol: "unsupported-protocol",
	DropFragment:            "fragment",
	DropSpoofed:             "spoofed",
	DropSGEgress:            "sg-egress",
	DropNACL:                "nacl",
	DropNoRoute:             "no-route",
	DropBlackhole:           "blackhole",
	DropNoPublicAddress:     "no-public-address",
	DropNoAddress:           "no-address",
	DropNoDevice:            "no-device",
	DropNotAccepted:         "not-accepted",
	DropSGIngress:           "sg-ingress",
	DropNoListener:          "no-listener",
	DropNoHealthyTarget:     "no-healthy-target",
	DropHairpin:             "hairpin",
	DropPortExhausted:       "port-exhausted",
	DropTableFull:           "table-full",
	DropIdle:                "idle",
	DropUnrelated:           "unrelated",
	DropTooManyHops:         "too-many-hops",
}

// String returns the word by which a reason is known everywhere: the label of
// its counter, the word in a trace, the cause in a log.
func (r dpDropReason) String() string {
	if int(r) < len(dropReasons) {
		return dropReasons[r]
	}
	return fmt.Sprintf("drop-reason-%d", uint32(r))
}

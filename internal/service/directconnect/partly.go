package directconnect

// Partly says what of the supported operations is refused, or has no effect.
var Partly = map[string]string{
	"CreateConnection":                 "no link aggregation groups, no MACsec; the bandwidth limits nothing",
	"CreatePrivateVirtualInterface":    "on virtual private gateways, over IPv4, without authKey and SiteLink",
	"UpdateVirtualInterfaceAttributes": "no SiteLink",
}

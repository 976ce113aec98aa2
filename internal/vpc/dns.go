package vpc

import (
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
)

// DNSEntry is a name of an endpoint and the hosted zone that it is in.
type DNSEntry struct {
	Name       string
	HostedZone string
}

// EndpointDNS returns the names of an endpoint: the regional one, one for each
// of the zones in which it has an ENI, and the private ones.
func EndpointDNS(e *resource.VPCEndpoint, zones []string) []DNSEntry {
	hosted := endpointHostedZones[e.Region]
	entries := []DNSEntry{{e.Name(), hosted}}
	for _, z := range zones {
		entries = append(entries, DNSEntry{e.ZonalName(z), hosted})
	}
	if e.PrivateDNS {
		// AWS associates a private hosted zone with the VPC for each endpoint.
		zone := "Z" + strings.ToUpper(strings.TrimPrefix(StableID("zone", e.ID), "zone-"))
		for _, n := range privateNames(e.AWS, e.Region) {
			entries = append(entries, DNSEntry{Name: n, HostedZone: zone})
		}
	}
	return entries
}

// privateNames are the names of an AWS service that an endpoint with private
// DNS answers to inside its VPC.
func privateNames(service, region string) []string {
	name := resource.AWSDomain(service, region)
	return []string{name, "*." + name}
}

// endpointHostedZones are the ids of AWS's hosted zones of REGION.vpce.amazonaws.com.
var endpointHostedZones = map[string]string{
	"af-south-1":     "Z09302161J80N9A7UTP7U",
	"ap-east-1":      "Z2LIHJ7PKBEMWN",
	"ap-northeast-1": "Z2E726K9Y6RL4W",
	"ap-northeast-2": "Z27UANNT0PRK1T",
	"ap-northeast-3": "Z376B5OMM2JZL2",
	"ap-south-1":     "Z2KVTB3ZLFM7JR",
	"ap-south-2":     "Z0952991RWSF5AHIQDIY",
	"ap-southeast-1": "Z18LLCSTV4NVNL",
	"ap-southeast-2": "ZDK2GCRPAFKGO",
	"ap-southeast-3": "Z03881013RZ9BYYZO8N5W",
	"ap-southeast-4": "Z07508191CO1RNBX3X3AU",
	"ca-central-1":   "ZRCXCF510Y6P9",
	"eu-central-1":   "Z273ZU8SZ5RJPC",
	"eu-central-2":   "Z045369019J4FUQ4S272E",
	"eu-north-1":     "Z3OWWK6JFDEDGC",
	"eu-south-1":     "Z2A5FDNRLY7KZG",
	"eu-south-2":     "Z014396544HENR57XQCJ",
	"eu-west-1":      "Z38GZ743OKFT7T",
	"eu-west-2":      "Z7K1066E3PUKB",
	"eu-west-3":      "Z1DWHTMFP0WECP",
	"me-central-1":   "Z07122992YCEUCB9A9570",
	"me-south-1":     "Z3B95P3VBGEQGY",
	"sa-east-1":      "Z2LXUWEVLCVZIB",
	"us-east-1":      "Z7HUB22UULQXV",
	"us-east-2":      "ZC8PG0KIFKBRI",
	"us-gov-east-1":  "Z2MU5TEIGO9WXB",
	"us-gov-west-1":  "Z12529ZODG2B6H",
	"us-west-1":      "Z12I86A8N7VCZO",
	"us-west-2":      "Z1YSA3EXCYUU9Z",
}

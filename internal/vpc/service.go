package vpc

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// ServiceRange is the range of API Gateway's VPC in every region.
var ServiceRange = netip.MustParsePrefix("100.64.0.0/16")

// serviceAccounts are API Gateway's accounts, from "Log custom domain name
// creation in CloudTrail" of its developer guide.
var serviceAccounts = map[string]string{
	"ap-east-1":      "174803364771",
	"ap-northeast-1": "969236854626",
	"ap-northeast-2": "020402002396",
	"ap-northeast-3": "360671645888",
	"ap-south-1":     "507069717855",
	"ap-south-2":     "644042651268",
	"ap-southeast-1": "195145609632",
	"ap-southeast-2": "798376113853",
	"ap-southeast-3": "652364314486",
	"ap-southeast-4": "849137399833",
	"ca-central-1":   "796887884028",
	"eu-central-1":   "474240146802",
	"eu-central-2":   "166639821150",
	"eu-north-1":     "394634713161",
	"eu-south-1":     "753362059629",
	"eu-south-2":     "359345898052",
	"eu-west-1":      "631144002099",
	"eu-west-2":      "544388816663",
	"eu-west-3":      "061510835048",
	"me-central-1":   "614065512851",
	"me-south-1":     "855739686837",
	"sa-east-1":      "287228555773",
	"us-east-1":      "392220576650",
	"us-east-2":      "718770453195",
	"us-west-1":      "968246515281",
	"us-west-2":      "109351309407",
}

// ServiceAccount returns API Gateway's account in a region: 12 digits, which
// are AWS's own where AWS has published them.
func ServiceAccount(region string) string {
	if a, ok := serviceAccounts[region]; ok {
		return a
	}
	id := StableID("account", region)
	return fmt.Sprintf("%012d", binary.BigEndian.Uint64([]byte(id[len(id)-8:]))%1_000_000_000_000)
}

// Service is API Gateway's network in one region.
type Service struct {
	VPC     *resource.VPC
	Subnets []*resource.Subnet         // one a zone, in the order of Zones
	Gateway *resource.NetworkInterface // of the gateway process
	Health  *resource.NetworkInterface // of the health checker
	// Resolver is of the process that answers names.
	Resolver *resource.NetworkInterface
	BGP      *resource.NetworkInterface // of the process that speaks BGP
}

// The parts of the service network have ids that follow from the region, so
// that finding them takes no search.
func serviceID(prefix, region, part string) string {
	return StableID(prefix, "service", region, part)
}

// ServiceVPC returns API Gateway's network in a region; false if
// EnsureServiceVPC has not made it yet.
func ServiceVPC(r store.Reader, region string) (Service, bool) {
	var s Service
	var ok bool
	if s.VPC, ok = store.VPCs.Get(r, serviceID("vpc", region, "")); !ok {
		return Service{}, false
	}
	for _, z := range Zones(region) {
		subnet, ok := store.Subnets.Get(r, serviceID("subnet", region, z.Name))
		if !ok {
			return Service{}, false
		}
		s.Subnets = append(s.Subnets, subnet)
	}
	for part, eni := range map[string]**resource.NetworkInterface{"gateway": &s.Gateway, "health": &s.Health, "dns": &s.Resolver, "bgp": &s.BGP} {
		if *eni, ok = store.NetworkInterfaces.Get(r, serviceID("eni", region, part)); !ok {
			return Service{}, false
		}
	}
	return s, true
}

// EnsureServiceVPC makes API Gateway's network in a region, unless it exists:
// the VPC, a subnet in each zone, the ENIs of Isthmus's own processes, and what
// private APIs, resolvers and virtual interfaces need.
func EnsureServiceVPC(tx *store.Tx, region string) error {
	network, ok := ServiceVPC(tx, region)
	if !ok {
		if err := makeServiceVPC(tx, region); err != nil {
			return fmt.Errorf("make service VPC of %s: %w", region, err)
		}
		network, _ = ServiceVPC(tx, region)
	}
	ensureResolverGroups(tx, network)
	ensureBGPGroups(tx, network)
	return ensureExecuteAPI(tx, region)
}

// makeServiceVPC makes what is missing: older versions made less.
func makeServiceVPC(tx *store.Tx, region string) error {
	account := ServiceAccount(region)
	v, ok := store.VPCs.Get(tx, serviceID("vpc", region, ""))
	if !ok {
		var err error
		if v, err = CreateVPC(tx, VPCSpec{
			ID: serviceID("vpc", region, ""), Account: account, Region: region, CIDR: ServiceRange,
			Tags: map[string]string{"Name": "isthmus"},
		}); err != nil {
			return err
		}
	}
	for i, z := range Zones(region) {
		id := serviceID("subnet", region, z.Name)
		if _, ok := store.Subnets.Get(tx, id); ok {
			continue
		}
		if _, err := CreateSubnet(tx, SubnetSpec{
			ID: id, Account: account, Region: region, VPC: v.ID, CIDR: serviceSubnet(i), Zone: z.Name,
		}); err != nil {
			return fmt.Errorf("make subnet in %s: %w", z.Name, err)
		}
	}
	for _, part := range []string{"gateway", "health", "dns", "bgp"} {
		id := serviceID("eni", region, part)
		if _, ok := store.NetworkInterfaces.Get(tx, id); ok {
			continue
		}
		if _, err := CreateInterface(tx, InterfaceSpec{
			ID: id, Account: account, Region: region, Subnet: serviceID("subnet", region, Zones(region)[0].Name), Groups: []string{v.DefaultGroup},
			Description: "Isthmus " + part, Requester: "isthmus", Owner: part,
			Attachment: &resource.Attachment{ID: serviceID("eni-attach", region, part)},
		}); err != nil {
			return fmt.Errorf("make interface of %s: %w", part, err)
		}
	}
	return nil
}

// serviceSubnet is the i-th quarter of ServiceRange: 16,379 addresses for ENIs.
func serviceSubnet(i int) netip.Prefix {
	b := ServiceRange.Addr().As4()
	b[2] = byte(i << 6)
	return netip.PrefixFrom(netip.AddrFrom4(b), 18)
}

// Regions returns the names of the regions in which API Gateway's account is
// known, sorted.
func Regions() []string { return slices.Sorted(maps.Keys(serviceAccounts)) }

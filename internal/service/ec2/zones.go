package ec2

import (
	"context"
	"slices"

	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// DescribeAvailabilityZones lists the zones of the caller's region.
func (s *Service) DescribeAvailabilityZones(ctx context.Context, in *ec2.DescribeAvailabilityZonesInput) (*ec2.DescribeAvailabilityZonesOutput, error) {
	region := callerOf(ctx).region
	var items []*ec2.AvailabilityZone
	for _, z := range vpc.Zones(region) {
		if len(in.ZoneNames) > 0 && !slices.Contains(in.ZoneNames, z.Name) || len(in.ZoneIds) > 0 && !slices.Contains(in.ZoneIds, z.ID) {
			continue
		}
		items = append(items, &ec2.AvailabilityZone{
			ZoneName:           wire.Ptr(z.Name),
			ZoneId:             wire.Ptr(z.ID),
			RegionName:         wire.Ptr(region),
			GroupName:          wire.Ptr(region + "-zg-1"),
			NetworkBorderGroup: wire.Ptr(region),
			OptInStatus:        wire.Ptr(ec2.AvailabilityZoneOptInStatusOptInNotRequired),
			State:              wire.Ptr(ec2.AvailabilityZoneStateAvailable),
			ZoneType:           wire.Ptr("availability-zone"),
		})
	}
	for _, name := range in.ZoneNames {
		if vpc.ZoneID(region, name) == "" {
			return nil, invalidValue("Invalid availability zone: [%s]", name)
		}
	}
	for _, id := range in.ZoneIds {
		if _, err := zoneOf(region, id); err != nil {
			return nil, invalidValue("Invalid availability zone-id: [%s]", id)
		}
	}
	page, _, err := zoneListing.apply(items, in.Filters, nil, nil)
	return &ec2.DescribeAvailabilityZonesOutput{AvailabilityZones: page}, err
}

var zoneListing = listing[*ec2.AvailabilityZone]{
	fields: fields[*ec2.AvailabilityZone]{
		"group-name":           func(z *ec2.AvailabilityZone) []string { return text(z.GroupName) },
		"opt-in-status":        func(z *ec2.AvailabilityZone) []string { return text(z.OptInStatus) },
		"region-name":          func(z *ec2.AvailabilityZone) []string { return text(z.RegionName) },
		"state":                func(z *ec2.AvailabilityZone) []string { return text(z.State) },
		"zone-id":              func(z *ec2.AvailabilityZone) []string { return text(z.ZoneId) },
		"zone-name":            func(z *ec2.AvailabilityZone) []string { return text(z.ZoneName) },
		"zone-type":            func(z *ec2.AvailabilityZone) []string { return text(z.ZoneType) },
		"network-border-group": func(z *ec2.AvailabilityZone) []string { return text(z.NetworkBorderGroup) },
		"message":              never[*ec2.AvailabilityZone],
		"parent-zone-id":       never[*ec2.AvailabilityZone],
		"parent-zone-name":     never[*ec2.AvailabilityZone],
	},
}

// DescribeRegions lists the regions that are known by name, and the caller's.
func (s *Service) DescribeRegions(ctx context.Context, in *ec2.DescribeRegionsInput) (*ec2.DescribeRegionsOutput, error) {
	names := sortedUnique(append(vpc.Regions(), callerOf(ctx).region))
	for _, name := range in.RegionNames {
		if !slices.Contains(names, name) {
			return nil, invalidValue("Invalid region names: [%s]", name)
		}
	}
	var items []*ec2.Region
	for _, name := range names {
		if len(in.RegionNames) > 0 && !slices.Contains(in.RegionNames, name) {
			continue
		}
		items = append(items, &ec2.Region{
			RegionName:  wire.Ptr(name),
			Endpoint:    wire.Ptr("ec2." + name + ".amazonaws.com"),
			OptInStatus: wire.Ptr(ec2.AvailabilityZoneOptInStatusOptInNotRequired),
		})
	}
	page, _, err := regionListing.apply(items, in.Filters, nil, nil)
	return &ec2.DescribeRegionsOutput{Regions: page}, err
}

var regionListing = listing[*ec2.Region]{
	fields: fields[*ec2.Region]{
		"endpoint":      func(r *ec2.Region) []string { return text(r.Endpoint) },
		"opt-in-status": func(r *ec2.Region) []string { return text(r.OptInStatus) },
		"region-name":   func(r *ec2.Region) []string { return text(r.RegionName) },
	},
}

// accountAttributes are the same for all accounts: there is no EC2-Classic and
// no default VPC, and the quotas are AWS's initial ones.
var accountAttributes = []struct{ name, value string }{
	{"supported-platforms", "VPC"},
	{"default-vpc", "none"},
	{"vpc-max-security-groups-per-interface", "5"},
	{"max-instances", "20"},
	{"max-elastic-ips", "5"},
	{"vpc-max-elastic-ips", "5"},
}

// DescribeAccountAttributes tells attributes of the caller's account.
func (s *Service) DescribeAccountAttributes(_ context.Context, in *ec2.DescribeAccountAttributesInput) (*ec2.DescribeAccountAttributesOutput, error) {
	out := &ec2.DescribeAccountAttributesOutput{}
	for _, a := range accountAttributes {
		if len(in.AttributeNames) == 0 || slices.Contains(in.AttributeNames, a.name) {
			out.AccountAttributes = append(out.AccountAttributes, &ec2.AccountAttribute{
				AttributeName:   wire.Ptr(a.name),
				AttributeValues: []*ec2.AccountAttributeValue{{AttributeValue: wire.Ptr(a.value)}},
			})
		}
	}
	return out, nil
}

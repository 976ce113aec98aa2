package vpc

import "strings"

// Zone is an availability zone.
type Zone struct {
	Name string // us-east-1a
	ID   string // use1-az1
}

// Zones returns the three zones of a region. Zone names mean the same zones in
// all accounts.
func Zones(region string) []Zone {
	numbers := []string{"1", "2", "3"}
	if region == "us-east-1" {
		// API Gateway offers no VPC links in use1-az3.
		numbers[2] = "4"
	}
	zones := make([]Zone, len(numbers))
	for i, n := range numbers {
		zones[i] = Zone{Name: region + string(rune('a'+i)), ID: shortRegion(region) + "-az" + n}
	}
	return zones
}

// ZoneID returns the id of the zone with this name in a region, empty if there
// is none.
func ZoneID(region, name string) string {
	for _, z := range Zones(region) {
		if z.Name == name {
			return z.ID
		}
	}
	return ""
}

// shortRegion abbreviates a region's name as zone ids do: us-east-1 is use1,
// ap-southeast-2 is apse2.
func shortRegion(region string) string {
	area, rest, _ := strings.Cut(region, "-")
	var b strings.Builder
	b.WriteString(area)
	for _, part := range strings.Split(rest, "-") {
		switch part {
		case "northeast", "northwest", "southeast", "southwest":
			b.WriteByte(part[0])
			b.WriteByte(part[5])
		case "":
		default:
			b.WriteByte(part[0])
		}
	}
	return b.String()
}

package vpc

import (
	"regexp"
	"slices"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
)

func TestZones(t *testing.T) {
	tests := []struct{ region, third, id string }{
		{"us-east-1", "us-east-1c", "use1-az4"},
		{"us-west-2", "us-west-2c", "usw2-az3"},
		{"ap-southeast-2", "ap-southeast-2c", "apse2-az3"},
		{"ap-northeast-1", "ap-northeast-1c", "apne1-az3"},
		{"eu-central-1", "eu-central-1c", "euc1-az3"},
		{"us-gov-west-1", "us-gov-west-1c", "usgw1-az3"},
		{"odd", "oddc", "odd-az3"},
	}
	for _, tt := range tests {
		zones := Zones(tt.region)
		if len(zones) != 3 || zones[2] != (Zone{tt.third, tt.id}) {
			t.Errorf("%s: got %v, want the third to be %s (%s)", tt.region, zones, tt.third, tt.id)
		}
		if got := ZoneID(tt.region, tt.third); got != tt.id {
			t.Errorf("ZoneID(%s) = %q, want %q", tt.third, got, tt.id)
		}
	}
	if got := ZoneID("us-east-1", "us-east-1z"); got != "" {
		t.Errorf("ZoneID of no zone = %q", got)
	}
}

func TestServiceAccount(t *testing.T) {
	if got := ServiceAccount("us-east-1"); got != "392220576650" {
		t.Errorf("us-east-1: got %s", got)
	}
	seen := map[string]string{}
	for _, region := range append(Regions(), "nowhere-1", "nowhere-2") {
		a := ServiceAccount(region)
		if !regexp.MustCompile(`^\d{12}$`).MatchString(a) {
			t.Errorf("%s: account %q is not 12 digits", region, a)
		}
		if other, ok := seen[a]; ok {
			t.Errorf("%s and %s have the same account", region, other)
		}
		seen[a] = region
	}
}

func TestIDs(t *testing.T) {
	form := regexp.MustCompile(`^vpce-svc-0[0-9a-f]{16}$`)
	if a, b := NewID("vpce-svc"), NewID("vpce-svc"); !form.MatchString(a) || a == b {
		t.Errorf("NewID: %s, %s", a, b)
	}
	if a, b := StableID("vpce-svc", "x", "y"), StableID("vpce-svc", "xy"); !form.MatchString(a) || a == b {
		t.Errorf("StableID: %s, %s", a, b)
	}
	if a, b := macAddress(1), macAddress(1<<24); a != "0e:15:00:00:00:01" || b != "0e:15:01:00:00:00" {
		t.Errorf("macAddress: %s, %s", a, b)
	}
}

func TestEndpointDNS(t *testing.T) {
	e := &resource.VPCEndpoint{
		Meta: resource.Meta{Region: "us-west-2"},
		ID:   "vpce-0ce90d01341533a5c", Service: "vpce-svc-0b62964bfd0edfb74", DNSSuffix: "ngbqfdnj",
	}
	want := []DNSEntry{
		{"vpce-0ce90d01341533a5c-ngbqfdnj.vpce-svc-0b62964bfd0edfb74.us-west-2.vpce.amazonaws.com", "Z1YSA3EXCYUU9Z"},
		{"vpce-0ce90d01341533a5c-ngbqfdnj-us-west-2a.vpce-svc-0b62964bfd0edfb74.us-west-2.vpce.amazonaws.com", "Z1YSA3EXCYUU9Z"},
	}
	if got := EndpointDNS(e, []string{"us-west-2a"}); !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestAllowed(t *testing.T) {
	tests := []struct {
		principal string
		want      bool
	}{
		{"*", true},
		{"arn:aws:iam::111122223333:root", true},
		{"arn:aws:iam::111122223333:role/deploy", true},
		{"arn:aws:iam::444455556666:root", false},
		{"111122223333", false},
		{"", false},
	}
	for _, tt := range tests {
		s := &resource.EndpointService{AllowedPrincipals: []string{tt.principal}}
		if got := Allowed(s, "111122223333"); got != tt.want {
			t.Errorf("%q: got %v", tt.principal, got)
		}
	}
	if Allowed(&resource.EndpointService{}, "111122223333") {
		t.Error("a service without principals is open")
	}
}

package resource

import (
	"maps"
	"net/netip"
	"testing"
)

const serviceARN = "arn:aws:servicediscovery:us-east-1:111111111111:service/srv-abc"

func TestParseCloudMapTarget(t *testing.T) {
	for uri, want := range map[string]map[string]string{
		serviceARN:                        {},
		serviceARN + "?":                  {},
		serviceARN + "?a=b":               {"a": "b"},
		serviceARN + "?a=b&c=d%26e&f=":    {"a": "b", "c": "d&e", "f": ""},
		serviceARN + "?a=b&a=c":           nil,
		serviceARN + "?=b":                nil,
		serviceARN + "?a=%":               nil,
		serviceARN + "/x":                 nil,
		serviceARN[:len(serviceARN)-7]:    nil,
		"x" + serviceARN:                  nil,
		"http://" + serviceARN:            nil,
		"${stageVariables.x}":             nil,
		"":                                nil,
		serviceARN + "?a=b;c=d":           nil,
		serviceARN + "\n":                 nil,
		serviceARN + "?AWS_INSTANCE_X=%0": nil,
	} {
		got, ok := ParseCloudMapTarget(uri)
		if ok != (want != nil) || !maps.Equal(got.Attributes, want) || ok && (got.Account != "111111111111" || got.Region != "us-east-1" || got.Service != "srv-abc") {
			t.Errorf("%q: %+v, %v; want attributes %v", uri, got, ok, want)
		}
	}
}

func FuzzParseCloudMapTarget(f *testing.F) {
	f.Add(serviceARN + "?a=b&c=d%26e")
	f.Fuzz(func(t *testing.T, uri string) {
		target, ok := ParseCloudMapTarget(uri)
		if !ok {
			return
		}
		s := CloudMapService{Meta: Meta{Account: target.Account, Region: target.Region}, ID: target.Service}
		if arn := s.ARN(); len(uri) < len(arn) || uri[:len(arn)] != arn {
			t.Errorf("%q is read as %s", uri, arn)
		}
	})
}

func TestInstanceAddress(t *testing.T) {
	for _, c := range []struct {
		ip, port string
		want     netip.AddrPort
	}{
		{"10.0.0.1", "80", netip.MustParseAddrPort("10.0.0.1:80")},
		{"10.0.0.1", "", netip.AddrPort{}},
		{"", "80", netip.AddrPort{}},
		{"10.0.0.1", "0", netip.AddrPort{}},
		{"::1", "80", netip.AddrPort{}},
		{"[::1]", "80", netip.AddrPort{}},
	} {
		i := CloudMapInstance{Attributes: map[string]string{AttributeInstanceIPv4: c.ip, AttributeInstancePort: c.port}}
		if got, ok := i.Address(); ok != c.want.IsValid() || ok && got != c.want {
			t.Errorf("%q %q: %v, %v", c.ip, c.port, got, ok)
		}
	}
}

func TestOperationsSortByTime(t *testing.T) {
	older := &CloudMapOperation{Account: "1", Region: "r", ID: "zzz-k9302yzd"}
	newer := &CloudMapOperation{Account: "1", Region: "r", ID: "aaa-k9302yze"}
	if older.Key() >= newer.Key() {
		t.Errorf("%s does not come before %s", older.Key(), newer.Key())
	}
}

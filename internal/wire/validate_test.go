package wire

import (
	"reflect"
	"strings"
	"testing"
)

const validateModel = `{
"metadata": {"protocol": "PROTOCOL", "validationCode": "ValidationError"},
"operations": {"DoIt": {"http": {"method": "POST", "requestUri": "/"}, "input": {"shape": "In"}}},
"shapes": {
	"In": {"type": "structure", "required": ["Name", "Ports"], "members": {
		"Name": {"shape": "Name", "locationName": "theName"},
		"Ports": {"shape": "Ports"},
		"Tags": {"shape": "Tags"},
		"Names": {"shape": "Names"},
		"Map": {"shape": "Map"},
		"Count": {"shape": "Count"}}},
	"Name": {"type": "string", "min": 1, "max": 3, "pattern": "[a-z]*"},
	"Names": {"type": "list", "member": {"shape": "Name"}, "max": 2},
	"Count": {"type": "integer", "min": 5, "max": 10},
	"Ports": {"type": "list", "member": {"shape": "Port"}},
	"Port": {"type": "integer", "min": 1, "max": 65535},
	"Tags": {"type": "list", "max": 2, "member": {"shape": "Tag"}},
	"Tag": {"type": "structure", "required": ["Key"], "members": {"Key": {"shape": "Key"}}},
	"Key": {"type": "string", "enum": ["a", "b"]},
	"Map": {"type": "map", "key": {"shape": "Name"}, "value": {"shape": "Key"}}
}}`

type validateTag struct{ Key *string }

type validateIn struct {
	Name  *string
	Ports []int64
	Tags  []*validateTag
	Names []string
	Map   map[string]string
	Count *int64
}

func compileValidate(t *testing.T, protocol string) *operation {
	t.Helper()
	a, err := compile(API{Name: "test", Model: []byte(strings.Replace(validateModel, "PROTOCOL", protocol, 1)),
		Methods: map[string]Method{"DoIt": {in: reflect.TypeFor[validateIn](), out: reflect.TypeFor[none]()}}})
	if err != nil {
		t.Fatal(err)
	}
	return a.operations["DoIt"]
}

func TestValidate(t *testing.T) {
	ok := func() validateIn { return validateIn{Name: Ptr("abc"), Ports: []int64{}} }
	with := func(change func(*validateIn)) validateIn {
		in := ok()
		change(&in)
		return in
	}
	const nameLimits = "[Member must have length less than or equal to 3, Member must have length greater than or equal to 1, " +
		"Member must satisfy regular expression pattern: [a-z]*]"
	tests := []struct {
		in   validateIn
		want string // without "N validation errors detected: "
	}{
		{ok(), ""},
		{with(func(in *validateIn) { in.Name = Ptr("äöü"[:2]) }),
			"Value 'ä' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]*"},
		{with(func(in *validateIn) { in.Name = Ptr("a\nb") }),
			"Value 'a\nb' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]*"},
		{with(func(in *validateIn) { in.Name = nil }),
			"Value null at 'name' failed to satisfy constraint: Member must not be null"},
		{with(func(in *validateIn) { in.Name = Ptr("") }),
			"Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{with(func(in *validateIn) { in.Count = Ptr[int64](4) }),
			"Value '4' at 'count' failed to satisfy constraint: Member must have value greater than or equal to 5"},
		{with(func(in *validateIn) { in.Ports = []int64{1, 0} }),
			"Value '[1, 0]' at 'ports' failed to satisfy constraint: Member must satisfy constraint: " +
				"[Member must have value less than or equal to 65535, Member must have value greater than or equal to 1]"},
		{with(func(in *validateIn) { in.Names = []string{"a", "ABCD"} }),
			"Value '[a, ABCD]' at 'names' failed to satisfy constraint: Member must satisfy constraint: " + nameLimits},
		{with(func(in *validateIn) { in.Names = []string{"a", "b", "c"} }),
			"Value '[a, b, c]' at 'names' failed to satisfy constraint: Member must have length less than or equal to 2"},
		{with(func(in *validateIn) { in.Tags = []*validateTag{{Key: Ptr("a")}, {Key: Ptr("x")}} }),
			"Value 'x' at 'tags.2.member.key' failed to satisfy constraint: Member must satisfy enum value set: [a, b]"},
		{with(func(in *validateIn) { in.Tags = []*validateTag{{Ptr("a")}, {Ptr("b")}, {Ptr("a")}} }),
			"Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 2"},
		{with(func(in *validateIn) { in.Map = map[string]string{"A": "a"} }),
			"Value '{A=a}' at 'map' failed to satisfy constraint: Map keys must satisfy constraint: " + nameLimits},
		{with(func(in *validateIn) { in.Map = map[string]string{"a": "x"} }),
			"Value '{a=x}' at 'map' failed to satisfy constraint: Map value must satisfy constraint: [Member must satisfy enum value set: [a, b]]"},
		{validateIn{Tags: []*validateTag{{}}},
			"Value null at 'name' failed to satisfy constraint: Member must not be null; " +
				"Value null at 'ports' failed to satisfy constraint: Member must not be null; " +
				"Value null at 'tags.1.member.key' failed to satisfy constraint: Member must not be null"},
	}
	op := compileValidate(t, "query")
	for _, tt := range tests {
		got := ""
		if err := validate(op, reflect.ValueOf(tt.in)); err != nil {
			count, rest, _ := strings.Cut(err.Message, " detected: ")
			got = rest
			want := "1 validation error"
			if n := strings.Count(rest, ";") + 1; n > 1 {
				want = "3 validation errors"
			}
			if count != want || err.Code != "ValidationError" || err.Status != 400 {
				t.Errorf("got %v with status %d", err, err.Status)
			}
		}
		if got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

// TestValidateEC2 checks EC2's own words and names.
func TestValidateEC2(t *testing.T) {
	op := compileValidate(t, "ec2")
	err := validate(op, reflect.ValueOf(validateIn{Ports: []int64{}}))
	if err == nil || err.Error() != "MissingParameter: The request must contain the parameter TheName" {
		t.Errorf("got %v", err)
	}
	err = validate(op, reflect.ValueOf(validateIn{Name: Ptr("a"), Ports: []int64{}, Count: Ptr[int64](11)}))
	if err == nil || err.Error() != "InvalidParameterValue: Value ( 11 ) for parameter count is invalid. Expecting a value less than 10." {
		t.Errorf("got %v", err)
	}
}

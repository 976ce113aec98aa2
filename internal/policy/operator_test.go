package policy

import (
	"encoding/json"
	"fmt"
	"testing"
)

// holds reports whether a Condition element allows a request with the keys.
func holds(t *testing.T, condition string, keys map[string][]string) bool {
	t.Helper()
	return allows(t, "Allow", condition, keys)
}

// allows makes a policy of one statement with the condition, preceded by one
// that allows everything if the effect is Deny, and asks it.
func allows(t *testing.T, effect, condition string, keys map[string][]string) bool {
	t.Helper()
	statement := fmt.Sprintf(`{"Effect":%q,"Principal":"*","Action":"*","Resource":"*","Condition":%s}`, effect, condition)
	if effect == "Deny" {
		statement = `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},` + statement
	}
	p, err := Parse([]byte(`{"Version":"2012-10-17","Statement":[`+statement+`]}`), Options{})
	if err != nil {
		t.Fatalf("condition %s: %v", condition, err)
	}
	return p.Evaluate(&Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Context: NewContext(keys)}).Allowed()
}

type keys = map[string][]string

// TestOperators has each operator once for every way it can turn out. A nil
// value is a key that is not in the request.
func TestOperators(t *testing.T) {
	for _, test := range []struct {
		operator string
		policy   any
		request  []string
		want     bool
	}{
		{"StringEquals", "iamuser-admin", []string{"iamuser-admin"}, true},
		{"StringEquals", "iamuser-admin", []string{"IAMuser-admin"}, false},
		{"StringEquals", []string{"a", "b"}, []string{"b"}, true},
		{"StringEquals", "a*", []string{"ab"}, false},
		{"StringEquals", "a*", []string{"a*"}, true},
		{"StringEquals", "a", nil, false},
		{"StringEquals", []string{}, []string{"a"}, false},
		{"StringEquals", "", []string{""}, true},
		{"StringEquals", 12, []string{"12"}, true},
		{"StringNotEquals", "a", []string{"b"}, true},
		{"StringNotEquals", []string{"a", "b"}, []string{"b"}, false}, // NOR
		{"StringNotEquals", []string{"a", "b"}, []string{"c"}, true},
		{"StringNotEquals", "a", nil, true},
		{"StringNotEquals", []string{}, []string{"a"}, true},
		{"StringEqualsIgnoreCase", "Admin", []string{"aDMIN"}, true},
		{"StringEqualsIgnoreCase", "Admin", []string{"Admins"}, false},
		{"StringEqualsIgnoreCase", "Admin", nil, false},
		{"StringNotEqualsIgnoreCase", "Admin", []string{"aDMIN"}, false},
		{"StringNotEqualsIgnoreCase", "Admin", []string{"user"}, true},
		{"StringNotEqualsIgnoreCase", "Admin", nil, true},
		{"StringLike", []string{"t1.*", "t2.*", "m3.*"}, []string{"m3.large"}, true},
		{"StringLike", []string{"t1.*", "t2.*", "m3.*"}, []string{"m4.large"}, false},
		{"StringLike", "a?c", []string{"abc"}, true},
		{"StringLike", "a?c", []string{"ac"}, false},
		{"StringLike", "a?c", []string{"aèc"}, true},
		{"StringLike", "A*", []string{"abc"}, false},
		{"StringLike", "*", nil, false},
		{"StringNotLike", "a*", []string{"abc"}, false},
		{"StringNotLike", "a*", []string{"bcd"}, true},
		{"StringNotLike", "a*", nil, true},
		{"StringLike", "arn:aws:someservice:*:111122223333:finance/*",
			[]string{"arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"}, true},

		{"NumericEquals", 10, []string{"10.0"}, true},
		{"NumericEquals", "9007199254740993", []string{"9007199254740992"}, false},
		{"NumericEquals", 10, []string{"ten"}, false},
		{"NumericEquals", 10, nil, false},
		{"NumericNotEquals", 10, []string{"11"}, true},
		{"NumericNotEquals", 10, []string{"+10"}, false},
		{"NumericNotEquals", 10, nil, true},
		{"NumericLessThan", "10", []string{"9.99"}, true},
		{"NumericLessThan", "10", []string{"10"}, false},
		{"NumericLessThan", "10", nil, false},
		{"NumericLessThanEquals", "10", []string{"10"}, true},
		{"NumericLessThanEquals", "10", []string{"10.01"}, false},
		{"NumericGreaterThan", "-1", []string{"0"}, true},
		{"NumericGreaterThan", "-1", []string{"-1"}, false},
		{"NumericGreaterThanEquals", "-1", []string{"-1"}, true},
		{"NumericGreaterThanEquals", "-1", []string{"-1.5"}, false},

		{"DateEquals", "2020-01-01T00:00:01Z", []string{"1577836801"}, true},
		{"DateEquals", "2020-01-01", []string{"2020-01-01T01:00+01:00"}, true},
		{"DateEquals", "2020", []string{"2020-01-01T00:00:00Z"}, true},
		{"DateEquals", "2020-01-01", []string{"20200101T000000Z"}, true},
		{"DateEquals", "2020-01-01", []string{"yesterday"}, false},
		{"DateEquals", "2020-01-01", nil, false},
		{"DateNotEquals", "2020-01-01", []string{"2020-01-02"}, true},
		{"DateNotEquals", "2020-01-01", []string{"2020-01-01T00:00Z"}, false},
		{"DateNotEquals", "2020-01-01", nil, true},
		{"DateGreaterThan", "2020-01-01T00:00:01Z", []string{"2020-01-01T00:00:01.5Z"}, true},
		{"DateGreaterThan", "2020-01-01T00:00:01Z", []string{"2020-01-01T00:00:01Z"}, false},
		{"DateGreaterThanEquals", "2020-01-01T00:00:01Z", []string{"2020-01-01T00:00:01Z"}, true},
		{"DateGreaterThanEquals", 1577836801, []string{"1577836800"}, false},
		{"DateLessThan", "2020-01", []string{"2019-12-31T23:59:59.999Z"}, true},
		{"DateLessThan", "2020-01", []string{"2020-01"}, false},
		{"DateLessThanEquals", "1577836801", []string{"1577836801.0"}, true},
		{"DateLessThanEquals", "1577836801", []string{"1577836801.5"}, false},

		{"Bool", "false", []string{"false"}, true},
		{"Bool", false, []string{"False"}, true},
		{"Bool", "false", []string{"true"}, false},
		{"Bool", "true", []string{"1"}, false},
		{"Bool", "true", nil, false},

		{"BinaryEquals", "QmluYXJ5VmFsdWVJbkJhc2U2NA==", []string{"BinaryValueInBase64"}, true},
		{"BinaryEquals", "QmluYXJ5VmFsdWVJbkJhc2U2NA==", []string{"QmluYXJ5VmFsdWVJbkJhc2U2NA=="}, false},
		{"BinaryEquals", "AP8=", []string{"\x00\xff"}, true},
		{"BinaryEquals", "AP8=", nil, false},

		{"IpAddress", "203.0.113.0/24", []string{"203.0.113.255"}, true},
		{"IpAddress", "203.0.113.0/24", []string{"203.0.114.0"}, false},
		{"IpAddress", "203.0.113.7", []string{"203.0.113.7"}, true},
		{"IpAddress", "203.0.113.7", []string{"203.0.113.8"}, false},
		{"IpAddress", "203.0.113.7/24", []string{"203.0.113.9"}, true},
		{"IpAddress", "203.0.113.7", []string{"::ffff:203.0.113.7"}, true},
		{"IpAddress", []string{"203.0.113.0/24", "2001:DB8:1234:5678::/64"}, []string{"2001:db8:1234:5678::1"}, true},
		{"IpAddress", "2001:DB8:1234:5678::/64", []string{"2001:db8:1234:5679::1"}, false},
		{"IpAddress", "0.0.0.0/0", []string{"::1"}, false},
		{"IpAddress", "0.0.0.0/0", []string{"nowhere"}, false},
		{"IpAddress", "0.0.0.0/0", nil, false},
		{"NotIpAddress", []string{"192.0.2.0/24", "203.0.113.0/24"}, []string{"203.0.113.1"}, false},
		{"NotIpAddress", []string{"192.0.2.0/24", "203.0.113.0/24"}, []string{"198.51.100.1"}, true},
		{"NotIpAddress", "192.0.2.0/24", []string{"nowhere"}, true},
		{"NotIpAddress", "192.0.2.0/24", nil, true},

		{"ArnLike", "arn:aws:someservice:*:111122223333:finance/*",
			[]string{"arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"}, false},
		{"ArnLike", "arn:aws:someservice:*:111122223333:finance/*", []string{"arn:aws:someservice:us-east-2:111122223333:finance/a:b"}, true},
		{"ArnLike", "arn:aws:sns:us-?ast-1:*:topic", []string{"arn:aws:sns:us-east-1:123456789012:topic"}, true},
		{"ArnLike", "arn:aws:sns:us-east-1:?:topic", []string{"arn:aws:sns:us-east-1:::topic"}, false},
		{"ArnLike", "*", []string{"arn:aws:sns:us-east-1:123456789012:topic"}, true},
		{"ArnLike", "arn:aws:sns:*", []string{"arn:aws:sns:us-east-1:123456789012:topic"}, false},
		{"ArnLike", "arn:aws:sns:*:*:*", nil, false},
		{"ArnEquals", "arn:aws:sns:*:123456789012:TOPIC", []string{"arn:aws:sns:us-east-1:123456789012:TOPIC"}, true},
		{"ArnEquals", "arn:aws:sns:*:123456789012:TOPIC", []string{"arn:aws:sns:us-east-1:123456789012:topic"}, false},
		{"ArnEquals", "arn:aws:sns:*:*:*", []string{"topic"}, false},
		{"ArnNotEquals", "arn:aws:iam::444455556666:user/u", []string{"arn:aws:iam::444455556666:user/u"}, false},
		{"ArnNotEquals", "arn:aws:iam::444455556666:user/u", []string{"arn:aws:iam::444455556666:user/v"}, true},
		{"ArnNotEquals", "arn:aws:iam::444455556666:user/u", nil, true},
		{"ArnNotLike", "arn:aws:iam::*:user/*", []string{"arn:aws:iam::444455556666:role/r"}, true},
		{"ArnNotLike", "arn:aws:iam::*:user/*", []string{"arn:aws:iam::444455556666:user/r"}, false},
		{"ArnNotLike", "arn:aws:iam::*:user/*", nil, true},

		{"Null", "true", nil, true},
		{"Null", "true", []string{"x"}, false},
		{"Null", "false", nil, false},
		{"Null", false, []string{"x"}, true},
		{"Null", []string{"true", "false"}, nil, true},
		{"Null", "true", []string{}, true},

		{"StringLikeIfExists", "t1.*", nil, true},
		{"StringLikeIfExists", "t1.*", []string{"t1.micro"}, true},
		{"StringLikeIfExists", "t1.*", []string{"m4.large"}, false},
		{"StringNotEqualsIfExists", "a", nil, true},
		{"StringNotEqualsIfExists", "a", []string{"a"}, false},
		{"BoolIfExists", "true", []string{"false"}, false},
		{"IpAddressIfExists", "192.0.2.0/24", nil, true},

		// A key with several values, compared without qualifier.
		{"StringEquals", "a", []string{"b", "a"}, true},
		{"StringEquals", "a", []string{"b", "c"}, false},
		{"StringNotEquals", "a", []string{"b", "a"}, false},
		{"StringNotEquals", "a", []string{"b", "c"}, true},
	} {
		element, err := json.Marshal(map[string]any{test.operator: map[string]any{"x:key": test.policy}})
		if err != nil {
			t.Fatal(err)
		}
		request := keys{}
		if test.request != nil {
			request["X:Key"] = test.request
		}
		if got := holds(t, string(element), request); got != test.want {
			t.Errorf("%s with %q: got %v, want %v", element, test.request, got, test.want)
		}
	}
}

// TestSetOperators has the guide's examples of ForAllValues and ForAnyValue,
// and the negated operators as they follow from them.
func TestSetOperators(t *testing.T) {
	attributes := `["PostDateTime","Message","Tags"]`
	for _, test := range []struct {
		operator string
		request  []string
		want     bool
	}{
		{"ForAllValues:StringLike", []string{"PostDateTime", "Message"}, true},
		{"ForAllValues:StringLike", []string{"PostDateTime", "UserName"}, false},
		{"ForAllValues:StringLike", nil, true},
		{"ForAllValues:StringLike", []string{""}, true},
		{"ForAllValues:StringLikeIfExists", nil, true},
		{"ForAnyValue:StringLike", []string{"UserName", "Message", "PostDateTime"}, true},
		{"ForAnyValue:StringLike", []string{"UserName"}, false},
		{"ForAnyValue:StringLike", nil, false},
		{"ForAnyValue:StringLike", []string{""}, false},
		{"ForAnyValue:StringLikeIfExists", nil, true},
		{"ForAllValues:StringNotEquals", []string{"UserName", "ID"}, true},
		{"ForAllValues:StringNotEquals", []string{"UserName", "Tags"}, false},
		{"ForAllValues:StringNotEquals", nil, true},
		{"ForAnyValue:StringNotEquals", []string{"Message", "Tags"}, false},
		{"ForAnyValue:StringNotEquals", []string{"UserName", "Tags"}, true},
		{"ForAnyValue:StringNotEquals", nil, false},
	} {
		condition := fmt.Sprintf(`{%q:{"dynamodb:requestedAttributes":%s}}`, test.operator, attributes)
		request := keys{}
		if test.request != nil {
			request["dynamodb:RequestedAttributes"] = test.request
		}
		if got := holds(t, condition, request); got != test.want {
			t.Errorf("%s with %q: got %v, want %v", test.operator, test.request, got, test.want)
		}
	}
}

// TestConditionsAreAnd: all keys of all operators must hold.
func TestConditionsAreAnd(t *testing.T) {
	const condition = `{"StringEquals":{"aws:PrincipalTag/department":["finance","hr"],"aws:PrincipalTag/role":"audit"},
		"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:t"}}`
	all := keys{"aws:PrincipalTag/Department": {"hr"}, "aws:PrincipalTag/role": {"audit"}, "aws:sourcearn": {"arn:aws:sns:r:a:t"}}
	if !holds(t, condition, all) {
		t.Error("all keys match, and the condition is false")
	}
	for missing := range all {
		some := keys{}
		for key, values := range all {
			if key != missing {
				some[key] = values
			}
		}
		if holds(t, condition, some) {
			t.Errorf("without %s the condition is true", missing)
		}
	}
}

func TestVariables(t *testing.T) {
	for _, test := range []struct {
		effect, condition string
		request           keys
		want              bool
	}{
		{"Allow", `{"StringLike":{"s3:prefix":["","home/","home/${aws:username}/*"]}}`, keys{"s3:prefix": {"home/david/x"}, "AWS:UserName": {"david"}}, true},
		{"Allow", `{"StringLike":{"s3:prefix":["","home/","home/${aws:username}/*"]}}`, keys{"s3:prefix": {"home/david/x"}, "aws:username": {"eve"}}, false},
		{"Allow", `{"StringLike":{"s3:prefix":["","home/","home/${aws:username}/*"]}}`, keys{"s3:prefix": {"home/"}}, true},
		// What a variable stands for is no pattern.
		{"Allow", `{"StringLike":{"s3:prefix":"home/${aws:username}/"}}`, keys{"s3:prefix": {"home/david/"}, "aws:username": {"*"}}, false},
		{"Allow", `{"StringLike":{"s3:prefix":"home/${aws:username}/"}}`, keys{"s3:prefix": {"home/*/"}, "aws:username": {"*"}}, true},
		{"Allow", `{"StringEquals":{"x:k":"${aws:userid, 'anonymous'}"}}`, keys{"x:k": {"anonymous"}}, true},
		{"Allow", `{"StringEquals":{"x:k":"${aws:userid,'anonymous'}!"}}`, keys{"x:k": {"u!"}, "aws:userid": {"u"}}, true},
		{"Allow", `{"StringEquals":{"x:k":"${aws:userid, ''}"}}`, keys{"x:k": {""}}, true},
		{"Allow", `{"StringLike":{"x:k":"a${*}b${?}c${$}{d}"}}`, keys{"x:k": {"a*b?c${d}"}}, true},
		{"Allow", `{"StringLike":{"x:k":"a${*}b"}}`, keys{"x:k": {"aXb"}}, false},
		{"Allow", `{"StringEqualsIgnoreCase":{"x:k":"${aws:username}"}}`, keys{"x:k": {"DAVID"}, "aws:username": {"David"}}, true},
		{"Allow", `{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:${aws:username}-*"}}`, keys{"aws:SourceArn": {"arn:aws:sns:r:a:david-t"}, "aws:username": {"david"}}, true},
		{"Allow", `{"Bool":{"x:k":"${x:other}"}}`, keys{"x:k": {"true"}, "x:other": {"True"}}, true},
		// A key with several values is no variable.
		{"Allow", `{"StringEquals":{"x:k":"${aws:TagKeys}"}}`, keys{"x:k": {"a"}, "aws:TagKeys": {"a", "b"}}, false},
		// Without value, a variable matches nothing, and never allows.
		{"Allow", `{"StringEquals":{"x:k":"${x:none}"}}`, keys{"x:k": {""}}, false},
		{"Allow", `{"StringNotEquals":{"x:k":"${x:none}"}}`, keys{"x:k": {"a"}}, false},
		{"Deny", `{"StringNotEquals":{"x:k":"${x:none}"}}`, keys{"x:k": {"a"}}, false},
		{"Deny", `{"StringEquals":{"x:k":"${x:none}"}}`, keys{"x:k": {"a"}}, true},
		// Variables are those of the principal, whatever the context says.
		{"Allow", `{"StringEquals":{"x:k":"${aws:PrincipalAccount}"}}`, keys{"x:k": {"1"}, "aws:PrincipalAccount": {"1"}}, false},
	} {
		if got := allows(t, test.effect, test.condition, test.request); got != test.want {
			t.Errorf("%s %s with %v: got %v, want %v", test.effect, test.condition, test.request, got, test.want)
		}
	}
}

// TestVersionOfVariables: before 2012-10-17 there are no variables.
func TestVersionOfVariables(t *testing.T) {
	for version, literal := range map[string]bool{"": true, Version2008: true, Version2012: false} {
		doc := fmt.Sprintf(`{"Version":%q,"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::b/${aws:username}"}}`, version)
		p, err := Parse([]byte(doc), Options{})
		if err != nil {
			t.Fatal(err)
		}
		for resource, want := range map[string]bool{"arn:aws:s3:::b/${aws:username}": literal, "arn:aws:s3:::b/eve": !literal} {
			req := &Request{Action: "s3:GetObject", Resource: resource, Context: NewContext(keys{"aws:username": {"eve"}})}
			if got := p.Evaluate(req).Allowed(); got != want {
				t.Errorf("version %q, %s: got %v, want %v", version, resource, got, want)
			}
		}
	}
}

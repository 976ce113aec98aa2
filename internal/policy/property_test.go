package policy

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Statements and requests are drawn from few words, so that they often meet.

var operatorValues = map[string][]string{
	"String":  {"a", "ab", "A", "a*", "?", ""},
	"Numeric": {"1", "1.0", "-2", "10"},
	"Date":    {"2020-01-01", "1577836800", "2021", "2020-01-01T00:00:01Z"},
	"Bool":    {"true", "false", "True"},
	"Binary":  {"YQ==", "YWI="},
	"Ip":      {"10.0.0.0/8", "10.0.0.1", "2001:db8::/32", "0.0.0.0/0"},
	"NotIp":   {"10.0.0.0/8", "10.0.0.1", "::/0"},
	"Arn":     {"arn:aws:s3:::a", "arn:aws:*:::*", "arn:aws:sns:?:1:a*", "*"},
}

var requestValues = []string{"a", "ab", "A", "", "1", "10", "2020-01-01", "1577836801", "true", "False",
	"10.0.0.1", "192.0.2.1", "2001:db8::1", "arn:aws:s3:::a", "arn:aws:sns:r:1:a:b"}

func drawKeys(t *rapid.T) keys {
	values := rapid.SliceOfN(rapid.SampledFrom(requestValues), 0, 3)
	return rapid.MapOfN(rapid.SampledFrom([]string{"x:one", "x:two"}), values, 0, 2).Draw(t, "keys")
}

// drawOperator draws an operator without IfExists and qualifier, with values
// that fit it.
func drawOperator(t *rapid.T) (name string, values []string) {
	name = rapid.SampledFrom(slices.Sorted(maps.Keys(operators))).Draw(t, "operator")
	for family, all := range operatorValues {
		if strings.HasPrefix(name, family) {
			values = rapid.SliceOfN(rapid.SampledFrom(all), 0, 3).Draw(t, "values")
		}
	}
	return name, values
}

func drawStatement(t *rapid.T) map[string]any {
	not := rapid.SampledFrom([]string{"", "", "Not"})
	list := func(words ...string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(words), 1, 2, rapid.ID).Draw(t, "list")
	}
	s := map[string]any{
		"Effect": rapid.SampledFrom([]string{"Allow", "Deny"}).Draw(t, "effect"),
		not.Draw(t, "not") + "Principal": map[string]any{
			"AWS": list("*", "111111111111", alice.ARN, session.Role, session.ARN, "222222222222"),
		},
		not.Draw(t, "not") + "Action":   list("*", "s3:*", "S3:Get*", "sqs:Send?essage"),
		not.Draw(t, "not") + "Resource": list("*", "arn:aws:s3", "arn:aws:s3:::a*", "arn:aws:s3:::${x:one}", "arn:aws:sqs:*:q"),
	}
	if rapid.Bool().Draw(t, "conditional") {
		operator, values := drawOperator(t)
		qualifier := rapid.SampledFrom([]string{"", "ForAllValues:", "ForAnyValue:"}).Draw(t, "qualifier")
		suffix := rapid.SampledFrom([]string{"", "IfExists"}).Draw(t, "suffix")
		s["Condition"] = map[string]any{qualifier + operator + suffix: map[string]any{"x:one": values}}
	}
	return s
}

func drawRequest(t *rapid.T) *Request {
	return &Request{
		Principal: rapid.SampledFrom([]Principal{{}, alice, root, session, service}).Draw(t, "principal"),
		Action:    rapid.SampledFrom([]string{"s3:GetObject", "s3:PutObject", "SQS:sendmessage"}).Draw(t, "action"),
		Resource:  rapid.SampledFrom([]string{"arn:aws:s3:::a", "arn:aws:s3:::ab", "arn:aws:sqs:r:1:q"}).Draw(t, "resource"),
		Context:   NewContext(drawKeys(t)),
	}
}

func evaluate(t *rapid.T, req *Request, statements ...map[string]any) Outcome {
	doc, err := json.Marshal(map[string]any{"Version": Version2012, "Statement": statements})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(doc, Options{})
	if err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return p.Evaluate(req).Outcome
}

// TestStatementsAreIndependent: a policy says what its statements say one by
// one: one that denies wins, then one that allows; whatever their order.
func TestStatementsAreIndependent(t *testing.T) {
	seen := map[Outcome]int{}
	rapid.Check(t, func(t *rapid.T) {
		statements := rapid.SliceOfN(rapid.Custom(drawStatement), 1, 5).Draw(t, "statements")
		req := drawRequest(t)
		var single []Decision
		for _, s := range statements {
			single = append(single, Decision{Outcome: evaluate(t, req, s)})
		}
		got := evaluate(t, req, statements...)
		if want := Any(single...).Outcome; got != want {
			t.Fatalf("together %v, one by one %v", got, want)
		}
		if other := evaluate(t, req, rapid.Permutation(statements).Draw(t, "order")...); other != got {
			t.Fatalf("%v, and in another order %v", got, other)
		}
		seen[got]++
	})
	for _, o := range []Outcome{Allowed, ImplicitDeny, ExplicitDeny} {
		if seen[o] == 0 {
			t.Errorf("no policy of the test gives %v", o)
		}
	}
}

// TestMoreStatements: one more Deny never allows, one more Allow never denies.
func TestMoreStatements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		statements := rapid.SliceOfN(rapid.Custom(drawStatement), 1, 4).Draw(t, "statements")
		more := rapid.Custom(drawStatement).Draw(t, "more")
		req := drawRequest(t)
		before, after := evaluate(t, req, statements...), evaluate(t, req, append(statements, more)...)
		if before == after {
			return
		}
		if more["Effect"] == "Deny" && after != ExplicitDeny || more["Effect"] == "Allow" && (before != ImplicitDeny || after != Allowed) {
			t.Fatalf("one more %s makes %v of %v", more["Effect"], after, before)
		}
	})
}

// TestNotElements: of a statement with Action and one with NotAction, one
// applies; so too with Resource.
func TestNotElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		req := drawRequest(t)
		for _, name := range []string{"Action", "Resource"} {
			s := map[string]any{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}
			drawn := drawStatement(t)
			value, ok := drawn[name]
			if !ok {
				value = drawn["Not"+name]
			}
			s[name] = value
			positive := evaluate(t, req, s)
			delete(s, name)
			s["Not"+name] = value
			if negative := evaluate(t, req, s); positive == negative {
				t.Fatalf("%s %v and Not%s are both %v", name, value, name, positive)
			}
		}
	})
}

// condition reports whether a condition holds for a key of a request.
func conditionHolds(t *rapid.T, operator string, values []string, req *Request) bool {
	return evaluate(t, req, map[string]any{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*",
		"Condition": map[string]any{operator: map[string]any{"X:one": values}}}) == ExplicitDeny
}

// TestOperatorRelations: what IfExists and the qualifiers mean, for every
// operator.
func TestOperatorRelations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		req := &Request{Action: "s3:x", Resource: "arn:aws:s3:::a", Context: NewContext(drawKeys(t))}
		operator, values := drawOperator(t)
		absent := len(req.Context["x:one"]) == 0
		ask := func(operator string) bool { return conditionHolds(t, operator, values, req) }

		for _, qualifier := range []string{"", "ForAllValues:"} {
			if got, want := ask(qualifier+operator+"IfExists"), absent || ask(qualifier+operator); got != want {
				t.Errorf("%s%sIfExists: got %v, want %v", qualifier, operator, got, want)
			}
		}
		if ask("ForAnyValue:"+operator) && absent || !ask("ForAllValues:"+operator) && absent {
			t.Errorf("%s of no value", operator)
		}
		if len(req.Context["x:one"]) == 1 && req.Context["x:one"][0] != "" {
			if one := ask(operator); one != ask("ForAnyValue:"+operator) || one != ask("ForAllValues:"+operator) {
				t.Errorf("%s of one value depends on the qualifier", operator)
			}
		}
		negated := negation(operator)
		if negated == "" {
			return
		}
		for one, other := range map[string]string{"": "", "ForAllValues:": "ForAnyValue:", "ForAnyValue:": "ForAllValues:"} {
			if ask(one+operator) == ask(other+negated) {
				t.Errorf("%s%s and %s%s are the same", one, operator, other, negated)
			}
		}
	})
}

// negation returns the operator that negates one; empty if there is none.
func negation(operator string) string {
	for _, at := range []string{"String", "Numeric", "Date", "Arn", ""} {
		if rest, ok := strings.CutPrefix(operator, at); ok {
			if _, ok := operators[at+"Not"+rest]; ok {
				return at + "Not" + rest
			}
		}
	}
	return ""
}

// TestCaseIsIrrelevant of keys and actions.
func TestCaseIsIrrelevant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawStatement(t)
		req := drawRequest(t)
		want := evaluate(t, req, s)
		doc, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var shouted map[string]any
		if err := json.Unmarshal([]byte(strings.ReplaceAll(string(doc), "x:one", "X:ONE")), &shouted); err != nil {
			t.Fatal(err)
		}
		req.Action = strings.ToUpper(req.Action)
		if got := evaluate(t, req, shouted); got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

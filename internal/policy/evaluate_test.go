package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

var (
	alice   = Principal{Account: "111111111111", ARN: "arn:aws:iam::111111111111:user/alice"}
	root    = Principal{Account: "111111111111", ARN: "arn:aws:iam::111111111111:root"}
	session = Principal{Account: "222222222222", ARN: "arn:aws:sts::222222222222:assumed-role/app/s1", Role: "arn:aws:iam::222222222222:role/app"}
	service = Principal{Service: "sns.amazonaws.com"}
	saml    = Principal{Federated: "accounts.google.com"}
)

func mustParse(t testing.TB, doc string) *Policy {
	t.Helper()
	p, err := Parse([]byte(doc), Options{Name: "the policy"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPrincipals(t *testing.T) {
	everybody := []Principal{{}, alice, root, session, service, saml}
	for principal, named := range map[string][]Principal{
		`"*"`:                    everybody,
		`{"AWS":"*"}`:            everybody,
		`{"AWS":"111111111111"}`: {alice, root},
		`{"AWS":"arn:aws:iam::111111111111:root"}`:                  {alice, root},
		`{"AWS":"arn:aws:iam::111111111111:user/alice"}`:            {alice},
		`{"AWS":"arn:aws:iam::111111111111:user/Alice"}`:            nil,
		`{"AWS":"arn:aws:iam::222222222222:role/app"}`:              {session},
		`{"AWS":"arn:aws:sts::222222222222:assumed-role/app/s1"}`:   {session},
		`{"AWS":"arn:aws:sts::222222222222:assumed-role/app/s2"}`:   nil,
		`{"AWS":["111111111111","222222222222"]}`:                   {alice, root, session},
		`{"Service":"sns.amazonaws.com"}`:                           {service},
		`{"Service":["*"]}`:                                         {service},
		`{"Federated":"accounts.google.com","AWS":"222222222222"}`:  {saml, session},
		`{"CanonicalUser":"79a59df900b949e55d96a1e698fbacedfd6e0"}`: nil,
	} {
		p := mustParse(t, `{"Statement":{"Effect":"Allow","Principal":`+principal+`,"Action":"*","Resource":"*"}}`)
		not := mustParse(t, `{"Statement":{"Effect":"Allow","NotPrincipal":`+principal+`,"Action":"*","Resource":"*"}}`)
		for _, who := range everybody {
			req := &Request{Principal: who, Action: "s3:GetObject", Resource: "arn:aws:s3:::b"}
			want := slices.Contains(named, who)
			if got := p.Evaluate(req).Allowed(); got != want {
				t.Errorf("Principal %s names %+v: got %v, want %v", principal, who, got, want)
			}
			if got := not.Evaluate(req).Allowed(); got == want {
				t.Errorf("NotPrincipal %s names %+v: got %v, want %v", principal, who, !got, want)
			}
		}
	}
	canonical := Principal{CanonicalUser: "79a59df9"}
	if !mustParse(t, `{"Statement":{"Effect":"Allow","Principal":{"CanonicalUser":"79a59df9"},"Action":"*","Resource":"*"}}`).
		Evaluate(&Request{Principal: canonical, Action: "s3:x", Resource: "arn:aws:s3:::b"}).Allowed() {
		t.Error("the canonical user is not named")
	}
}

// TestDenyNotPrincipalOfFederatedSession: a session may also be named by the
// provider that its user comes from.
func TestDenyNotPrincipalOfFederatedSession(t *testing.T) {
	p := mustParse(t, `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},
		{"Effect":"Deny","NotPrincipal":{"Federated":"accounts.google.com"},"Action":"*","Resource":"*"}]}`)
	for provider, want := range map[string]bool{"accounts.google.com": true, "graph.facebook.com": false, "": false} {
		who := session
		who.Federated = provider
		if got := p.Evaluate(&Request{Principal: who, Action: "s3:x", Resource: "arn:aws:s3:::b"}).Allowed(); got != want {
			t.Errorf("%q: got %v, want %v", provider, got, want)
		}
	}
}

// TestDenyNotPrincipal: the guide demands that the account and the role be
// named beside the user or session.
func TestDenyNotPrincipal(t *testing.T) {
	for _, test := range []struct {
		notPrincipal string
		spared       []Principal
	}{
		{`{"AWS":["arn:aws:iam::111111111111:user/alice","arn:aws:iam::111111111111:root"]}`, []Principal{alice, root}},
		{`{"AWS":"arn:aws:iam::111111111111:user/alice"}`, nil},
		{`{"AWS":"111111111111"}`, []Principal{root}},
		{`{"AWS":["arn:aws:sts::222222222222:assumed-role/app/s1","arn:aws:iam::222222222222:role/app","222222222222"]}`, []Principal{session}},
		{`{"AWS":["arn:aws:sts::222222222222:assumed-role/app/s1","222222222222"]}`, nil},
		{`{"AWS":["arn:aws:iam::222222222222:role/app","222222222222"]}`, nil},
		{`{"Service":"sns.amazonaws.com"}`, []Principal{service}},
		{`{"Federated":"accounts.google.com"}`, []Principal{saml}},
		{`"*"`, []Principal{{}, alice, root, session, service, saml}},
	} {
		p := mustParse(t, `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},
			{"Effect":"Deny","NotPrincipal":`+test.notPrincipal+`,"Action":"*","Resource":"*"}]}`)
		for _, who := range []Principal{{}, alice, root, session, service, saml} {
			got := p.Evaluate(&Request{Principal: who, Action: "s3:GetObject", Resource: "arn:aws:s3:::b"}).Allowed()
			if want := slices.Contains(test.spared, who); got != want {
				t.Errorf("NotPrincipal %s spares %+v: got %v, want %v", test.notPrincipal, who, got, want)
			}
		}
	}
}

func TestActionsAndResources(t *testing.T) {
	for _, test := range []struct {
		elements string
		allowed  []string // of all below
	}{
		{`"Action":"S3:getobject","Resource":"*"`, []string{"s3:GetObject a", "s3:GetObject b"}},
		{`"Action":["s3:Get*","s3:p?tobject"],"Resource":"arn:aws:s3:::a"`, []string{"s3:GetObject a", "s3:PutObject a"}},
		{`"NotAction":["s3:Get*"],"Resource":"arn:aws:s3:::a"`, []string{"s3:PutObject a", "sqs:SendMessage a"}},
		{`"Action":"*","NotResource":["arn:aws:s3:::a","arn:aws:s3:::c"]`, []string{"s3:GetObject b", "s3:PutObject b", "sqs:SendMessage b"}},
		{`"NotAction":"s3:*","NotResource":"arn:aws:s3:::a"`, []string{"sqs:SendMessage b"}},
		{`"NotAction":"*","NotResource":"arn:aws:s3:::a"`, nil},
		// A variable without value: neither matches nor, by not matching, allows.
		{`"Action":"*","Resource":["arn:aws:s3:::${x:none}","arn:aws:s3:::b"]`, []string{"s3:GetObject b", "s3:PutObject b", "sqs:SendMessage b"}},
		{`"Action":"*","NotResource":"arn:aws:s3:::${x:none}"`, nil},
	} {
		p := mustParse(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*",`+test.elements+`}}`)
		for _, action := range []string{"s3:GetObject", "s3:PutObject", "sqs:SendMessage"} {
			for _, bucket := range []string{"a", "b"} {
				got := p.Evaluate(&Request{Action: action, Resource: "arn:aws:s3:::" + bucket}).Allowed()
				if want := slices.Contains(test.allowed, action+" "+bucket); got != want {
					t.Errorf("%s: %s %s: got %v, want %v", test.elements, action, bucket, got, want)
				}
			}
		}
	}
}

// privateAPI is the usual policy of a private API.
const privateAPI = `{
	"Version": "2012-10-17",
	"Statement": [
		{"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke",
		 "Resource": "arn:aws:execute-api:us-east-1:111111111111:abc123/*"},
		{"Sid": "OnlyOurEndpoint", "Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke",
		 "Resource": "arn:aws:execute-api:us-east-1:111111111111:abc123/*",
		 "Condition": {"StringNotEquals": {"aws:SourceVpce": ["vpce-1", "vpce-2"]}}},
		{"Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke",
		 "Resource": "arn:aws:execute-api:us-east-1:111111111111:abc123/*/DELETE/*",
		 "Condition": {"NotIpAddress": {"aws:VpcSourceIp": "10.0.1.0/24"}}}
	]}`

func invoke(method string, context keys) *Request {
	return &Request{Action: "execute-api:Invoke", Context: NewContext(context),
		Resource: "arn:aws:execute-api:us-east-1:111111111111:abc123/prod/" + method + "/pets"}
}

func TestPrivateAPI(t *testing.T) {
	p := mustParse(t, privateAPI)
	for _, test := range []struct {
		req  *Request
		want string
	}{
		{invoke("GET", keys{"aws:SourceVpce": {"vpce-2"}}), "allowed by statement 1 of the policy"},
		{invoke("GET", keys{"aws:SourceVpce": {"vpce-3"}}), `explicit deny by statement 2 "OnlyOurEndpoint" of the policy`},
		{invoke("GET", nil), `explicit deny by statement 2 "OnlyOurEndpoint" of the policy`},
		{invoke("DELETE", keys{"aws:sourcevpce": {"vpce-1"}, "aws:VpcSourceIp": {"10.0.1.9"}}), "allowed by statement 1 of the policy"},
		{invoke("DELETE", keys{"aws:SourceVpce": {"vpce-1"}, "aws:VpcSourceIp": {"10.0.2.9"}}), "explicit deny by statement 3 of the policy"},
		{&Request{Action: "execute-api:ManageConnections", Resource: invoke("GET", nil).Resource}, "implicit deny by the policy"},
	} {
		if got := p.Evaluate(test.req).String(); got != test.want {
			t.Errorf("%s %v: got %q, want %q", test.req.Resource, test.req.Context, got, test.want)
		}
	}
}

func TestExplain(t *testing.T) {
	got := mustParse(t, privateAPI).Explain(invoke("GET", keys{"aws:SourceVpce": {"vpce-2"}}))
	want := []string{
		`statement 1 (Allow) applies`,
		`statement 2 "OnlyOurEndpoint" (Deny) does not apply: Condition StringNotEquals aws:SourceVpce ["vpce-1" "vpce-2"] is false: the request has ["vpce-2"]`,
		`statement 3 (Deny) does not apply: Resource`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for elements, want := range map[string]string{
		`"Principal":{"AWS":"111111111111"},"Action":"*","Resource":"*"`: "Principal",
		`"NotPrincipal":"*","Action":"*","Resource":"*"`:                 "NotPrincipal",
		`"Principal":"*","NotAction":"s3:*","Resource":"*"`:              "NotAction",
		`"Principal":"*","Action":"sqs:*","Resource":"*"`:                "Action",
		`"Principal":"*","Action":"*","NotResource":"*"`:                 "NotResource",
	} {
		lines := mustParse(t, `{"Statement":{"Effect":"Allow",`+elements+`}}`).Explain(&Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b"})
		if want := "statement 1 (Allow) does not apply: " + want; lines[0] != want {
			t.Errorf("%s: got %q, want %q", elements, lines[0], want)
		}
	}
}

// TestNoPolicy: what has no policy allows nothing.
func TestNoPolicy(t *testing.T) {
	var none *Policy
	if d := none.Evaluate(invoke("GET", nil)); d != (Decision{}) || d.String() != "implicit deny" {
		t.Errorf("got %v", d)
	}
	if lines := none.Explain(invoke("GET", nil)); lines != nil {
		t.Errorf("got %q", lines)
	}
}

func TestPrincipalKeys(t *testing.T) {
	p := mustParse(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::${aws:PrincipalAccount}",
		"Condition":{"ArnEquals":{"aws:PrincipalArn":["arn:aws:iam::222222222222:role/app","arn:aws:iam::111111111111:user/*"]}}}}`)
	for _, test := range []struct {
		who    Principal
		bucket string
		want   bool
	}{
		{alice, "111111111111", true},
		{alice, "222222222222", false},
		{session, "222222222222", true}, // the role's ARN, not the session's
		{root, "111111111111", false},
		{Principal{}, "", false},
	} {
		// A context that claims to be somebody else is not believed.
		context := NewContext(keys{"aws:PrincipalArn": {alice.ARN}, "aws:PrincipalAccount": {test.bucket}})
		req := &Request{Principal: test.who, Action: "s3:x", Resource: "arn:aws:s3:::" + test.bucket, Context: context}
		if got := p.Evaluate(req).Allowed(); got != test.want {
			t.Errorf("%+v %s: got %v, want %v", test.who, test.bucket, got, test.want)
		}
	}
	if !(&Principal{}).Anonymous() || alice.Anonymous() {
		t.Error("Anonymous is wrong")
	}
}

func TestNewContextRefusesAmbiguity(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a key that is there twice is accepted")
		}
	}()
	NewContext(keys{"aws:SourceVpc": {"vpc-1"}, "AWS:sourcevpc": {"vpc-2"}})
}

// TestCombine has the tables A and B of "How API Gateway resource policies
// affect authorization workflow".
func TestCombine(t *testing.T) {
	const a, n, d = Allowed, ImplicitDeny, ExplicitDeny
	for _, test := range []struct{ identity, resource, same, cross Outcome }{
		{a, a, a, a}, {a, n, a, n}, {a, d, d, d},
		{n, a, a, n}, {n, n, n, n}, {n, d, d, d},
		{d, a, d, d}, {d, n, d, d}, {d, d, d, d},
	} {
		i := Decision{Outcome: test.identity, Policy: "identity"}
		r := Decision{Outcome: test.resource, Policy: "resource"}
		for name, check := range map[string]struct{ got, want Outcome }{
			"same account":  {Any(i, r).Outcome, test.same},
			"cross account": {All(i, r).Outcome, test.cross},
		} {
			if check.got != check.want {
				t.Errorf("%s: identity %v, resource %v: got %v, want %v", name, test.identity, test.resource, check.got, check.want)
			}
		}
	}
	if got := Any(); got != (Decision{}) {
		t.Errorf("Any of nothing: %v", got)
	}
	if got := All(); got != (Decision{}) {
		t.Errorf("All of nothing: %v", got)
	}
	// The decision that is returned names who is to blame.
	ok, silent, no := Decision{Outcome: a, Policy: "ok"}, Decision{Outcome: n, Policy: "silent"}, Decision{Outcome: d, Policy: "no"}
	for want, got := range map[string]Decision{
		"no": All(silent, ok, no), "silent": All(ok, silent, ok), "ok": Any(silent, ok, Decision{Outcome: a, Policy: "ok too"}),
	} {
		if got.Policy != want {
			t.Errorf("decided by %s, want %s", got.Policy, want)
		}
	}
	if s := fmt.Sprint(Any(ok, no)); s != "explicit deny by no" {
		t.Errorf("got %q", s)
	}
}

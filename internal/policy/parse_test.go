package policy

import (
	"errors"
	"strings"
	"testing"
)

// with returns a valid statement with one part replaced.
func with(old, replacement string) string {
	const valid = `{"Statement":[{"Sid":"s","Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"StringEquals":{"aws:x":"y"}}}]}`
	if !strings.Contains(valid, old) {
		panic("not in the valid policy: " + old)
	}
	return strings.Replace(valid, old, replacement, 1)
}

func TestParseAccepts(t *testing.T) {
	for name, doc := range map[string]string{
		"one statement, lists":     `{"Version":"2012-10-17","Id":"my id","Statement":{"Effect":"Deny","Principal":{"AWS":["*","123456789012"]},"Action":["s3:*","*"],"Resource":["*"]}}`,
		"Version at the end":       `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::${aws:x}"}],"Version":"2012-10-17"}`,
		"Not elements":             `{"Statement":[{"Effect":"Deny","NotPrincipal":{"Service":"sns.amazonaws.com"},"NotAction":"s3:*","NotResource":"arn:aws:s3:::b"}]}`,
		"all principals":           with(`"*","Action"`, `{"AWS":["arn:aws:iam::123456789012:root","arn:aws-cn:iam::123456789012:user/a/b","arn:aws:iam::123456789012:role/r","arn:aws:sts::123456789012:assumed-role/r/s","arn:aws:sts::123456789012:federated-user/u"],"Service":["ecs.amazonaws.com","*"],"Federated":["accounts.google.com","arn:aws:iam::123456789012:saml-provider/p"],"CanonicalUser":"79a59df900b949e5"},"Action"`),
		"numbers and Booleans":     with(`{"StringEquals":{"aws:x":"y"}}`, `{"NumericEquals":{"s3:max-keys":[10,"1.5"]},"Bool":{"aws:SecureTransport":[true,"false"]}}`),
		"empty Condition":          with(`{"StringEquals":{"aws:x":"y"}}`, `{}`),
		"qualifiers":               with(`StringEquals`, `ForAllValues:StringNotLikeIfExists`),
		"Null with qualifier":      with(`"StringEquals":{"aws:x":"y"}`, `"ForAnyValue:Null":{"aws:x":"true"}`),
		"key with several colons":  with(`aws:x`, `kms:EncryptionContext:department`),
		"federated key":            with(`aws:x`, `cognito-identity.amazonaws.com:aud`),
		"literal dollar, old":      with(`"y"`, `"${aws:"`),
		"spaces in Sid":            with(`"s"`, `"a statement"`),
		"white space, key escaped": "{\n \"\\u0053tatement\" : [ {\"Effect\":\"Allow\",\t\"Principal\":\"*\",\"Action\":\"*\",\r\n\"Resource\":\"*\"} ] }",
		"incomplete ARN":           with(`arn:aws:s3:::b/*`, `arn:aws:s3`),
	} {
		if _, err := Parse([]byte(doc), Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct{ doc, message string }{
		"nothing":                {``, "Syntax errors in policy."},
		"no object":              {`[]`, "Syntax errors in policy."},
		"null":                   {`null`, "Syntax errors in policy."},
		"trailing comma":         {`{"Statement":[{"Effect":"Allow","Principal":"*","Action":["*",],"Resource":"*"}]}`, "Syntax errors in policy."},
		"two documents":          {with(`]}`, `]}{}`), "Syntax errors in policy."},
		"not UTF-8":              {with(`"s"`, "\"\xff\""), "Syntax errors in policy. (not UTF-8)"},
		"deep":                   {strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000), "Syntax errors in policy."},
		"deep inside":            {with(`"y"`, strings.Repeat(`[`, 5000)+strings.Repeat(`]`, 5000)), "Syntax errors in policy."},
		"version":                {with(`{"Statement"`, `{"Version":"2012-10-18","Statement"`), "Syntax errors in policy."},
		"version as number":      {with(`{"Statement"`, `{"Version":2012,"Statement"`), "Syntax errors in policy."},
		"unknown element":        {with(`{"Statement"`, `{"Rules":[],"Statement"`), "Syntax errors in policy. (unknown element Rules)"},
		"unknown in statement":   {with(`"Sid"`, `"Name"`), "Syntax errors in policy. (unknown element Name)"},
		"element in lower case":  {with(`"Effect"`, `"effect"`), "Syntax errors in policy."},
		"no statement":           {`{}`, "Syntax errors in policy."},
		"empty statements":       {`{"Statement":[]}`, "Syntax errors in policy."},
		"element twice":          {with(`"Effect":"Allow"`, `"Effect":"Allow","Effect":"Allow"`), "Syntax errors in policy. (Effect is there twice)"},
		"Action and NotAction":   {with(`"Action"`, `"NotAction":"s3:*","Action"`), "Syntax errors in policy. (both Action and NotAction)"},
		"Principal and Not":      {with(`"Principal"`, `"NotPrincipal":"*","Principal"`), "Syntax errors in policy."},
		"Resource and Not":       {with(`"Resource"`, `"NotResource":"*","Resource"`), "Syntax errors in policy."},
		"Sid twice":              {`{"Statement":[{"Sid":"a","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Sid":"a","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`, "Statement IDs (SID) in a single policy must be unique."},
		"no Effect":              {with(`"Effect":"Allow",`, ``), "Missing required field Effect cannot be empty!"},
		"Effect in lower case":   {with(`"Allow"`, `"allow"`), "Invalid effect: allow"},
		"no Principal":           {with(`"Principal":"*",`, ``), "Missing required field Principal cannot be empty!"},
		"empty Principal":        {with(`"Principal":"*"`, `"Principal":{}`), "Missing required field Principal cannot be empty!"},
		"Principal a list":       {with(`"Principal":"*"`, `"Principal":["*"]`), "Syntax errors in policy."},
		"Principal an account":   {with(`"Principal":"*"`, `"Principal":"123456789012"`), "Invalid principal in policy"},
		"principal type":         {with(`"Principal":"*"`, `"Principal":{"Aws":"*"}`), "Invalid principal in policy"},
		"short account":          {with(`"Principal":"*"`, `"Principal":{"AWS":"12345678901"}`), "Invalid principal in policy"},
		"account with letter":    {with(`"Principal":"*"`, `"Principal":{"AWS":"12345678901x"}`), "Invalid principal in policy"},
		"wildcard in principal":  {with(`"Principal":"*"`, `"Principal":{"AWS":"arn:aws:iam::123456789012:user/*"}`), "Invalid principal in policy"},
		"group":                  {with(`"Principal":"*"`, `"Principal":{"AWS":"arn:aws:iam::123456789012:group/g"}`), "Invalid principal in policy"},
		"service":                {with(`"Principal":"*"`, `"Principal":{"Service":"s3"}`), "Invalid principal in policy"},
		"empty principal":        {with(`"Principal":"*"`, `"Principal":{"Federated":""}`), "Invalid principal in policy"},
		"no Action":              {with(`"Action":"s3:GetObject",`, ``), "Policy statement must contain actions."},
		"empty Action":           {with(`"s3:GetObject"`, `[]`), "Policy statement must contain actions."},
		"action without vendor":  {with(`s3:GetObject`, `GetObject`), "Actions/Conditions must be prefaced by a vendor"},
		"action without name":    {with(`s3:GetObject`, `s3:`), "Actions/Conditions must be prefaced by a vendor"},
		"wildcard vendor":        {with(`s3:GetObject`, `s*:GetObject`), "Vendor s* is not valid"},
		"two colons":             {with(`s3:GetObject`, `s3:Get:Object`), "Actions/Condition can contain only one colon."},
		"action a number":        {with(`"s3:GetObject"`, `1`), "Syntax errors in policy."},
		"no Resource":            {with(`"Resource":"arn:aws:s3:::b/*",`, ``), "Policy statement must contain resources."},
		"resource no ARN":        {with(`arn:aws:s3:::b/*`, `execute-api:/*`), `Resource execute-api:/* must be in ARN format or "*".`},
		"partition":              {with(`arn:aws:s3:::b/*`, `arn:azure:s3:::b/*`), `Partition "azure" is not valid`},
		"wildcard service":       {with(`arn:aws:s3:::b/*`, `arn:aws:s*:::b/*`), "Resource vendor must be fully qualified and cannot contain regexes."},
		"ARN without service":    {with(`arn:aws:s3:::b/*`, `arn:aws`), "Resource vendor must be fully qualified and cannot contain regexes."},
		"early variable":         {`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:sqs:r:${aws:PrincipalAccount}:q"}}`, "Syntax errors in policy. (policy variable before the fifth colon"},
		"open variable":          {`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:sqs:r:a:${aws:x"}}`, "Syntax errors in policy. (malformed policy variable"},
		"condition key":          {with(`aws:x`, `x`), "Actions/Conditions must be prefaced by a vendor"},
		"condition key twice":    {with(`"aws:x":"y"`, `"aws:x":"y","AWS:X":"z"`), "Syntax errors in policy. (AWS:X is there twice)"},
		"operator":               {with(`StringEquals`, `StringMatches`), "Invalid Condition type : StringMatches."},
		"operator in lower case": {with(`StringEquals`, `stringequals`), "Invalid Condition type : stringequals."},
		"NullIfExists":           {with(`StringEquals`, `NullIfExists`), "Invalid Condition type : NullIfExists."},
		"qualifier":              {with(`StringEquals`, `ForSomeValues:StringEquals`), "Invalid Condition type"},
		"Null":                   {with(`"StringEquals"`, `"Null"`), `Invalid value of condition Null aws:x: "y" is neither true nor false.`},
		"Bool":                   {with(`"StringEquals"`, `"Bool"`), `Invalid value of condition Bool aws:x: "y" is neither true nor false.`},
		"number":                 {with(`"StringEquals"`, `"NumericEquals"`), `Invalid value of condition NumericEquals aws:x: "y" is not a number.`},
		"exponent":               {with(`"StringEquals":{"aws:x":"y"}`, `"NumericEquals":{"aws:x":1e999999999}`), `is not a number.`},
		"date":                   {with(`"StringEquals"`, `"DateLessThan"`), `"y" is not a date.`},
		"binary":                 {with(`"StringEquals"`, `"BinaryEquals"`), `illegal base64`},
		"address":                {with(`"StringEquals"`, `"IpAddress"`), `"y" is not an address or CIDR range.`},
		"condition value":        {with(`"y"`, `null`), "Syntax errors in policy."},
		"Condition a list":       {with(`{"StringEquals":{"aws:x":"y"}}`, `[]`), "Syntax errors in policy."},
		"too long":               {with(`"y"`, `"`+strings.Repeat("y", MaxSize)+`"`), "exceeds the maximum of 20480 bytes."},
	} {
		_, err := Parse([]byte(test.doc), Options{})
		bad, ok := errors.AsType[*Error](err)
		switch {
		case !ok:
			t.Errorf("%s: got %v, want an *Error", name, err)
		case !strings.Contains(bad.Message, test.message):
			t.Errorf("%s: got %q, want %q", name, bad.Message, test.message)
		case bad.Line < 1 || bad.Column < 1:
			t.Errorf("%s: is nowhere: %v", name, bad)
		}
	}
}

func TestErrorPosition(t *testing.T) {
	for doc, want := range map[string][2]int{
		"{\n  \"Statement\": {\n    \"Effect\": \"Perhaps\"}}":                                                                    {3, 15},
		"{\"Statement\": {\"Effect\": \"Allow\", \"Principal\": \"*\",\n\"Action\": [\"s3:Get\", \"Get\"], \"Resource\": \"*\"}}": {2, 22},
		"{\n\"Statement\" []}": {2, 13},
		"{":                    {1, 1}, // the last byte read
	} {
		_, err := Parse([]byte(doc), Options{})
		bad, ok := errors.AsType[*Error](err)
		if !ok || [2]int{bad.Line, bad.Column} != want {
			t.Errorf("%s: got %v, want position %v", doc, err, want)
		}
	}
}

func TestIdentityPolicies(t *testing.T) {
	const valid = `{"Version":"2012-10-17","Statement":{"Sid":"a1","Effect":"Allow","Action":"s3:*","Resource":"*"}}`
	p, err := Parse([]byte(valid), Options{Kind: Identity})
	if err != nil {
		t.Fatal(err)
	}
	if !p.Evaluate(&Request{Principal: alice, Action: "s3:GetObject", Resource: "arn:aws:s3:::b"}).Allowed() {
		t.Error("the identity's policy does not allow")
	}
	for old, test := range map[string][2]string{
		`"Sid"`: {`"Principal":"*","Sid"`, "Policy document should not specify a principal."},
		`"Eff`:  {`"NotPrincipal":"*","Eff`, "Policy document should not specify a principal."},
		`"a1"`:  {`"a 1"`, "Statement IDs (SID) must be alpha-numeric."},
		`{"Ver`: {`{"Id":"x","Ver`, "Syntax errors in policy."},
	} {
		_, err := Parse([]byte(strings.Replace(valid, old, test[0], 1)), Options{Kind: Identity})
		if err == nil || !strings.Contains(err.Error(), test[1]) {
			t.Errorf("%s: got %v, want %q", test[0], err, test[1])
		}
	}
}

func TestMaxSize(t *testing.T) {
	doc := []byte(with(`"s"`, `"s"`))
	if _, err := Parse(doc, Options{MaxSize: len(doc)}); err != nil {
		t.Error(err)
	}
	if _, err := Parse(doc, Options{MaxSize: len(doc) - 1}); err == nil {
		t.Error("a policy longer than the limit is accepted")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(with(`"s"`, `"s"`)), "s3:GetObject", "arn:aws:s3:::b/k", "y")
	f.Add([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","NotPrincipal":{"AWS":"123456789012"},"NotAction":"*","NotResource":"arn:aws:s3:::${aws:x, 'd'}","Condition":{"ForAllValues:NumericLessThan":{"aws:x":[1,"2.5"]},"DateEquals":{"aws:x":"2020-01-01"},"IpAddress":{"aws:x":"::/0"}}}}`), "s3:x", "arn", "1")
	f.Fuzz(func(t *testing.T, doc []byte, action, resource, value string) {
		p, err := Parse(doc, Options{})
		if err != nil {
			if bad, ok := errors.AsType[*Error](err); !ok || bad.Line < 1 || bad.Column < 1 || bad.Column > len(doc)+1 {
				t.Fatalf("malformed error: %v", err)
			}
			return
		}
		for _, principal := range []Principal{{}, alice, session} {
			req := &Request{Principal: principal, Action: action, Resource: resource, Context: NewContext(keys{"aws:x": {value}})}
			d := p.Evaluate(req)
			if (d.Outcome == ImplicitDeny) != (d.Statement == 0) || d.Statement > len(p.statements) {
				t.Fatalf("inconsistent decision %+v", d)
			}
			lines := p.Explain(req)
			if len(lines) != len(p.statements) || d.Statement > 0 && !strings.HasSuffix(lines[d.Statement-1], " applies") {
				t.Fatalf("decision %v, but %q", d, lines)
			}
		}
	})
}

package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/policy"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// compiledPolicy is a policy, or why it can't be evaluated.
type compiledPolicy struct {
	*policy.Policy
	broken error
	// asksCaller: the policy speaks of the caller's own address.
	asksCaller bool
}

func compilePolicy(name, text string) *compiledPolicy {
	var c compiledPolicy
	c.Policy, c.broken = policy.Parse([]byte(text), policy.Options{Name: name})
	c.asksCaller = mentions(text, "aws:VpcSourceIp")
	return &c
}

// mentions tells whether a condition key occurs in a policy, in any case and
// however its letters are written.
func mentions(text, key string) bool {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return true
	}
	plain, err := json.Marshal(v)
	return err != nil || bytes.Contains(bytes.ToLower(plain), []byte(strings.ToLower(key)))
}

// checkPolicies evaluates the API's resource policy and the endpoint's policy:
// each that there is must allow the request. A private API must have one.
func (x *exchange) checkPolicies() *message.Response {
	if x.assumed {
		return nil
	}
	var policies []*compiledPolicy
	if x.stage.policy != nil || x.api.EndpointType == "PRIVATE" {
		policies = append(policies, x.stage.policy)
	}
	if x.endpoint != nil && x.endpoint.policy != nil {
		policies = append(policies, x.endpoint.policy)
	}
	if len(policies) == 0 {
		return nil
	}
	request := &policy.Request{Action: "execute-api:Invoke", Context: x.conditionKeys()}
	var decisions []policy.Decision
	for _, p := range policies {
		d, err := x.evaluate(p, request)
		if err != nil {
			return x.deny(d, "authorization: "+err.Error())
		}
		decisions = append(decisions, d)
	}
	if d := policy.All(decisions...); !d.Allowed() {
		return x.deny(d, "authorization: "+d.String())
	}
	return nil
}

var errNoPolicy = errors.New("a private API without a resource policy lets nobody in")

// evaluate decides by one policy. What the path means and how it was written
// may differ: a statement that denies either denies the request.
func (x *exchange) evaluate(p *compiledPolicy, request *policy.Request) (policy.Decision, error) {
	switch {
	case p == nil:
		return policy.Decision{}, errNoPolicy
	case p.broken != nil:
		return policy.Decision{}, fmt.Errorf("a policy can't be evaluated: %w", p.broken)
	case p.asksCaller && x.stranger != nil:
		return policy.Decision{}, fmt.Errorf("a policy depends on aws:VpcSourceIp, which is not known: %w", x.stranger)
	}
	raw := x.RequestPath()
	meant, err := url.PathUnescape(raw)
	if err != nil {
		meant = raw
	}
	request.Resource = x.methodARN(meant)
	d := p.Evaluate(request)
	if meant != raw {
		request.Resource = x.methodARN(raw)
		if written := p.Evaluate(request); written.Outcome == policy.ExplicitDeny {
			return written, nil
		}
	}
	return d, nil
}

// methodARN is what policies call a method of a path.
func (x *exchange) methodARN(path string) string {
	return x.arn(x.api.Account, path)
}

func (x *exchange) arn(account, path string) string {
	return "arn:aws:execute-api:" + x.snapshot.region + ":" + account + ":" + x.api.ID + "/" + x.stage.Name + "/" + x.method + path
}

// conditionKeys are the keys that policies may speak of. Those of the endpoint
// come from the data plane.
func (x *exchange) conditionKeys() policy.Context {
	c := policy.Context{}
	c.Set("aws:CurrentTime", x.start.UTC().Format(time.RFC3339))
	c.Set("aws:EpochTime", strconv.FormatInt(x.start.Unix(), 10))
	c.Set("aws:SecureTransport", strconv.FormatBool(x.request.Secure))
	c.Set("aws:RequestedRegion", x.snapshot.region)
	c.Set("aws:PrincipalType", "Anonymous")
	for key, header := range map[string]string{"aws:UserAgent": "User-Agent", "aws:Referer": "Referer"} {
		if v := x.request.Header.Get(header); v != "" {
			c.Set(key, v)
		}
	}
	if x.endpoint == nil {
		c.Set("aws:SourceIp", x.client())
		return c
	}
	c.Set("aws:SourceVpc", x.endpoint.VPC)
	c.Set("aws:SourceVpce", x.endpoint.ID)
	if x.stranger == nil {
		c.Set("aws:VpcSourceIp", x.client())
	}
	return c
}

// deny answers that a policy does not allow the request. AWS masks the account.
func (x *exchange) deny(d policy.Decision, cause string) *message.Response {
	r := x.fail(accessDenied, cause)
	account := "********" + x.api.Account[max(0, len(x.api.Account)-4):]
	text := "User: anonymous is not authorized to perform: execute-api:Invoke on resource: " + x.arn(account, x.RequestPath())
	if d.Outcome == policy.ExplicitDeny {
		text += " with an explicit deny"
	}
	x.errorMessage = text
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	// A string can always be encoded.
	_ = encoder.Encode(struct{ Message string }{text})
	setBody(r, strings.TrimSpace(body.String()))
	return r
}

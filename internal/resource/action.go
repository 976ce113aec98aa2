package resource

// Action is what a listener or one of its rules does with a request or
// connection. One of the pointers is set. Actions are in the order in which they
// are done; the last one ends the request, and one that asks for an identity may
// come before it.
type Action struct {
	Order         int               `json:"order,omitempty"` // as it was given; 0: not at all
	Authenticate  *AuthenticateOIDC `json:"authenticate,omitempty"`
	ValidateJWT   *ValidateJWT      `json:"validateJWT,omitempty"`
	Forward       *Forward          `json:"forward,omitempty"`
	Redirect      *Redirect         `json:"redirect,omitempty"`
	FixedResponse *FixedResponse    `json:"fixedResponse,omitempty"`
}

// Forward sends to one of several target groups.
type Forward struct {
	Groups []WeightedGroup `json:"groups"`
	// Sticky keeps a client with the group that was chosen for it, for so many
	// seconds. The number is kept while it is off, for it is shown.
	Sticky        bool `json:"sticky,omitempty"`
	StickySeconds int  `json:"stickySeconds,omitempty"`
}

// WeightedGroup is a target group and its share.
type WeightedGroup struct {
	TargetGroup string `json:"targetGroup"` // ARN
	Weight      int    `json:"weight"`      // 0 to 999
}

// Redirect answers with a location, whose parts may hold placeholders for the
// request's: #{protocol}, #{host}, #{port}, #{path}, #{query}.
type Redirect struct {
	StatusCode string `json:"statusCode"` // "HTTP_301" or "HTTP_302"
	Protocol   string `json:"protocol"`
	Host       string `json:"host"`
	Port       string `json:"port"`
	Path       string `json:"path"`
	Query      string `json:"query"`
}

// FixedResponse answers with the same text always.
type FixedResponse struct {
	StatusCode  string `json:"statusCode"` // "200"
	ContentType string `json:"contentType,omitempty"`
	MessageBody string `json:"messageBody,omitempty"`
}

// TargetGroups are the ARNs of the target groups that actions forward to.
func TargetGroups(actions []Action) (arns []string) {
	for _, a := range actions {
		if a.Forward != nil {
			for _, g := range a.Forward.Groups {
				arns = append(arns, g.TargetGroup)
			}
		}
	}
	return arns
}

// ListenerRule is a rule of an Application Load Balancer's listener. The
// default one is no such row, but the listener's default actions.
type ListenerRule struct {
	Meta
	ARN        string          `json:"arn"`
	Listener   string          `json:"listener"` // ARN
	Priority   int             `json:"priority"` // 1 to 50000, unique in the listener
	Conditions []RuleCondition `json:"conditions"`
	// HostRewrite and URLRewrite are the transforms.
	HostRewrite *Rewrite `json:"hostRewrite,omitempty"`
	URLRewrite  *Rewrite `json:"urlRewrite,omitempty"`
	Actions     []Action `json:"actions"`
}

// Rewrite replaces what a regular expression matches.
type Rewrite struct {
	Regex   string `json:"regex"`
	Replace string `json:"replace"`
}

// Key is the rule's ARN, which begins with that of its listener but for the
// word that names the kind.
func (r *ListenerRule) Key() string { return r.ARN }

// RuleCondition holds for a request if one of its values does.
type RuleCondition struct {
	Field      string      `json:"field"`                // "host-header", "path-pattern", …, as on the wire
	HeaderName string      `json:"headerName,omitempty"` // of "http-header"
	Values     []string    `json:"values,omitempty"`
	Regex      []string    `json:"regex,omitempty"` // regular expressions, in the place of values
	Query      []QueryPair `json:"query,omitempty"` // of "query-string"
}

// QueryPair is a parameter of the query; any, if the key is empty.
type QueryPair struct {
	Key   string `json:"key,omitempty"`
	Value string `json:"value"`
}

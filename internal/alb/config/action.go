package config

// Action is what a rule does with a request. One of Forward, Redirect and
// FixedResponse is set, and is come to only if what is before it lets the
// request pass.
type Action struct {
	Authenticate  *Authenticate  `json:"authenticate,omitempty"`
	ValidateJWT   *ValidateJWT   `json:"validateJWT,omitempty"`
	Forward       *Forward       `json:"forward,omitempty"`
	Redirect      *Redirect      `json:"redirect,omitempty"`
	FixedResponse *FixedResponse `json:"fixedResponse,omitempty"`
}

// Forward sends the request to one of the groups.
type Forward struct {
	Groups []WeightedGroup `json:"groups"`
	// StickySeconds, if not zero, is how long a client stays with the group
	// that was chosen for it.
	StickySeconds int `json:"stickySeconds,omitempty"`
}

// WeightedGroup is a target group and its share. A group whose weight is zero
// gets nothing.
type WeightedGroup struct {
	TargetGroup string `json:"targetGroup"` // ARN, a key of Config.TargetGroups
	Weight      int    `json:"weight"`      // 0 to 999
}

// Redirect answers with a location. The parts may hold #{protocol}, #{host},
// #{port}, #{path} (without the leading "/") and #{query}, which stand for the
// request's. None is empty but Query.
type Redirect struct {
	StatusCode int    `json:"statusCode"` // 301 or 302
	Protocol   string `json:"protocol"`   // "HTTP", "HTTPS" or "#{protocol}"
	Host       string `json:"host"`
	Port       string `json:"port"`
	Path       string `json:"path"` // begins with "/"
	Query      string `json:"query,omitempty"`
}

// FixedResponse answers with the same text always.
type FixedResponse struct {
	StatusCode  int    `json:"statusCode"`
	ContentType string `json:"contentType,omitempty"`
	MessageBody string `json:"messageBody,omitempty"`
}

package rule

import (
	"errors"
	"regexp"
	"strings"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// Transform rewrites the requests that a rule matches. The zero one leaves
// them as they are.
type Transform struct {
	host, url *rewrite
}

type rewrite struct {
	regex    *regexp.Regexp
	template []piece
}

// piece is a text, or what a group of the expression matched.
type piece struct {
	text  string
	group int // if text is empty
}

// ErrTransform says that a rewritten request can't be sent: AWS answers 500.
var ErrTransform = errors.New("the transform makes a request that is not valid")

// maxURL and maxHost bound what a transform makes.
const (
	maxURL  = 16 << 10
	maxHost = 255
)

// NewTransform compiles the transforms of a rule.
func NewTransform(c config.Rule) (t Transform, err error) {
	if c.HostRewrite != nil {
		if t.host, err = newRewrite(c.HostRewrite, "(?i)"); err != nil {
			return t, err
		}
	}
	if c.URLRewrite != nil {
		t.url, err = newRewrite(c.URLRewrite, "")
	}
	return t, err
}

func newRewrite(c *config.Rewrite, prefix string) (*rewrite, error) {
	regexes, err := newRegexes([]string{c.Regex}, prefix)
	if err != nil {
		return nil, err
	}
	r := &rewrite{regex: regexes[0]}
	r.template, err = parseTemplate(c.Replace, r.regex.NumSubexp())
	return r, err
}

// CheckRewrite says what is wrong with a rewriting, if anything is.
func CheckRewrite(regex, replace string) error {
	_, err := newRewrite(&config.Rewrite{Regex: regex, Replace: replace}, "")
	return err
}

// parseTemplate reads a replacement, in which "$" and a number from 0 to 9
// stand for a group of the expression.
func parseTemplate(s string, groups int) (template []piece, err error) {
	for {
		i := strings.IndexByte(s, '$')
		for i >= 0 && (i+1 == len(s) || s[i+1] < '0' || s[i+1] > '9') {
			next := strings.IndexByte(s[i+1:], '$')
			if next < 0 {
				i = -1
			} else {
				i += 1 + next
			}
		}
		if i < 0 {
			if s != "" {
				template = append(template, piece{text: s})
			}
			return template, nil
		}
		if i > 0 {
			template = append(template, piece{text: s[:i]})
		}
		group := int(s[i+1] - '0')
		if group > groups {
			return nil, errors.New("the replacement names a group that the expression does not have: " + s[i:i+2])
		}
		template = append(template, piece{group: group})
		s = s[i+2:]
	}
}

// apply replaces the first match in a text. It is false if nothing matches.
func (r *rewrite) apply(s string) (string, bool) {
	at := r.regex.FindStringSubmatchIndex(s)
	if at == nil {
		return s, false
	}
	var out strings.Builder
	out.WriteString(s[:at[0]])
	for _, p := range r.template {
		if p.text != "" {
			out.WriteString(p.text)
		} else if from := at[2*p.group]; from >= 0 {
			out.WriteString(s[from:at[2*p.group+1]])
		}
	}
	out.WriteString(s[at[1]:])
	return out.String(), true
}

// Apply is the request as targets and redirects see it, and whether its host
// was rewritten. A request that nothing matches is returned itself.
func (t *Transform) Apply(r *message.Request) (out *message.Request, host bool, err error) {
	out = r
	if t.host != nil {
		if to, ok := t.host.apply(r.Host); ok {
			if !validHost(to) {
				return r, false, ErrTransform
			}
			rewritten := *out
			rewritten.Host, out, host = to, &rewritten, true
		}
	}
	if t.url != nil {
		url := r.Path
		if r.Query != "" {
			url += "?" + r.Query
		}
		if to, ok := t.url.apply(url); ok {
			if !validURL(to) {
				return r, false, ErrTransform
			}
			rewritten := *out
			rewritten.Path, rewritten.Query, _ = strings.Cut(to, "?")
			out = &rewritten
		}
	}
	return out, host, nil
}

func validHost(s string) bool {
	return s != "" && len(s) <= maxHost && visible(s) && !strings.ContainsAny(s, "/?#@\\,<>\"{}|^`")
}

func validURL(s string) bool {
	return strings.HasPrefix(s, "/") && len(s) <= maxURL && visible(s) && !strings.Contains(s, "#")
}

// visible says whether a text is of visible ASCII only.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

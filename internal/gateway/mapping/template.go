package mapping

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Template is a body template of a REST API. Templates are written in the
// Velocity Template Language; only those without directives and references,
// and those that pass the body through, can be used.
type Template struct {
	Text        string
	Passthrough bool // the body as it is
}

// directive matches what Velocity would interpret: a reference ("$x", "${x}",
// "$!x"), a directive ("#set", "#{else}", "#[[") or a comment.
var directive = regexp.MustCompile(`\$!?\{?[A-Za-z_]|#\{?(set|if|elseif|else|end|foreach|include|parse|macro|stop|break|evaluate|define)\b|##|#\*|#\[\[|#@`)

// ParseTemplate checks a template.
func ParseTemplate(text string) (Template, error) {
	switch strings.TrimSpace(text) {
	case `$input.body`, `$input.json('$')`, `$input.json("$")`:
		return Template{Passthrough: true}, nil
	}
	if at := directive.FindString(text); at != "" {
		return Template{}, fmt.Errorf("parse template: directives of the Velocity Template Language (%q) are not supported", at)
	}
	return Template{Text: text}, nil
}

// statusCode matches the member of a mock's request template. AWS takes it
// with and without quotes.
var statusCode = regexp.MustCompile(`^\s*\{[^{}]*?["']?\bstatusCode\b["']?\s*:\s*["']?([1-5][0-9]{2})["']?\s*[,}]`)

// MockStatus is the status code that the rendered request template of a MOCK
// integration gives.
func MockStatus(text string) (int, error) {
	found := statusCode.FindStringSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("read the request template: it gives no statusCode")
	}
	return strconv.Atoi(found[1])
}

package alb

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/loopback"
)

// TestAccessLog: the fields are AWS's, in their order.
func TestAccessLog(t *testing.T) {
	at := startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(201)
		io.WriteString(w, "hello")
	})
	dead := loopback.Refusing(t)
	is := func(path string) []config.Condition {
		return []config.Condition{{Field: config.PathPattern, Values: []string{path}}}
	}
	c := configuration(healthy(at),
		config.Rule{Priority: 5, Conditions: is("/moved"), Action: config.Action{Redirect: &config.Redirect{StatusCode: 302, Protocol: "HTTPS", Host: "b", Port: "443", Path: "/"}}},
		config.Rule{Priority: 6, Conditions: is("/dead"), Action: to("dead")},
		config.Rule{Priority: 7, Conditions: is("/v1/*"), URLRewrite: &config.Rewrite{Regex: "^/v1", Replace: ""}, HostRewrite: &config.Rewrite{Regex: ".*", Replace: "inner"}, Action: to("tg")},
		config.Rule{Priority: 8, Conditions: is("/broken"), URLRewrite: &config.Rewrite{Regex: "^/", Replace: ""}, Action: to("tg")},
	)
	c.LoadBalancer = "arn:aws:elasticloadbalancing:us-east-1:111111111111:loadbalancer/app/web/0123456789abcdef"
	c.TargetGroups["dead"] = config.TargetGroup{ARN: "dead", Targets: healthy(dead)}
	file := &logBuffer{}
	n := startNodeWith(t, c, file)
	n.do("POST", "/a?b=c", strings.NewReader("12345"), "Host: shop.example:99", `User-Agent: x"\`+"\t")
	n.get("/moved", "Host: shop.example", "User-Agent: curl")
	n.get("/dead", "Host: shop.example", "User-Agent: curl")
	n.get("/v1/x?y", "Host: shop.example", "User-Agent: curl")
	n.get("/broken", "Host: shop.example", "User-Agent: curl")
	const now, client, seconds = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z`, `127\.0\.0\.1:\d+`, `\d+\.\d{3}`
	const head = `^http ` + now + ` app/web/0123456789abcdef ` + client + " "
	target, trace := regexp.QuoteMeta(at.String()), `"Root=1-[0-9a-f]{8}-[0-9a-f]{24}"`
	for _, tt := range []struct{ text, want string }{
		{"/a?b=c", head + target + ` ` + seconds + ` ` + seconds + ` ` + seconds + ` 201 201 \d\d+ 1\d\d "POST http://shop\.example:8080/a\?b=c HTTP/1\.1" "x\\"\\\\" - - tg ` +
			trace + ` "-" "-" 0 ` + now + ` "forward" "-" "-" "` + target + `" "201" "-" "-" - "-" "-" "-"$`},
		{"/moved", head + `- -1 -1 -1 302 - \d+ \d+ "GET http://shop\.example:8080/moved HTTP/1\.1" "curl" - - - ` + trace + ` "-" "-" 5 ` + now + ` "redirect" "https://b:443/" "-" "-" "-" "-" "-" - "-" "-" "-"$`},
		{"/dead", head + regexp.QuoteMeta(dead.String()) + ` -1 -1 -1 502 - .* 6 ` + now + ` "forward" "-" "-" "` + regexp.QuoteMeta(dead.String()) + `" "-" "-" "-" - "-" "-" "-"$`},
		{"/v1/x", ` 201 201 .*"GET http://shop\.example:8080/v1/x\?y HTTP/1\.1" .* - "inner" "/x\?y" "TransformSuccess"$`},
		{"/broken", ` 500 - .* - "-" "-" "TransformFailed"$`},
	} {
		if line := file.with(t, tt.text); !regexp.MustCompile(tt.want).MatchString(line) {
			t.Errorf("%s:\n got %s\nwant %s", tt.text, line, tt.want)
		}
	}
	conn, err := net.Dial("tcp", n.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /\r\n\r\n")
	line := file.with(t, " 400 ")
	fields := func(s string) int { return len(regexp.MustCompile(`"(\\.|[^"\\])*"|\S+`).FindAllString(s, -1)) }
	if whole := file.with(t, "/moved"); fields(line) != fields(whole) || fields(whole) != 33 {
		t.Errorf("%d fields, and %d:\n%s", fields(whole), fields(line), line)
	}
}

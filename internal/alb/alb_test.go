package alb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/loopback"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

func TestRulesLeadToGroups(t *testing.T) {
	is := func(f config.Field, v string) config.Condition {
		return config.Condition{Field: f, Values: []string{v}}
	}
	names := []string{"host", "path", "header", "method", "query", "source"}
	conditions := []config.Condition{
		is(config.HostHeader, "*.example.com"), is(config.PathPattern, "/img/*"),
		{Field: config.HTTPHeader, HeaderName: "X-A", Values: []string{"b*"}}, is(config.RequestMethod, "DELETE"),
		{Field: config.QueryString, Query: []config.QueryPair{{Key: "v", Value: "2"}}},
		{Field: config.SourceIP, Sources: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	}
	c := configuration(healthy(startTarget(t, "default")))
	for i, name := range names {
		c.TargetGroups[name] = config.TargetGroup{ARN: name, Targets: healthy(startTarget(t, name))}
		cs := conditions[i : i+1]
		if name == "source" { // all of the test's requests come from there
			cs = append([]config.Condition{is(config.PathPattern, "/from")}, cs...)
		}
		c.Listeners[0].Rules = append(c.Listeners[0].Rules, config.Rule{ARN: name, Priority: 10 * (i + 1), Conditions: cs, Action: to(name)})
	}
	n := startNode(t, c)
	for _, tt := range []struct {
		name string
		got  answer
	}{
		{"default", n.get("/")},
		{"host", n.get("/img/x", "Host: WWW.example.com:99")}, // the first rule that matches
		{"path", n.get("/img/x?v=2")},
		{"header", n.get("/", "X-A: BCD")},
		{"method", n.do("DELETE", "/", nil)},
		{"query", n.get("/?a&v=2")},
		{"source", n.get("/from")},
	} {
		if tt.got.status != 200 || tt.got.seen.Name != tt.name {
			t.Errorf("%s: %d from %q", tt.name, tt.got.status, tt.got.seen.Name)
		}
	}
	if line := n.log.find(t, "/from"); line["matched_rule_priority"] != 60.0 || line["target_group_arn"] != "source" || line["elb_status_code"] != 200.0 {
		t.Errorf("logged %v", line)
	}
}

func TestWhatTheTargetSees(t *testing.T) {
	c := configuration(healthy(startTarget(t, "a")))
	n := startNode(t, c)
	get := func(change func(*config.Attributes), header ...string) seen {
		next := *c
		change(&next.Attributes)
		n.apply(&next)
		a := n.do("POST", "/p%2Fq/../r?x=%20", strings.NewReader("body"), header...)
		if a.status != 200 || a.header.Get("Server") != "target" {
			t.Errorf("%d %v", a.status, a.header)
		}
		return a.seen
	}
	s := get(func(*config.Attributes) {}, "Host: a.b:1234", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "Connection: X-Drop", "X-Drop: 1", "Keep-Alive: 1", "X_Y: z")
	if s.Method != "POST" || s.URI != "/p%2Fq/../r?x=%20" || s.Body != "body" || s.Host != "a.b:1234" {
		t.Errorf("%+v", s)
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": "1.2.3.4, 127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "8080",
		"X-Drop": "", "Connection": "", "Keep-Alive": "", "X_y": "z",
	} {
		if got := s.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if s := get(func(a *config.Attributes) { a.XForwardedFor = config.XFFPreserve }, "X-Forwarded-For: 1.2.3.4", "Host: a.b"); s.Header.Get("X-Forwarded-For") != "1.2.3.4" || s.Host != "a.b:8080" {
		t.Errorf("%+v", s)
	}
	if s := get(func(a *config.Attributes) { a.XForwardedFor, a.PreserveHost = config.XFFRemove, true }, "X-Forwarded-For: 1.2.3.4", "Host: a.b"); s.Header.Get("X-Forwarded-For") != "" || s.Host != "a.b" {
		t.Errorf("%+v", s)
	}
	if s := get(func(a *config.Attributes) { a.XFFClientPort, a.DropInvalidHeaders = true, true }, "X_Y: z"); !regexp.MustCompile(`^127\.0\.0\.1:\d+$`).MatchString(s.Header.Get("X-Forwarded-For")) || s.Header.Get("X_y") != "" {
		t.Errorf("%+v", s)
	}
}

func TestTraceID(t *testing.T) {
	now := time.Unix(0x65000000, 0)
	id := `1-65000000-[0-9a-f]{24}`
	for in, want := range map[string]string{
		"":                          "^Root=" + id + "$",
		"Root=1-1-2":                "^Self=" + id + ";Root=1-1-2$",
		"Root=1-1-2;CalledFrom=app": "^Self=" + id + ";Root=1-1-2;CalledFrom=app$",
		"Self=1-9-9;Root=1-1-2":     "^Self=" + id + ";Root=1-1-2$",
		"CalledFrom=app":            "^Root=" + id + ";CalledFrom=app$",
		" Root=1-1-2 ; Sampled=1;":  "^Self=" + id + ";Root=1-1-2;Sampled=1$",
	} {
		if got := traceID(new(http1.Texts), in, now); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("traceID(%q) = %q", in, got)
		}
	}
}

func TestOwnAnswers(t *testing.T) {
	fixed := config.Action{FixedResponse: &config.FixedResponse{StatusCode: 418, ContentType: "application/json", MessageBody: `{"a":1}`}}
	empty := config.Action{FixedResponse: &config.FixedResponse{StatusCode: 204}}
	moved := config.Action{Redirect: &config.Redirect{StatusCode: 301, Protocol: "HTTPS", Host: "#{host}", Port: "443", Path: "/new/#{path}", Query: "#{query}"}}
	at := func(path string, a config.Action) config.Rule {
		return config.Rule{ARN: path, Priority: 1, Action: a, Conditions: []config.Condition{{Field: config.PathPattern, Values: []string{path}}}}
	}
	c := configuration(nil, at("/fixed", fixed), at("/empty", empty), at("/old/*", moved), at("/none", to("unweighted")), at("/refused", to("refused")))
	c.Listeners[0].Rules[3].Action.Forward.Groups[0].Weight = 0
	c.TargetGroups["unweighted"] = config.TargetGroup{ARN: "unweighted", Targets: healthy(startTarget(t, "a"))}
	c.TargetGroups["refused"] = config.TargetGroup{ARN: "refused", Targets: healthy(loopback.Refusing(t))}
	n := startNode(t, c)
	html := func(text string) string {
		return "<html>\r\n<head><title>" + text + "</title></head>\r\n<body>\r\n<center><h1>" + text + "</h1></center>\r\n</body>\r\n</html>\r\n"
	}
	for _, tt := range []struct {
		method, path string
		header       string
		status       int
		mediaType    string
		body         string
		cause        string
	}{
		{"GET", "/fixed", "", 418, "application/json; charset=utf-8", `{"a":1}`, ""},
		{"HEAD", "/fixed", "", 418, "application/json; charset=utf-8", "", ""},
		{"GET", "/empty", "", 204, "text/plain; charset=utf-8", "", ""},
		{"GET", "/old/x", "", 301, "text/html", html("301 Moved Permanently"), ""},
		{"GET", "/unregistered", "", 503, "text/html", html("503 Service Temporarily Unavailable"), "no-healthy-target: no target is registered with tg"},
		{"GET", "/none", "", 503, "text/html", html("503 Service Temporarily Unavailable"), "no-healthy-target: no target group has a weight"},
		{"GET", "/refused", "", 502, "text/html", html("502 Bad Gateway"), "connection refused"},
		{"TRACE", "/trace", "", 405, "text/html", html("405 Not Allowed"), "method TRACE"},
		{"GET", "/" + strings.Repeat("x", 17<<10), "", 414, "text/html", html("414 Request-URI Too Large"), "URL"},
		{"GET", "/field", "X-A: " + strings.Repeat("x", 17<<10), 400, "text/html", html("400 Bad Request"), "a header field is too long"},
		{"GET", "/forwarded", "X-Forwarded-For: " + strings.Repeat("1.1.1.1,", 30) + "2.2.2.2", 463, "text/html", html("463"), "more than 30"},
	} {
		a := n.do(tt.method, tt.path, nil, tt.header)
		if a.status != tt.status || a.body != tt.body || a.header.Get("Content-Type") != tt.mediaType || a.header.Get("Server") != "awselb/2.0" {
			t.Errorf("%s %.20s: %d %q %v", tt.method, tt.path, a.status, a.body, a.header)
		}
		if tt.cause != "" {
			if line := n.log.find(t, tt.path); !strings.Contains(fmt.Sprint(line["error"]), tt.cause) || line["elb_status_code"] != float64(tt.status) {
				t.Errorf("%.20s: logged %v", tt.path, line)
			}
		}
	}
	if got := n.get("/old/a?b=c", "Host: h:80").header.Get("Location"); got != "https://h:443/new/old/a?b=c" {
		t.Errorf("location %q", got)
	}
	c.Listeners[0].OmitServer = true
	n.apply(c)
	if a := n.get("/fixed"); a.header.Get("Server") != "" {
		t.Errorf("server %q", a.header.Get("Server"))
	}
}

// What is no request gets AWS's page, and a line in the log.
func TestBadRequest(t *testing.T) {
	n := startNode(t, configuration(nil))
	for _, text := range []string{
		"GET\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-A: "+strings.Repeat("x", 1000)+"\r\n", 80) + "\r\n",
	} {
		c, err := net.Dial("tcp", n.address())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		go io.WriteString(c, text)
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != 400 || response.Header.Get("Server") != "awselb/2.0" || !strings.Contains(string(body), "<title>400 Bad Request</title>") {
			t.Errorf("%.30q: %d %q, %v", text, response.StatusCode, body, err)
		}
	}
	n.log.line(t, "the third 400", func(string) bool {
		return strings.Count(n.log.text(), `"elb_status_code":400`) == 3
	})
}

// raw answers each connection with a text and closes it.
func raw(t *testing.T, text string) netip.AddrPort {
	return loopback.Serve(t, func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, text)
	})
}

func TestTargetFails(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	slow := startHandler(t, func(w http.ResponseWriter, r *http.Request) { <-hang })
	for what, tt := range map[string]struct {
		target netip.AddrPort
		status int
		cause  string
	}{
		"closed":    {raw(t, ""), 502, "closed before the response"},
		"malformed": {raw(t, "SSH-2.0\r\n"), 502, "not HTTP"},
		"switch":    {raw(t, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), 502, "101"},
		"slow":      {slow, 504, "no answer to the request in time"},
	} {
		c := configuration(healthy(tt.target))
		c.Attributes.IdleTimeoutSeconds = 1
		n := startNode(t, c)
		if a := n.get("/" + what); a.status != tt.status {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
		if line := n.log.find(t, "/"+what); !strings.Contains(fmt.Sprint(line["error"]), tt.cause) {
			t.Errorf("%s: logged %v", what, line)
		}
	}
}

// silent neither takes nor refuses connections: its queue is full.
func silent(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	own := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := errors.Join(unix.Bind(fd, own), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.AddrFrom4(own.Addr), uint16(sa.(*unix.SockaddrInet4).Port))
	for {
		c, err := net.DialTimeout("tcp", at.String(), 300*time.Millisecond)
		if err != nil {
			return at
		}
		t.Cleanup(func() { c.Close() })
	}
}

// The network's own word is the cause, and is waited for no longer.
func TestDroppedPacketsAreExplained(t *testing.T) {
	at := silent(t)
	n := startNode(t, configuration(healthy(at)), func(o *upstream.Options) {
		o.Explain = func(_ context.Context, _ netip.Addr, dst netip.AddrPort) (upstream.Explanation, error) {
			return upstream.Explanation{Verdict: "sg-ingress", Cause: "sg-1 allows no " + dst.String(), Definitive: true}, nil
		}
	})
	start := time.Now()
	if a := n.get("/"); a.status != 504 || time.Since(start) > 5*time.Second {
		t.Errorf("%d after %v", a.status, time.Since(start))
	}
	if line := n.log.find(t, "/"); line["error"] != "sg-ingress: sg-1 allows no "+at.String() {
		t.Errorf("logged %v", line)
	}
}

func TestClientLeaves(t *testing.T) {
	entered := make(chan struct{})
	left := make(chan struct{})
	n := startNode(t, configuration(healthy(startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	}))))
	c, err := net.Dial("tcp", n.address())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET /gone HTTP/1.1\r\nHost: a\r\n\r\n")
	<-entered
	c.Close()
	<-left // the target is told
	if line := n.log.find(t, "/gone"); line["elb_status_code"] != 460.0 || !strings.Contains(fmt.Sprint(line["error"]), "client: ") {
		t.Errorf("logged %v", line)
	}
}

// Both bodies pass piece by piece.
func TestStreams(t *testing.T) {
	n := startNode(t, configuration(healthy(startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(200)
		http.NewResponseController(w).Flush()
		b := make([]byte, 16)
		for {
			k, err := r.Body.Read(b)
			w.Write(b[:k])
			http.NewResponseController(w).Flush()
			if err != nil {
				return
			}
		}
	}))))
	in, out := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+n.address()+"/", in)
	if err != nil {
		t.Fatal(err)
	}
	response, err := n.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for _, word := range []string{"one", "two", "three"} {
		io.WriteString(out, word)
		b := make([]byte, len(word))
		if _, err := io.ReadFull(response.Body, b); err != nil || string(b) != word {
			t.Fatalf("%q, %v", b, err)
		}
	}
	out.Close()
	if rest, err := io.ReadAll(response.Body); err != nil || len(rest) != 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestWebSocketPasses(t *testing.T) {
	n := startNode(t, configuration(healthy(startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") || r.Header.Get("Sec-Websocket-Key") != "k" {
			w.WriteHeader(400)
			return
		}
		c, b, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n\r\n")
		io.Copy(c, b)
	}))))
	c, err := net.Dial("tcp", n.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\nearly")
	b := bufio.NewReader(c)
	response, err := http.ReadResponse(b, nil)
	if err != nil || response.StatusCode != 101 || response.Header.Get("Sec-Websocket-Accept") != "a" || response.Header.Get("Upgrade") != "websocket" {
		t.Fatalf("%+v, %v", response, err)
	}
	for _, word := range []string{"early", "ping", "pong"} {
		if word != "early" {
			io.WriteString(c, word)
		}
		got := make([]byte, len(word))
		if _, err := io.ReadFull(b, got); err != nil || string(got) != word {
			t.Fatalf("%q, %v", got, err)
		}
	}
	c.Close()
	if line := n.log.find(t, "/socket"); line["elb_status_code"] != 101.0 || line["sent_bytes"] != 13.0 {
		t.Errorf("logged %v", line)
	}
}

// Listeners come and go with the configuration, without harm to the others.
func TestListenersChange(t *testing.T) {
	c := configuration(healthy(startTarget(t, "a")))
	n := startNode(t, c)
	second := netip.AddrPortFrom(c.Address, port+1).String()
	reach := func() error {
		c, err := net.Dial("tcp", second)
		if err == nil {
			c.Close()
		}
		return err
	}
	if reach() == nil {
		t.Fatal("the second listener is open")
	}
	two := *c
	two.Listeners = append(two.Listeners[:1:1], config.Listener{ARN: "l2", Port: port + 1, Default: to("tg")})
	n.apply(&two)
	if err := reach(); err != nil {
		t.Error(err)
	}
	// Other timeouts need other servers, but no other socket.
	two.Attributes.IdleTimeoutSeconds = 7
	for range 5 {
		two.Attributes.IdleTimeoutSeconds++
		next := two
		done := make(chan int)
		go func() { done <- n.get("/").status }()
		n.apply(&next)
		if status := <-done; status != 200 {
			t.Errorf("status %d", status)
		}
	}
	n.apply(c)
	if reach() == nil {
		t.Error("the second listener is still open")
	}
	if a := n.get("/"); a.status != 200 {
		t.Errorf("status %d", a.status)
	}
	// What is not whole changes nothing.
	broken := *c
	broken.Listeners = []config.Listener{{Port: port, Default: to("missing")}}
	if err := n.b.Apply(&broken); err == nil {
		t.Error("a missing group was taken")
	}
	if a := n.get("/"); a.status != 200 {
		t.Errorf("status %d", a.status)
	}
}

func TestClientKeepAlive(t *testing.T) {
	c := configuration(healthy(startTarget(t, "a")))
	n := startNode(t, c)
	if a := n.get("/"); a.header.Get("Connection") != "" {
		t.Errorf("%v", a.header)
	}
	old := *c
	old.Attributes.ClientKeepAliveSeconds = 1
	n.apply(&old)
	time.Sleep(1100 * time.Millisecond) // the connection's age is what is tested
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+n.address()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := n.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if !response.Close {
		t.Error("an old connection is kept")
	}
}

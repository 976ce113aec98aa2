package alb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/linelog"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// target is a server that tells its name and what it was sent.
func startTarget(t *testing.T, name string) netip.AddrPort {
	t.Helper()
	return startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Target", name)
		w.Header().Set("Server", "target")
		json.NewEncoder(w).Encode(seen{name, r.Method, r.RequestURI, r.Host, r.Header, string(body)})
	})
}

type seen struct {
	Name, Method, URI, Host string
	Header                  http.Header
	Body                    string
}

func startHandler(t *testing.T, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

func healthy(at ...netip.AddrPort) []config.Target {
	var ts []config.Target
	for _, a := range at {
		ts = append(ts, config.Target{ID: a.String(), Address: a, Health: config.Healthy})
	}
	return ts
}

const port = 8080

// configuration has one listener on an address of its own, whose default is
// the group "tg".
func configuration(targets []config.Target, rules ...config.Rule) *config.Config {
	return &config.Config{
		ENI: "eni-1", LoadBalancer: "arn:lb", CookieKey: bytes.Repeat([]byte{7}, config.CookieKeySize),
		Address:      netip.AddrFrom4([4]byte{127, byte(1 + rand.IntN(250)), byte(rand.IntN(250)), byte(1 + rand.IntN(250))}),
		Listeners:    []config.Listener{{ARN: "arn:listener", Port: port, Rules: rules, Default: to("tg")}},
		TargetGroups: map[string]config.TargetGroup{"tg": {ARN: "tg", Algorithm: config.RoundRobin, Targets: targets}},
		Attributes:   config.Attributes{IdleTimeoutSeconds: 60, ClientKeepAliveSeconds: 3600, XForwardedFor: config.XFFAppend},
	}
}

func to(groups ...string) config.Action {
	f := &config.Forward{}
	for _, g := range groups {
		f.Groups = append(f.Groups, config.WeightedGroup{TargetGroup: g, Weight: 1})
	}
	return config.Action{Forward: f}
}

// node is a balancer that listens.
type node struct {
	t      *testing.T
	b      *Balancer
	d      *doors
	at     netip.Addr
	log    *logBuffer
	client *http.Client
}

func startNode(t *testing.T, c *config.Config, change ...func(*upstream.Options)) *node {
	t.Helper()
	return startNodeWith(t, c, nil, change...)
}

// startNodeWith starts a node with an access log.
func startNodeWith(t *testing.T, c *config.Config, file io.Writer, change ...func(*upstream.Options)) *node {
	t.Helper()
	n := &node{t: t, log: &logBuffer{}}
	o := Options{Access: linelog.NewLog(n.log, true, slog.LevelInfo, ""), AccessFile: file}
	for _, f := range change {
		f(&o.Upstream)
	}
	n.b = New(o)
	n.d = &doors{handler: n.b.Handler, tls: n.b.TLS, refuse: n.b.Refuse, failed: n.b.logHandshake, drain: 5 * time.Second, log: slog.New(slog.DiscardHandler), open: map[uint16]*door{}}
	t.Cleanup(n.d.close)
	n.client = &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(n.client.CloseIdleConnections)
	n.at = c.Address
	n.apply(c)
	return n
}

func (n *node) apply(c *config.Config) {
	n.t.Helper()
	if err := n.b.Apply(c); err != nil {
		n.t.Fatal(err)
	}
	if err := n.d.set(c); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) address() string { return netip.AddrPortFrom(n.at, port).String() }

type answer struct {
	status int
	header http.Header
	body   string
	seen   seen // what the target was sent
}

// get sends a request; header are lines such as "Host: a".
func (n *node) get(path string, header ...string) answer { return n.do("GET", path, nil, header...) }

func (n *node) do(method, path string, body io.Reader, header ...string) answer {
	n.t.Helper()
	return n.send("http", method, path, body, header...)
}

func (n *node) send(scheme, method, path string, body io.Reader, header ...string) answer {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), method, scheme+"://"+n.address()+path, body)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, h := range header {
		name, value, ok := strings.Cut(h, ": ")
		if !ok {
			continue // none
		}
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Add(name, value)
		}
	}
	response, err := n.client.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header, body: string(b)}
	json.Unmarshal(b, &a.seen)
	return a
}

// logBuffer holds the access log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// line waits for one that fits: it is written after the response.
func (l *logBuffer) line(t *testing.T, what string, fits func(line string) bool) string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for line := range strings.Lines(l.text()) {
			if fits(line) {
				return strings.TrimSuffix(line, "\n")
			}
		}
	}
	t.Fatalf("no line with %s in the log: %s", what, l.text())
	return ""
}

// with waits for a line that holds a text.
func (l *logBuffer) with(t *testing.T, text string) string {
	t.Helper()
	return l.line(t, text, func(line string) bool { return strings.Contains(line, text) })
}

// find waits for a line of JSON about a path.
func (l *logBuffer) find(t *testing.T, path string) (m map[string]any) {
	t.Helper()
	l.line(t, path, func(line string) bool {
		m = nil
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		_, p, _ := strings.Cut(fmt.Sprint(m["request"]), " ")
		return p == path
	})
	return m
}

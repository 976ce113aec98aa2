package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/node"
	"github.com/isthmus-net/isthmus/internal/supervise"
)

func init() {
	runtime.LockOSThread() // as cmd/isthmus does, and for its reasons
}

// The test binary is isthmus too, when it is called so.
func TestMain(m *testing.M) {
	if os.Args[0] == "isthmus" {
		os.Exit(Main(context.Background(), Env{
			Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
			Getenv: os.Getenv, Environ: os.Environ,
			Exec: func(string, []string, []string) error { return errors.New("not in tests") },
		}))
	}
	os.Exit(m.Run())
}

type outcome struct {
	status      int
	out, errors string
}

func isthmus(t *testing.T, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	status := Main(t.Context(), Env{
		Args: args, Stdout: &out, Stderr: &errs,
		Getenv: func(string) string { return "" }, Environ: func() []string { return nil },
	})
	return outcome{status, out.String(), errs.String()}
}

func TestHelp(t *testing.T) {
	r := isthmus(t)
	if r.status != 0 || !strings.Contains(r.out, "isthmus <command>") {
		t.Errorf("without arguments: %+v", r)
	}
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range parser.Model.Children {
		r := isthmus(t, c.Name, "--help")
		if r.status != 0 || r.errors != "" {
			t.Errorf("%s --help: %+v", c.Name, r)
		}
		if c.Hidden {
			continue
		}
		if !strings.Contains(r.out, "Examples:\n") || !strings.Contains(r.out, "    isthmus "+c.Name) {
			t.Errorf("%s --help has no examples:\n%s", c.Name, r.out)
		}
		if n := strings.Count(r.out, "\n"); n > 80 {
			t.Errorf("%s --help is %d lines long", c.Name, n)
		}
	}
}

func TestWrongArguments(t *testing.T) {
	for _, args := range [][]string{
		{"nonsense"}, {"run"}, {"run", "--subnet"}, {"run", "--", "true"},
		{"run", "--link", "abc123", "--security-group", "sg-1", "--", "true"}, {"run", "--link", "abc123", "--private-ip", "10.0.0.9", "--", "true"},
		{"trace", "--from", "eni-1"}, {"trace", "--from", "api:a/b"},
		{"trace", "--from", "api:a/b", "--to", "x", "GET", "/"}, {"trace", "--api", "a", "--from", "eni-1", "GET", "/"},
		{"attach", "eni-1", "--netns", "/x", "--detach"}, {"serve", "--api-listen", "localhost"}, {"status", "extra"},
	} {
		r := isthmus(t, args...)
		if r.status != 2 || !strings.Contains(r.errors, "Try: isthmus") || strings.Count(r.errors, "\n") > 3 {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"status"}, []string{"not running", "isthmus serve", dir}},
		{[]string{"run", "--subnet", "subnet-1", "--", "true"}, []string{"not running", "isthmus serve"}},
		{[]string{"run", "--subnet", "subnet-1", "--account", "12", "--", "true"}, []string{"not 12 digits"}},
		{[]string{"run", "--subnet", "subnet-1", "--"}, []string{"program"}},
		{[]string{"attach", "eni-1"}, []string{"--netns", "--pid", "--detach"}},
		{[]string{"aws", "--account", "x", "sts"}, []string{"not 12 digits"}},
	} {
		r := isthmus(t, append([]string{"--run-dir", dir}, c.args...)...)
		for _, want := range c.want {
			if r.status == 0 || !strings.Contains(r.errors, want) {
				t.Errorf("%v: %+v, want %q", c.args, r, want)
			}
		}
	}
}

func TestServeRefuses(t *testing.T) {
	c := serveCmd{APIListen: netip.MustParseAddrPort("0.0.0.0:4566")}
	if os.Geteuid() != 0 {
		if err := c.check(); !errors.Is(err, os.ErrPermission) {
			t.Errorf("without privileges: %v", err)
		}
		return
	}
	for _, a := range []string{"0.0.0.0:4566", "10.0.0.1:4566", "[::]:4566", "192.0.2.1:1"} {
		c.APIListen = netip.MustParseAddrPort(a)
		if err := c.check(); err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("%s: %v", a, err)
		}
	}
	for _, a := range []string{"127.0.0.1:4566", "127.0.0.2:0", "[::1]:4566"} {
		c.APIListen = netip.MustParseAddrPort(a)
		if err := c.check(); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

// What the supervisor starts a role with must be what the role reads.
func TestRoleArguments(t *testing.T) {
	log := logFlags{LogFormat: "json", LogLevel: "debug"}
	for _, want := range []interface{ args() []string }{
		&controlCmd{logFlags: log, DataDir: "/d", Region: "eu-west-1", Feed: "/f"},
		&controlCmd{logFlags: log, EtcdEndpoints: []string{"http://a:1", "http://b:2"}, Region: "eu-west-1", Feed: "/f"},
		&gatewayCmd{logFlags: log, Feed: "/f", Hosts: []string{"a", "b"}, ExposeCause: true, HTTPS: true},
		&gatewayCmd{logFlags: log, Feed: "/f"},
		&healthCmd{log, "/f"},
		&dnsCmd{logFlags: log, Feed: "/f"},
		&dnsCmd{logFlags: log, Feed: "/f", Host: true, Forward: true, ForwardStream: "/s"},
	} {
		var c commands
		parser, err := kong.New(&c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(want.args()); err != nil {
			t.Errorf("%v: %v", want.args(), err)
			continue
		}
		got := map[string]any{"control": &c.Control, "gateway": &c.Gateway, "health": &c.Health, "dns": &c.DNS}[want.args()[0]]
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%v became %+v, want %+v", want.args(), got, want)
		}
	}
}

// A role that nobody supervises does not run.
func TestRoleAlone(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, role := range []string{"control", "gateway", "health", "dns"} {
		var errs bytes.Buffer
		status := Main(t.Context(), Env{Args: []string{role}, Stdin: null, Stderr: &errs})
		if status != 1 || !strings.Contains(errs.String(), "isthmus serve") {
			t.Errorf("%s: %d, %s", role, status, errs.String())
		}
	}
}

func TestAllow(t *testing.T) {
	for _, c := range []struct {
		role string
		uid  int
		want bool
	}{
		{"node", 0, true}, {"node", uidGateway, false}, {"gateway", uidGateway, true}, {"gateway", uidHealth, false},
		{"gateway", 0, false}, {"health", uidHealth, true}, {"dns", uidDNS, true}, {"dns", uidGateway, false}, {"", 0, false}, {"control", uidControl, false},
	} {
		if got := allow(feed.Role(c.role), c.uid); got != c.want {
			t.Errorf("%s as %d: %v", c.role, c.uid, got)
		}
	}
}

func TestAWS(t *testing.T) {
	bin, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "aws"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	if err := os.WriteFile(node.Dir(dir).Endpoints(), []byte(`{"api":"http://127.0.0.1:9","gateway":"x","region":"eu-west-1"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (argv, environ []string) {
		status := Main(t.Context(), Env{
			Args:   append([]string{"--run-dir", dir, "aws"}, args...),
			Stderr: t.Output(), Stdout: t.Output(),
			Environ: func() []string {
				return []string{"HOME=/h", "AWS_PROFILE=prod", "AWS_SESSION_TOKEN=t", "AWS_ENDPOINT_URL_EC2=x", "AWS_CONFIG_FILE=c", "HTTP_PROXY=p", "no_proxy=*"}
			},
			Exec: func(path string, a, e []string) error {
				if path != filepath.Join(bin, "aws") {
					t.Errorf("it runs %s", path)
				}
				argv, environ = a, e
				return nil
			},
		})
		if status != 0 {
			t.Errorf("%v: %d", args, status)
		}
		return argv, environ
	}
	argv, environ := run("--account", "111111111111", "ec2", "describe-vpcs", "--output", "json")
	if want := []string{"aws", "--endpoint-url", "http://127.0.0.1:9", "ec2", "describe-vpcs", "--output", "json"}; !slices.Equal(argv, want) {
		t.Errorf("arguments %q, want %q", argv, want)
	}
	want := []string{
		"HOME=/h", "AWS_CONFIG_FILE=c", "AWS_ACCESS_KEY_ID=111111111111", "AWS_SECRET_ACCESS_KEY=isthmus",
		"AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1", "AWS_ENDPOINT_URL=http://127.0.0.1:9",
		"AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true", "http_proxy=http://127.0.0.1:9",
	}
	if !slices.Equal(environ, want) {
		t.Errorf("environment %q, want %q", environ, want)
	}
	if argv, _ := run("--endpoint", "http://127.0.0.1:7", "sts", "get-caller-identity"); argv[2] != "http://127.0.0.1:7" {
		t.Errorf("arguments %q", argv)
	}
	if argv, environ := run("sts", "--endpoint-url=http://x", "get-caller-identity"); len(argv) != 4 || !slices.Contains(environ, "HTTP_PROXY=p") {
		t.Errorf("arguments %q, environment %q", argv, environ)
	}
}

// Who can't listen at an address is told the flag that chooses another.
func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = net.Listen("tcp4", l.Addr().String())
	at := netip.MustParseAddrPort(l.Addr().String())
	for flag, c := range map[string]serveCmd{"--gateway-https-listen": {GatewayHTTPSListen: at}, "--metrics": {Metrics: at}, "--gateway-listen": {GatewayListen: at}} {
		named := c.nameFlag(fmt.Errorf("start gateway: %w", err))
		if !errors.Is(named, syscall.EADDRINUSE) || !strings.HasPrefix(named.Error(), flag+": ") {
			t.Errorf("%s: %v", flag, named)
		}
	}
	if got := new(serveCmd).nameFlag(err); got != err {
		t.Errorf("of an address that no flag chooses: %v", got)
	}
}

func TestPlaces(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("needs root")
	}
	base := t.TempDir()
	for dir := base; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(base, "a", "data")
	for range 2 { // the second time it is ours already
		if err := claimData(data); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(data, "x"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := claimData(base); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a strange directory: %v", err)
	}
	if err := removeData(base); err == nil || !strings.Contains(err.Error(), "not Isthmus's") {
		t.Errorf("a strange directory: %v", err)
	}
	for range 2 {
		if err := removeData(data); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("the data is still there: %v", err)
	}
	closed := filepath.Join(base, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := claimData(filepath.Join(closed, "data")); err == nil || !strings.Contains(err.Error(), "chmod o+x "+closed) {
		t.Errorf("behind a closed directory: %v", err)
	}
}

func TestPrintStatus(t *testing.T) {
	now := time.Unix(1000, 0)
	s := node.Status{
		Processes: []supervise.Status{{Role: "control", PID: 12, Since: now.Add(-time.Minute)}, {Role: "gateway", Restarts: 3, Problem: "no luck"}},
		Interfaces: []node.InterfaceStatus{
			{ID: "eni-1", Kind: "host", Network: "vpc-1", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.5")}, Netns: "/n", Owner: "gateway"},
			{ID: "eni-2", Kind: "host", Network: "vpc-1", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.6")}, Netns: "/x", Problem: "gone"},
		},
		Links: []node.LinkStatus{{Kind: "privatelink", From: "eni-3", FromNetwork: "vpc-1", Owner: "vpce-1"}},
		Drops: []node.DropStatus{{Interface: "eni-1", Reason: "sg-ingress", Packets: 4}},
		Flows: 2,
	}
	var out bytes.Buffer
	if err := printStatus(&out, s, now); err != nil {
		t.Fatal(err)
	}
	want := `PROCESS  PID  FOR   RESTARTS  PROBLEM
control  12   1m0s  0         
gateway  -    -     3         no luck

INTERFACE  KIND  NETWORK  ADDRESSES  NAMESPACE      OWNER
eni-1      host  vpc-1    10.0.0.5   /n             gateway
eni-2      host  vpc-1    10.0.0.6   missing: gone  -

LINK         FROM           TO     STATE   OWNER
privatelink  eni-3 (vpc-1)  - (-)  closed  vpce-1

DROPPED  REASON      SENDER
4        sg-ingress  eni-1

2 flows
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/isthmus-net/isthmus/bench/http/internal/contest"
)

// Every contestant does the same: finds the route of the path, removes what
// concerns the connection, adds to X-Forwarded-For, sets X-Forwarded-Proto,
// X-Forwarded-Port and a new X-Amzn-Trace-Id; on the way back it removes
// X-Internal and sets a new X-Request-Id; and it writes a line with the same
// fields to a file, through a buffer if it has that.

// startOwn builds and starts a program that takes the flags of contest.
func startOwn(ctx context.Context, n *network, s *subject) error {
	var flags []string
	if s.ours { // as make build does it
		dir := filepath.Join(n.programs, "overlay")
		if err := exec.CommandContext(ctx, "go", "run", "github.com/isthmus-net/isthmus/scripts/poller-order", dir).Run(); err != nil {
			return fmt.Errorf("make the overlay for %s: %w", s.name, err)
		}
		flags = append(flags, "-overlay", filepath.Join(dir, "overlay.json"))
	}
	path, err := n.build(ctx, s.name, flags...)
	if err != nil {
		return err
	}
	s.debug = fmt.Sprintf("127.0.0.1:%d", s.port+9)
	args := []string{
		"-backend", fmt.Sprintf("%s:%d", backendAddress, backendPort), "-log", s.log, "-cert", n.certificate(), "-key", n.key(),
		"-debug", s.debug, "-tls", fmt.Sprintf("1=%s:%d", proxyAddress, s.tlsPort()),
	}
	for _, routes := range routeCounts() {
		args = append(args, "-plain", fmt.Sprintf("%d=%s:%d", routes, proxyAddress, s.plainPort(routes)))
	}
	return s.run(n, exec.Command(path, args...))
}

const nginxConfig = `
daemon off;
master_process off;
pid DIR/nginx.pid;
error_log DIR/nginx.error error;
events { worker_connections 15000; }
http {
	log_format calls escape=json '{"time":"$time_iso8601","requestId":"$request_id","sourceIp":"$remote_addr","host":"$http_host","httpMethod":"$request_method","path":"$uri","protocol":"$server_protocol","userAgent":"$http_user_agent","status":$status,"responseLength":$body_bytes_sent,"responseLatency":$request_time}';
	access_log LOG calls buffer=64k flush=1s;
	client_body_temp_path DIR/nginx-1; proxy_temp_path DIR/nginx-2; fastcgi_temp_path DIR/nginx-3;
	uwsgi_temp_path DIR/nginx-4; scgi_temp_path DIR/nginx-5;
	sendfile on; tcp_nodelay on; server_tokens off;
	keepalive_requests 1000000000; keepalive_timeout 60s;
	client_body_buffer_size 64k;
	proxy_buffer_size 8k; proxy_buffers 16 32k; proxy_busy_buffers_size 128k; proxy_max_temp_file_size 0;
	proxy_http_version 1.1;
	proxy_set_header Connection "";
	proxy_set_header Host $http_host;
	proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
	proxy_set_header X-Forwarded-Proto $scheme;
	proxy_set_header X-Forwarded-Port $server_port;
	proxy_set_header X-Amzn-Trace-Id "Root=1-$request_id";
	proxy_hide_header X-Internal;
	add_header X-Request-Id $request_id;
	ssl_protocols TLSv1.3;
	ssl_certificate CERT;
	ssl_certificate_key KEY;
	ssl_session_cache shared:tls:10m;
	upstream backend { server BACKEND; keepalive 256; keepalive_requests 1000000000; }
SERVERS
}
`

func startNginx(_ context.Context, n *network, s *subject) error {
	var servers strings.Builder
	for _, routes := range routeCounts() {
		fmt.Fprintf(&servers, "\tserver {\n\t\tlisten %s:%d backlog=16384;\n", proxyAddress, s.plainPort(routes))
		for i := range routes {
			fmt.Fprintf(&servers, "\t\tlocation %s { proxy_pass http://backend; }\n", contest.Prefix(i))
		}
		servers.WriteString("\t}\n")
	}
	fmt.Fprintf(&servers, "\tserver {\n\t\tlisten %s:%d ssl http2 backlog=16384;\n\t\tlocation %s { proxy_pass http://backend; }\n\t}\n",
		proxyAddress, s.tlsPort(), contest.Prefix(0))
	path, err := n.config("nginx.conf", nginxConfig, "DIR", n.dir, "LOG", s.log, "CERT", n.certificate(), "KEY", n.key(),
		"BACKEND", fmt.Sprintf("%s:%d", backendAddress, backendPort), "SERVERS", servers.String())
	if err != nil {
		return err
	}
	return s.run(n, exec.Command("nginx", "-e", "/dev/null", "-c", path))
}

const haproxyConfig = `
global
	nbthread 1
	maxconn 12000
	no strict-limits
	log stdout format raw local0
	tune.bufsize BUFFER
	ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
	mode http
	log global
	log-format '{"time":"%[date,ltime(%FT%T)]","requestId":"%ID","sourceIp":"%ci","host":"%[capture.req.hdr(0)]","httpMethod":"%HM","path":"%HP","protocol":"%HV","userAgent":"%[capture.req.hdr(1)]","status":%ST,"responseLength":%B,"responseLatency":%Ta}'
	unique-id-format %[uuid()]
	option http-keep-alive
	http-reuse always
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	timeout http-keep-alive 60s
FRONTENDS
backend back
	http-response del-header X-Internal
	server one BACKEND pool-max-conn 256
`

// Buffers of HAProxy in bytes: the default, and one that makes large answers
// four times as cheap, and small ones dearer.
const (
	haproxyBuffer = 16 << 10
	haproxyLarge  = 64 << 10
)

// startHAProxy starts one process for small answers and another for large ones.
func startHAProxy(_ context.Context, n *network, s *subject) error {
	large := &subject{name: s.name, port: s.port + 100, log: filepath.Join(n.dir, "haproxy-large.log")}
	large.at = large.byPorts
	s.instead = map[string]*subject{"1m": large}
	return errors.Join(s.haproxy(n, haproxyBuffer), large.haproxy(n, haproxyLarge))
}

func (s *subject) haproxy(n *network, buffer int) error {
	var frontends strings.Builder
	front := func(name, bind string, routes int) error {
		var prefixes strings.Builder
		for i := range routes {
			fmt.Fprintf(&prefixes, "%s back\n", contest.Prefix(i))
		}
		table := filepath.Join(n.dir, fmt.Sprintf("haproxy-%d-%s.map", buffer, name))
		fmt.Fprintf(&frontends, `frontend %s
	bind %s backlog 16384
	capture request header Host len 128
	capture request header User-Agent len 128
	http-request set-header X-Forwarded-Proto http%s
	http-request set-header X-Forwarded-Port %%[dst_port]
	http-request set-header X-Amzn-Trace-Id Root=1-%%[unique-id]
	http-response set-header X-Request-Id %%[unique-id]
	option forwardfor
	use_backend %%[path,map_beg(%s)]
`, name, bind, map[bool]string{true: "s"}[strings.Contains(bind, "ssl")], table)
		return os.WriteFile(table, []byte(prefixes.String()), 0o600)
	}
	for _, routes := range routeCounts() {
		if err := front(fmt.Sprintf("plain%d", routes), fmt.Sprintf("%s:%d", proxyAddress, s.plainPort(routes)), routes); err != nil {
			return err
		}
	}
	if err := front("tls", fmt.Sprintf("%s:%d ssl crt %s alpn h2,http/1.1", proxyAddress, s.tlsPort(), n.bundle()), 1); err != nil {
		return err
	}
	path, err := n.config(fmt.Sprintf("haproxy-%d.conf", buffer), haproxyConfig, "BUFFER", fmt.Sprint(buffer), "FRONTENDS", frontends.String(), "BACKEND", fmt.Sprintf("%s:%d", backendAddress, backendPort))
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("haproxy", "-db", "-f", path)
	cmd.Stdout = log
	return s.run(n, cmd)
}

// caddyVersion is one that builds with the Go of this repository.
const caddyVersion = "v2.10.2"

// startCaddy builds Caddy, once on a machine, from the Go module proxy.
func startCaddy(ctx context.Context, n *network, s *subject) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	bin := filepath.Join(cache, "isthmus-bench", "caddy-"+caddyVersion)
	caddy := filepath.Join(bin, "caddy")
	if _, err := os.Stat(caddy); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "bench/http: building caddy", caddyVersion)
		install := exec.CommandContext(ctx, "go", "install", "github.com/caddyserver/caddy/v2/cmd/caddy@"+caddyVersion)
		install.Env = append(os.Environ(), "GOBIN="+bin)
		install.Dir = n.dir
		if out, err := install.CombinedOutput(); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w: it does not build: %w: %s", errUnsupported, err, out)
		}
	}
	var sites strings.Builder
	site := func(address string, tls string, routes int) {
		fmt.Fprintf(&sites, "%s {\n\tbind %s\n\t%s\n\timport calls\n\theader X-Request-Id {http.request.uuid}\n", address, proxyAddress, tls)
		for i := range routes {
			fmt.Fprintf(&sites, "\thandle %s* {\n\t\timport back\n\t}\n", contest.Prefix(i))
		}
		sites.WriteString("}\n")
	}
	for _, routes := range routeCounts() {
		site(fmt.Sprintf("http://:%d", s.plainPort(routes)), "", routes)
	}
	site(fmt.Sprintf("https://:%d", s.tlsPort()), fmt.Sprintf("tls %s %s", n.certificate(), n.key()), 1)
	path, err := n.config("Caddyfile", caddyConfig, "LOG", s.log, "BACKEND", fmt.Sprintf("%s:%d", backendAddress, backendPort), "SITES", sites.String())
	if err != nil {
		return err
	}
	return s.run(n, exec.Command(caddy, "run", "--config", path, "--adapter", "caddyfile"))
}

const caddyConfig = `
{
	admin off
	auto_https off
	persist_config off
	default_sni bench.example.com
	servers {
		protocols h1 h2
	}
}
(calls) {
	log {
		output file LOG {
			roll_disabled
		}
		format filter {
			wrap json
			fields {
				request>headers delete
				request>tls delete
				resp_headers delete
			}
		}
	}
}
(back) {
	reverse_proxy BACKEND {
		header_up X-Forwarded-Port {http.request.local.port}
		header_up X-Amzn-Trace-Id Root=1-{http.request.uuid}
		header_down -X-Internal
		transport http {
			keepalive_idle_conns_per_host 256
			compression off
		}
	}
}
SITES
`

package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/bench/internal/namespace"
)

// subject is a way from a client to a server that is measured.
type subject struct {
	name           string
	client, server *namespace.NS
	router         *namespace.NS  // what is between them; nil if nothing
	dial           netip.AddrPort // where the client finds the server
	listen         netip.AddrPort // where it is
	udp            bool
}

// The addresses of the peers' networks. Between them is a router, unless the
// two are joined directly.
const (
	clientAddr   = "10.1.0.2"
	clientRouter = "10.1.0.1"
	serverRouter = "10.2.0.1"
	serverAddr   = "10.2.0.2"
	frontPort    = 80
	serverPort   = 8080
)

func at(addr string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port)
}

// bareVeth joins client and server by one pair of devices: the limit.
func bareVeth() (*subject, error) {
	s := &subject{name: "veth", dial: at(serverAddr, serverPort), listen: at(serverAddr, serverPort), udp: true}
	var err error
	if s.client, err = namespace.New(); err != nil {
		return nil, err
	}
	if s.server, err = namespace.New(); err != nil {
		return nil, err
	}
	if err := namespace.Join(s.client, "eth0", s.server, "eth0"); err != nil {
		return nil, err
	}
	if err := s.client.Address("eth0", clientAddr+"/8"); err != nil {
		return nil, err
	}
	return s, s.server.Address("eth0", serverAddr+"/8")
}

// routed puts a namespace between client and server, which then are reached at
// the router's address on their side.
func routed(name string) (s *subject, err error) {
	s = &subject{name: name, dial: at(clientRouter, frontPort), listen: at(serverAddr, serverPort)}
	for _, ns := range []**namespace.NS{&s.client, &s.server, &s.router} {
		if *ns, err = namespace.New(); err != nil {
			return nil, err
		}
	}
	if err := namespace.Join(s.router, "client", s.client, "eth0"); err != nil {
		return nil, err
	}
	if err := namespace.Join(s.router, "server", s.server, "eth0"); err != nil {
		return nil, err
	}
	for _, d := range []struct {
		ns           *namespace.NS
		device, cidr string
	}{
		{s.client, "eth0", clientAddr + "/24"},
		{s.router, "client", clientRouter + "/24"},
		{s.router, "server", serverRouter + "/24"},
		{s.server, "eth0", serverAddr + "/24"},
	} {
		if err := d.ns.Address(d.device, d.cidr); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// nftables has the kernel's own NAT rewrite both ends, as our program does.
func nftables() (*subject, error) {
	s, err := routed("nftables")
	if err != nil {
		return nil, err
	}
	s.udp = true
	if err := s.router.Sysctl("ipv4/ip_forward", "1"); err != nil {
		return nil, err
	}
	var out strings.Builder
	nft := exec.Command("nft", "-f", "-")
	nft.Stdin = strings.NewReader(fmt.Sprintf(`
table ip nat {
	chain in {
		type nat hook prerouting priority dstnat
		ip daddr %[1]s meta l4proto { tcp, udp } th dport %[2]d dnat to %[3]s:%[4]d
	}
	chain out {
		type nat hook postrouting priority srcnat
		oifname "server" snat to %[5]s
	}
}
`, clientRouter, frontPort, serverAddr, serverPort, serverRouter))
	nft.Stdout, nft.Stderr = &out, &out
	if err := s.router.Do(nft.Run); err != nil {
		return nil, fmt.Errorf("nft: %w: %s", err, out.String())
	}
	return s, nil
}

// haproxy and nginx stream carry bytes between two connections.

func haproxy(dir string) (*subject, error) {
	return proxied("haproxy", dir, fmt.Sprintf(`
global
	nbthread 1
	maxconn 4000
defaults
	mode tcp
	timeout connect 5s
	timeout client 60s
	timeout server 60s
frontend front
	bind %s:%d
	default_backend back
backend back
	server one %s:%d
`, clientRouter, frontPort, serverAddr, serverPort), "haproxy", "-db", "-f")
}

func nginxStream(dir string) (*subject, error) {
	s, err := proxied("nginx-stream", dir, fmt.Sprintf(`
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log /dev/null;
events { worker_connections 8000; }
stream {
	server { listen %[2]s:%[3]d; proxy_pass %[4]s:%[5]d; }
	server { listen %[2]s:%[3]d udp; proxy_pass %[4]s:%[5]d; }
}
`, dir, clientRouter, frontPort, serverAddr, serverPort), "nginx", "-e", "/dev/null", "-c")
	if err == nil {
		s.udp = true
	}
	return s, err
}

// proxied starts a proxy with a configuration in the router's namespace; the
// configuration's file is the last of its arguments.
func proxied(name, dir, config string, command ...string) (*subject, error) {
	s, err := routed(name)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name+".conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(command[0], append(command[1:], path)...)
	cmd.Stderr = os.Stderr
	if _, err := s.router.Start(busyCPU, cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := s.client.Do(func() error { return waitFor(s.dial) }); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return s, nil
}

// waitFor returns when somebody accepts connections at an address.
func waitFor(at netip.AddrPort) error {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", at.String())
		if err == nil {
			return c.Close()
		}
		if time.Now().After(end) {
			return err
		}
	}
}

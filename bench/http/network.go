package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/bench/internal/namespace"
)

// The addresses of the plain pairs of devices, by which clients reach the
// proxies and these the backend.
const (
	clientAddress   = "192.0.2.2"
	proxyAddress    = "192.0.2.1"
	proxyBackend    = "198.51.100.1"
	backendAddress  = "198.51.100.2"
	backendPort     = 80
	prefixLength    = "/24"
	serverName      = "bench.example.com"
	clientPortRange = "1024 65535"
)

// network is the namespaces of clients, proxies and the backend, and the
// files.
type network struct {
	dir                    string
	client, proxy, backend *namespace.NS
	proxyCPU               int // that proxies have
	loadCPU, backendCPU    int // the same one if there are two only
	backendPID             int
	pacer                  string // the program
	programs               string
	exited                 chan error // a program that should not have
	isthmus                *isthmus   // nil if it is not measured
	ksoftirqd              string
}

// newNetwork makes the network: around the machine that Isthmus runs on, or
// another in its place.
func newNetwork(dir string, i *isthmus) (n *network, err error) {
	n = &network{dir: dir, programs: filepath.Join(dir, "bin"), exited: make(chan error, 16), isthmus: i}
	if n.proxyCPU, n.loadCPU, n.backendCPU, err = cpus(); err != nil {
		return nil, err
	}
	for _, ns := range []**namespace.NS{&n.client, &n.backend, &n.proxy} {
		if ns == &n.proxy && i != nil {
			*ns, err = namespace.Open(filepath.Join(i.machine.Dir, "net"))
		} else {
			*ns, err = namespace.New()
		}
		if err != nil {
			return nil, err
		}
	}
	if err := errors.Join(
		namespace.Join(n.proxy, "clients", n.client, "plain0"),
		namespace.Join(n.proxy, "backend", n.backend, "plain0"),
	); err != nil {
		return nil, fmt.Errorf("join namespaces: %w", err)
	}
	for _, d := range []struct {
		ns             *namespace.NS
		device, prefix string
	}{
		{n.client, "plain0", clientAddress}, {n.proxy, "clients", proxyAddress},
		{n.proxy, "backend", proxyBackend}, {n.backend, "plain0", backendAddress},
	} {
		if err := d.ns.Address(d.device, d.prefix+prefixLength); err != nil {
			return nil, err
		}
	}
	for _, ns := range []*namespace.NS{n.client, n.proxy, n.backend} {
		// Connections that were closed must not use the ports up.
		if err := errors.Join(
			ns.Sysctl("ipv4/ip_local_port_range", clientPortRange), ns.Sysctl("ipv4/tcp_tw_reuse", "1"), useReno(ns),
			ns.Sysctl("core/somaxconn", "16384"), ns.Sysctl("ipv4/tcp_max_syn_backlog", "16384"),
		); err != nil {
			return nil, err
		}
	}
	if err := writeCertificate(dir); err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return n, n.raiseFiles()
}

// useReno has a namespace's new connections use the congestion control that each kernel
// has, whatever the machine's is. BBR sets a timer whenever it paces, for which a virtual
// machine has to call its host: large bodies cost the load a third to a half more.
func useReno(ns *namespace.NS) error { return ns.Sysctl("ipv4/tcp_congestion_control", "reno") }

// cpus gives the proxies the first CPU that this process may use, the load the
// second, and the backend the third.
func cpus() (proxy, load, backend int, err error) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return 0, 0, 0, err
	}
	var all []int
	for cpu := range len(allowed) * 64 {
		if allowed.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	if len(all) < 2 {
		return 0, 0, 0, errors.New("two CPUs are needed: one for the proxies, one for clients and backend")
	}
	return all[0], all[1], all[min(2, len(all)-1)], nil
}

// raiseFiles lets this process, and those that it starts, have enough files
// open for the idle connections.
func (n *network) raiseFiles() error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	const needed = idleConnections + 2000
	if l.Cur = max(l.Cur, l.Max); l.Max < needed {
		l.Cur, l.Max = needed, needed
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("allow %d open files: %w", l.Cur, err)
	}
	return nil
}

// build builds one of the programs beside this one, with more flags of go build.
func (n *network) build(ctx context.Context, name string, flags ...string) (string, error) {
	path := filepath.Join(n.programs, name)
	args := append(append([]string{"build", "-o", path}, flags...), "github.com/isthmus-net/isthmus/bench/http/"+name)
	c := exec.CommandContext(ctx, "go", args...)
	c.Stderr = os.Stderr
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return path, nil
}

// start starts a program of the benchmark, which must not end before it. What
// it says goes to a file, of which an error shows the end.
func (n *network) start(ns *namespace.NS, cpu int, cmd *exec.Cmd) error {
	name := filepath.Base(cmd.Path)
	path := filepath.Join(n.dir, name+".said")
	said, err := os.Create(path)
	if err != nil {
		return err
	}
	defer said.Close()
	if cmd.Stderr = said; cmd.Stdout == nil {
		cmd.Stdout = said
	}
	// One CPU is all that they have; Go would find out by itself. The others are for
	// those that use glibc's malloc, which gives the end of the heap back to the
	// kernel, and where that happens to be what nginx needs for a request, takes it
	// again for the next: that made it half as dear again on some machines.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "MALLOC_TOP_PAD_=16777216", "MALLOC_TRIM_THRESHOLD_=134217728")
	ended, err := ns.Start(cpu, cmd)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		cause := <-ended
		n.exited <- fmt.Errorf("%s has ended: %v\n%s", name, cause, tail(path))
	}()
	return nil
}

// tail is the end of a file.
func tail(path string) string {
	const most = 2000
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}

// whole is an error if a program has ended.
func (n *network) whole() error {
	select {
	case err := <-n.exited:
		return err
	default:
		return nil
	}
}

func (n *network) certificate() string { return filepath.Join(n.dir, "cert.pem") }
func (n *network) key() string         { return filepath.Join(n.dir, "key.pem") }
func (n *network) bundle() string      { return filepath.Join(n.dir, "bundle.pem") }

// writeCertificate makes a certificate (ECDSA, P-256) that nobody checks.
func writeCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serverName}, DNSNames: []string{serverName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	for name, b := range map[string][]byte{"cert.pem": cert, "key.pem": private, "bundle.pem": append(cert, private...)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

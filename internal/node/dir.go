package node

import (
	"path/filepath"

	"github.com/isthmus-net/isthmus/internal/resource"
)

// Dir is the run directory of an instance: everything of it that a reboot may
// forget, and the names of all that it made in the kernel.
type Dir string

func (d Dir) path(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// Namespaces is the directory of the namespaces that the node makes.
func (d Dir) Namespaces() string { return d.path("netns") }

// Namespace is the file on which the namespace of an ENI is mounted.
func (d Dir) Namespace(eni string) string { return d.path("netns", eni) }

// Fabric is the file on which the fabric namespace is mounted.
func (d Dir) Fabric() string { return d.path("netns", fabricName) }

// BPF is where the instance's own bpffs is mounted.
func (d Dir) BPF() string { return d.path("bpf") }

// Pins is the directory in the bpffs that holds the packet program's objects.
func (d Dir) Pins() string { return d.path("bpf", "isthmus") }

// Instances is the directory of the locks of running instances.
func (d Dir) Instances() string { return d.path("instances") }

// Processes is the directory of what is known of the processes that run.
func (d Dir) Processes() string { return d.path("processes") }

// FeedDir is the directory of the feed's socket, which the control plane owns.
func (d Dir) FeedDir() string { return d.path("feed") }

// Feed is the socket over which the control plane gives configuration.
func (d Dir) Feed() string { return d.path("feed", "feed.sock") }

// Socket is the socket of the node's commands, for root only.
func (d Dir) Socket() string { return d.path("node.sock") }

// Relay is the socket over which the resolver's process reaches the resolver of
// the outside by TCP.
func (d Dir) Relay() string { return d.path("relay.sock") }

// OTLP is the socket of the relay to the collector of OpenTelemetry.
func (d Dir) OTLP() string { return d.path("otlp.sock") }

// Lock is the file that the running node locks.
func (d Dir) Lock() string { return d.path("lock") }

// Endpoints is the file that tells clients where the instance listens.
func (d Dir) Endpoints() string { return d.path("endpoints.json") }

// Authority is the file with the certificate of the authority for a use.
func (d Dir) Authority(use resource.AuthorityUse) string {
	if use == resource.APIs {
		return d.path("ca.pem")
	}
	return d.path("ca-" + string(use) + ".pem")
}

const fabricName = "fabric"

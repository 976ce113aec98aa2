package draw

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/isthmus-net/isthmus/internal/topology"
)

var update = flag.Bool("update", false, "write testdata anew")

// sample has both kinds of link, PrivateLink between accounts, on-premises
// networks, and an edge in each direction.
func sample() topology.Graph {
	g := topology.Graph{
		Nodes: []topology.Node{
			{ID: "1", Kind: topology.Account, Label: "account 111111111111"},
			{ID: "vpc-1", Kind: topology.VPC, Label: "VPC vpc-1", Detail: "10.0.0.0/16", Parent: "1"},
			{ID: "subnet-1", Kind: topology.Subnet, Label: "subnet-1", Detail: "10.0.1.0/24 us-east-1a", Parent: "vpc-1"},
			{ID: "lb-1", Kind: topology.Balancer, Label: "NLB lb-1", State: topology.Good, Parent: "vpc-1", Interfaces: []string{"eni-lb"}},
			{ID: "l-1", Kind: topology.Listener, Label: "TCP:80", Detail: "1 of 2 healthy", Parent: "lb-1"},
			{ID: "svc-1", Kind: topology.Service, Label: "endpoint service vpce-svc-1", Parent: "vpc-1"},
			{ID: "2", Kind: topology.Account, Label: "account 222222222222"},
			{ID: "vpc-2", Kind: topology.VPC, Label: "VPC vpc-2", Detail: "10.0.0.0/16", Parent: "2"},
			{ID: "end", Kind: topology.LinkEnd, Label: "interfaces of v2", Parent: "vpc-2"},
			{ID: "vpce-1", Kind: topology.Endpoint, Label: "endpoint vpce-1", Detail: "rejected", State: topology.Bad, Parent: "vpc-2"},
			{ID: "vpce-2", Kind: topology.Endpoint, Label: "endpoint vpce-2", Detail: "available", State: topology.Good, Parent: "vpc-2"},
			{ID: "srv-2", Kind: topology.CloudMap, Label: "Cloud Map cats", Detail: "0 instances", Parent: "2"},
			{ID: "3", Kind: topology.Account, Label: "account 333333333333"},
			{ID: "srv-3", Kind: topology.CloudMap, Label: "Cloud Map dogs", Detail: "1 instances", Parent: "3"},
			{ID: "rest", Kind: topology.API, Label: "private REST API pets"},
			{ID: "rest/1", Kind: topology.Route, Label: "prod  ANY /{proxy+}", Parent: "rest"},
			{ID: "http", Kind: topology.API, Label: "HTTP API <&\"'> with a name that is much too long for its box"},
			{ID: "http/1", Kind: topology.Route, Label: "$default  GET /pets", Parent: "http"},
			{ID: "v1", Kind: topology.Link, Label: "VPC link v1", Detail: "AVAILABLE", State: topology.Good},
			{ID: "v2", Kind: topology.Link, Label: "VPC link v2", Detail: "PENDING", State: topology.Waiting},
			{ID: "execute-api", Kind: topology.ExecuteAPI, Label: "execute-api"},
			{ID: "vgw-1", Kind: topology.VPNGateway, Label: "gateway vgw-1", Detail: "AS 64512", Parent: "vpc-1"},
			{ID: "dxvif-1", Kind: topology.VirtualInterface, Label: "office dxvif-1", Detail: "peer 169.254.10.2, AS 65000, BGP up", State: topology.Good},
			{ID: "dxvif-1/1", Kind: topology.Prefix, Label: "192.168.50.0/24", Detail: "learned", State: topology.Good, Parent: "dxvif-1"},
			{ID: "dxvif-2", Kind: topology.VirtualInterface, Label: "spare dxvif-2", Detail: "peer 169.254.11.2, AS 65000, BGP down", State: topology.Bad},
			{ID: "dxvif-2/1", Kind: topology.Prefix, Label: "no router has connected", State: topology.Bad, Parent: "dxvif-2"},
			{ID: "on-premises", Kind: topology.OnPremises, Label: "on-premises", Detail: "office at EqDC2"},
		},
		Edges: []topology.Edge{
			{From: "rest/1", To: "v1", State: topology.Good}, {From: "v1", To: "svc-1", State: topology.Good}, {From: "svc-1", To: "lb-1", State: topology.Good},
			{From: "http/1", To: "v2", State: topology.Waiting}, {From: "v2", To: "end", State: topology.Waiting},
			{From: "vpce-1", To: "svc-1", State: topology.Bad}, {From: "vpce-2", To: "execute-api", State: topology.Good}, {From: "execute-api", To: "rest", State: topology.Good},
			{From: "on-premises", To: "dxvif-1", State: topology.Good}, {From: "dxvif-1", To: "vgw-1", State: topology.Good},
			{From: "on-premises", To: "dxvif-2", State: topology.Bad}, {From: "dxvif-2", To: "vgw-1", State: topology.Bad},
		},
		Counters: map[string]topology.Counters{"eni-0": {Flows: 3, Packets: 10, Drops: map[string]uint64{"sg-ingress": 2}}},
	}
	for i := range 40 {
		id := fmt.Sprintf("eni-%d", i)
		g.Nodes = append(g.Nodes, topology.Node{ID: id, Kind: topology.Host, Label: id, Detail: fmt.Sprintf("10.0.1.%d", i), Parent: "subnet-1", Interfaces: []string{id}})
		g.Edges = append(g.Edges, topology.Edge{From: "l-1", To: id, State: topology.Good})
	}
	return g
}

func drawn(long int) Drawing { return Layout(sample().Condense(4), Options{MaxText: long}) }

func TestGolden(t *testing.T) {
	for name, got := range map[string]string{
		"sample.txt":  Text(drawn(40), TextOptions{}),
		"narrow.txt":  Text(drawn(16), TextOptions{ASCII: true}),
		"outline.txt": Outline(sample().Condense(4), 80, TextOptions{}, nil),
		"sample.svg":  SVG(drawn(40)),
		"colours.txt": Text(drawn(16), TextOptions{Colour: true}),
	} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s has changed (-update writes it anew):\n%s", name, got)
		}
	}
}

// TestNothingOverlaps: no box covers another or leaves the drawing, and every
// arrow ends beside a box.
func TestNothingOverlaps(t *testing.T) {
	d := drawn(30)
	owner := map[Point]string{}
	for _, b := range d.Boxes {
		if b.X < 0 || b.Y < 0 || b.X+b.Width > d.Width || b.Y+b.Height > d.Height {
			t.Errorf("%s is at %+v of %dx%d", b.Title, b.Rect, d.Width, d.Height)
		}
		for x := b.X; x < b.X+b.Width; x++ {
			for y := b.Y; y < b.Y+b.Height; y++ {
				if other, ok := owner[Point{x, y}]; ok {
					t.Fatalf("%s covers %s", b.Title, other)
				}
				owner[Point{x, y}] = b.Title
			}
		}
	}
	for _, l := range d.Lines {
		end := l.Points[len(l.Points)-1]
		if owner[Point{end.X - 1, end.Y}] == "" && owner[Point{end.X + 1, end.Y}] == "" {
			t.Errorf("a line ends at %v, beside no box", end)
		}
	}
	// Of 40 hosts four rows are left: three, and one for the rest.
	if n := strings.Count(Text(d, TextOptions{}), "… 37 more"); n != 1 {
		t.Errorf("%d rows stand for the others", n)
	}
}

// TestOutlineFits: no line is longer than the terminal is wide, and everything
// is named.
func TestOutlineFits(t *testing.T) {
	g := sample().Condense(4)
	for _, width := range []int{80, 60, 40} {
		got := Outline(g, width, TextOptions{ASCII: true}, func(n topology.Node) []Row {
			return []Row{{Text: strings.Repeat("x", 100), State: topology.Bad}}
		})
		for line := range strings.SplitSeq(got, "\n") {
			if len(line) > width {
				t.Errorf("%d columns are too few for %q", width, line)
			}
		}
	}
	got := Outline(g, 200, TextOptions{}, nil)
	for _, n := range g.Nodes {
		if !strings.Contains(got, n.Label) {
			t.Errorf("%s is missing", n.Label)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add(`</text><script>alert("x")</script>`)
	f.Add("a\x00\x1b[31m\u202e\xff&amp;")
	f.Fuzz(func(t *testing.T, name string) {
		g := topology.Graph{Nodes: []topology.Node{{ID: "a", Kind: topology.API, Label: name, Detail: name}}}
		d := Layout(g, Options{MaxText: 20})
		if err := wellFormed(SVG(d)); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		for _, r := range Text(d, TextOptions{}) + Outline(g, 20, TextOptions{}, nil) {
			if r < ' ' && r != '\n' || r == 0x7f || r == utf8.RuneError {
				t.Fatalf("%q: %q reaches the terminal", name, r)
			}
		}
	})
}

func wellFormed(s string) error {
	d := xml.NewDecoder(strings.NewReader(s))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "script" {
			return errors.New("a name became an element")
		}
	}
}

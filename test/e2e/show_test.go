package e2e

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/topology"
	"github.com/isthmus-net/isthmus/test/machine"
)

// TestShow: what exists in two accounts is in the graph, the drawing and the
// picture, and the counters move with traffic.
func TestShow(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{})
	b := site(t, m, accountB, machine.SiteOptions{})
	v1, v2 := overV1(t, a), overV2(t, b)
	answers(t, m, v1.URL+"/shown", 200, accountA)
	answers(t, m, v2.URL+"/shown", 200, accountB)
	before := graph(t, m)
	ids := map[string]topology.Node{}
	for _, n := range before.Nodes {
		ids[n.ID] = n
	}
	for _, id := range []string{accountA, accountB, a.VPC, b.VPC, a.Subnet, a.LoadBalancer, a.Listener, v1.ID, v2.ID, v1.Link, v2.Link, v2.Link + "/end"} {
		if ids[id].Label == "" {
			t.Errorf("the graph has no %s", id)
		}
	}
	for _, link := range []string{v1.Link, v2.Link} {
		if before.Of(ids[link]).Packets == 0 {
			t.Errorf("no packet was counted at link %s", link)
		}
		for range 5 {
			answers(t, m, map[string]machine.API{v1.Link: v1, v2.Link: v2}[link].URL+"/more", 200, "")
		}
		after := graph(t, m)
		if after.Of(ids[link]).Packets <= before.Of(ids[link]).Packets {
			t.Errorf("the counters of link %s did not move: %+v, %+v", link, before.Of(ids[link]), after.Of(ids[link]))
		}
	}
	drawn := output(t, m.Isthmus(t.Context(), "show", "--width", "300"))
	for _, text := range []string{"account " + accountA, a.VPC, "NLB lb-", "TCP:80  1 of 1 healthy", "VPC link v1", "VPC link v2", machine.BackendAddress, " packets, "} {
		if !strings.Contains(drawn, text) {
			t.Errorf("%q is not drawn:\n%s", text, drawn)
		}
	}
	if only := output(t, m.Isthmus(t.Context(), "show", "--account", accountA)); strings.Contains(only, accountB) {
		t.Errorf("account %s is drawn too:\n%s", accountB, only)
	}
	picture := xml.NewDecoder(strings.NewReader(output(t, m.Isthmus(t.Context(), "show", "--svg", "-"))))
	for {
		if _, err := picture.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
	}
}

func graph(t *testing.T, m *machine.Machine) (g topology.Graph) {
	t.Helper()
	if err := json.Unmarshal([]byte(output(t, m.Isthmus(t.Context(), "show", "--json"))), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

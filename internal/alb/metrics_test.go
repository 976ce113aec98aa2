package alb

import (
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/loopback"
)

// TestMetrics: requests are counted as CloudWatch does, of targets and of the
// balancer's own answers, and connections of both sides.
func TestMetrics(t *testing.T) {
	at := startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(r.URL.Query().Get("status"))
		w.WriteHeader(status)
	})
	fixed := config.Rule{ARN: "r1", Priority: 1, Conditions: []config.Condition{{Field: config.PathPattern, Values: []string{"/fixed"}}},
		Action: config.Action{FixedResponse: &config.FixedResponse{StatusCode: 404}}}
	dead := config.Rule{ARN: "r2", Priority: 2, Conditions: []config.Condition{{Field: config.PathPattern, Values: []string{"/dead"}}}, Action: to("dead")}
	empty := config.Rule{ARN: "r3", Priority: 3, Conditions: []config.Condition{{Field: config.PathPattern, Values: []string{"/empty"}}}, Action: to("empty")}
	c := configuration(healthy(at), fixed, dead, empty)
	refusing := healthy(loopback.Refusing(t))
	refusing[0].Health = config.Unhealthy
	c.TargetGroups["dead"] = config.TargetGroup{ARN: "dead", Algorithm: config.RoundRobin, Targets: refusing}
	c.TargetGroups["empty"] = config.TargetGroup{ARN: "empty", Algorithm: config.RoundRobin}
	n := startNode(t, c)
	for path, status := range map[string]int{
		"/?status=200": 200, "/?status=204": 204, "/?status=503": 503, "/fixed": 404, "/dead": 502, "/empty": 503,
	} {
		if a := n.get(path); a.status != status {
			t.Fatalf("%s: %d", path, a.status)
		}
	}
	bad, err := net.Dial("tcp", n.address())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(bad, "nonsense\r\n\r\n")
	io.ReadAll(bad)
	bad.Close()

	type counts struct {
		requests, failed   uint64
		responses          config.Statuses
		took               uint64
		healthy, unhealthy int
	}
	read := func() (config.Metrics, map[string]counts) {
		m := n.b.Metrics()
		n.d.count(&m)
		groups := map[string]counts{}
		for arn, g := range m.Groups {
			all, _ := g.ResponseTime.Cumulative()
			groups[arn] = counts{g.Requests, g.ConnectionErrors, g.Responses, all, g.Healthy, g.Unhealthy}
		}
		return m, groups
	}
	own := config.Statuses{4: 2, 5: 2} // 404 and 400, 502 and 503
	want := map[string]counts{
		"tg": {requests: 3, responses: config.Statuses{2: 2, 5: 1}, took: 3, healthy: 1}, "dead": {requests: 1, failed: 1, unhealthy: 1}, "empty": {},
	}
	// A request is counted when its answer was sent. The client has kept its
	// connection, and the node one to the target.
	var m config.Metrics
	var groups map[string]counts
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if m, groups = read(); m.ELBResponses == own && maps.Equal(groups, want) && m.ActiveConnections == 2 {
			break
		}
	}
	if m.ELBResponses != own || !maps.Equal(groups, want) || m.NewConnections != 3 || m.ActiveConnections != 2 {
		t.Errorf("counted %+v\n%+v, want %+v", m, groups, want)
	}

	// Another configuration counts on; a group that it has no more is forgotten.
	next := *c
	next.TargetGroups = maps.Clone(c.TargetGroups)
	next.Listeners = []config.Listener{c.Listeners[0]}
	next.Listeners[0].Rules = nil
	delete(next.TargetGroups, "dead")
	delete(next.TargetGroups, "empty")
	n.apply(&next)
	n.get("/?status=301")
	wanted := counts{requests: 4, responses: config.Statuses{2: 2, 3: 1, 5: 1}, took: 4, healthy: 1}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && groups["tg"] != wanted; time.Sleep(time.Millisecond) {
		m, groups = read()
	}
	if len(groups) != 1 || groups["tg"] != wanted {
		t.Errorf("counted %+v, want %+v", groups, wanted)
	}
	// It reaches the control process as it is.
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var sent config.Metrics
	if err := json.Unmarshal(text, &sent); err != nil || !reflect.DeepEqual(sent, m) {
		t.Errorf("%s: %v", text, err)
	}
}

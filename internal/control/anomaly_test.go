package control

import (
	"encoding/json"
	"testing"

	albconfig "github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// TestReportAnomalies: a node's report takes the place of its last one, of
// targets that are registered only, and no other process makes any.
func TestReportAnomalies(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
		store.NetworkInterfaces.Put(tx, &resource.NetworkInterface{ID: "eni-1"})
		store.TargetGroups.Put(tx, &resource.TargetGroup{ARN: "g", Targets: []resource.Target{{ID: "10.0.0.1", Port: 80}}})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	c := &controller{db: db}
	report := func(role string, found ...albconfig.Anomaly) error {
		raw, err := json.Marshal(found)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.reportAnomalies(t.Context(), albRole(role), raw)
		return err
	}
	one := albconfig.Anomaly{TargetGroup: "g", Target: "10.0.0.1", Port: 80, Anomalous: true}
	gone := albconfig.Anomaly{TargetGroup: "g", Target: "10.0.0.2", Port: 80, Anomalous: true}
	for _, step := range []struct {
		eni   string
		found []albconfig.Anomaly
		want  int // targets of the row; 0: no row
	}{
		{"eni-1", []albconfig.Anomaly{one, gone}, 1}, {"eni-1", nil, 0}, {"eni-1", []albconfig.Anomaly{gone}, 0}, {"eni-gone", []albconfig.Anomaly{one}, 0},
	} {
		if err := report(step.eni, step.found...); err != nil {
			t.Error(err)
		}
		row, ok := store.NodeAnomalies.Get(db.View(), step.eni)
		if ok != (step.want > 0) || ok && len(row.Targets) != step.want {
			t.Errorf("%+v: %+v", step, row)
		}
	}
	if _, err := c.reportAnomalies(t.Context(), roleGateway, []byte("[]")); err == nil {
		t.Error("the gateway reported anomalies")
	}
}

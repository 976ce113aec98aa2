package store

import (
	"context"
	"reflect"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
)

// TestEarlierListener: a listener that an earlier version stored has one target
// group. It is read as one that forwards there, and written as that.
func TestEarlierListener(t *testing.T) {
	c := startCluster(t)
	db := openStore(t, c.config())
	const earlier = `{"account":"111111111111","region":"us-east-1","arn":"arn:listener","loadBalancer":"arn:lb","protocol":"TCP","port":80,` +
		`"targetGroup":"arn:group","attributes":{"tcp.idle_timeout.seconds":"60"}}`
	if _, err := db.client.Put(t.Context(), rowKey(Listeners.def, "arn:listener"), earlier); err != nil {
		t.Fatal(err)
	}
	want := &resource.Listener{
		Meta: resource.Meta{Account: "111111111111", Region: "us-east-1"}, ARN: "arn:listener", LoadBalancer: "arn:lb", Protocol: "TCP", Port: 80,
		DefaultActions: []resource.Action{{Forward: &resource.Forward{Groups: []resource.WeightedGroup{{TargetGroup: "arn:group", Weight: 1}}}}},
		Attributes:     map[string]string{"tcp.idle_timeout.seconds": "60"},
	}
	if err := db.wait(t.Context(), func(s *Snapshot) bool { _, ok := Listeners.Get(s, "arn:listener"); return ok }); err != nil {
		t.Fatal(err)
	}
	if got, _ := Listeners.Get(db.View(), "arn:listener"); !reflect.DeepEqual(got, want) {
		t.Fatalf("read\n%+v\nwant\n%+v", got, want)
	}
	if _, err := db.Update(context.Background(), func(tx *Tx) error {
		l, _ := Listeners.Get(tx, "arn:listener")
		l.Port = 81
		Listeners.Put(tx, l)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	again, _ := Listeners.Get(openStore(t, c.config()).View(), "arn:listener")
	if want.Port = 81; !reflect.DeepEqual(again, want) {
		t.Errorf("after a change\n%+v\nwant\n%+v", again, want)
	}
}

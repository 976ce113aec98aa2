package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestSurvive: every process of Isthmus is killed while files are transferred
// over links that do not end in it: a load balancer inside a VPC, and
// PrivateLink between two accounts' VPCs with the same addresses.
func TestSurvive(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{Locations: slowLocation})
	b := site(t, m, accountB, machine.SiteOptions{})
	sum := putSlow(t, a)
	v1, v2 := overV1(t, b), overV2(t, a)
	_, service := offer(t, a, false, accountB)
	id, endpoint := connect(t, b, service)
	endpointBecomes(t, b, id, "available")
	near := addHost(t, m, accountA, a.Subnet, "", nil)
	far := addHost(t, m, accountB, b.Subnet, "", nil)

	works := func(t *testing.T) {
		t.Helper()
		answers(t, m, v1.URL+"/x", 200, accountB)
		answers(t, m, v2.URL+"/x", 200, accountA)
		if got := vpcs(t, a.AWS); !slices.Equal(got, []string{a.VPC}) {
			t.Errorf("the AWS API tells VPCs %v, want %s", got, a.VPC)
		}
	}
	transfers := func(t *testing.T) []*transfer {
		becomes(t, true, near.curlTo(t, a.Node))
		becomes(t, true, far.curlTo(t, endpoint))
		return []*transfer{download(t, near, a.Node), download(t, far, endpoint)}
	}

	for _, role := range roles {
		t.Run("the death of "+role, func(t *testing.T) {
			killed := processes(t, m)[role]
			list := transfers(t)
			kill(t, role, killed)
			for _, x := range list {
				x.progress(t)
			}
			err := machine.Until(t.Context(), patience, func() (bool, string, error) {
				for _, p := range status(t, m).Processes {
					if p.Role == role {
						return p.PID != 0 && p.PID != killed && p.Restarts > 0, fmt.Sprintf("%+v", p), nil
					}
				}
				return false, "there is no " + role, nil
			})
			if err != nil {
				t.Error(err)
			}
			works(t)
			for _, x := range list {
				x.complete(t, sum)
			}
		})
	}
	t.Run("the death of serve", func(t *testing.T) {
		before, list := processes(t, m), transfers(t)
		killServe(t, m)
		for _, x := range list {
			x.progress(t)
		}
		works(t) // without it, too
		for _, x := range list {
			x.progress(t)
		}
		if err := m.Serve(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			x.complete(t, sum)
		}
		works(t)
		if after := processes(t, m); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("the next serve runs %v instead of going on with %v", after, before)
		}
	})
	t.Run("an instance goes on under the next serve, and ends with its program", func(t *testing.T) {
		becomes(t, true, near.curlTo(t, a.Node))
		near.stop()
		err := machine.Until(t.Context(), patience, func() (bool, string, error) {
			return !interfaceExists(t, a.AWS, near.eni), near.eni + " is there without its instance", nil
		})
		if err != nil {
			t.Error(err)
		}
		answers(t, m, v2.URL+"/x", 200, accountA)
	})
}

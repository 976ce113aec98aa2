package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	dxtypes "github.com/aws/aws-sdk-go-v2/service/directconnect/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestBGP: two virtual interfaces of one gateway, over which BIRD announces the
// same network. One stands in for the other; sessions end, and the routes with
// them, when the router falls silent, when it announces too much, and when the
// BGP process is away for too long; and not when that was killed. Each time the
// cause is named, and traffic flows afterwards.
func TestBGP(t *testing.T) {
	const hold = 4 // seconds: a busy machine may not be silent for as long
	m := start(t)
	s := site(t, m, accountA, machine.SiteOptions{})
	o := newOnPrem(t, m, s, 2)
	o.allow(s.Group, 80)
	first, second := o.wires[0], o.wires[1]
	config := machine.BGP{Wires: o.wires, HoldSeconds: hold}
	o.start(config)

	flows := func() {
		t.Helper()
		o.eventually(accountA+" "+machine.OnPremisesHost+" /", "http://"+machine.BackendAddress+"/")
	}
	works := func() {
		t.Helper()
		o.session(dxtypes.BGPStatusUp, o.wires...)
		flows()
	}
	works()
	o.routes(machine.OnPremises)
	// backWay waits until the VPC answers the network by a wire.
	backWay := func(w machine.Wire) {
		t.Helper()
		o.tells(w.ID, "--from", o.backend(), "--to", machine.OnPremisesHost+":7000")
	}
	// stopped waits until nothing leads to the network any more, and the session
	// of a wire is down because of a cause.
	stopped := func(cause string, wires ...machine.Wire) {
		t.Helper()
		o.session(dxtypes.BGPStatusDown, o.wires...)
		o.routes()
		for _, w := range wires {
			o.tells("stopped: no-route: ", "--from", w.ID+"/"+machine.OnPremisesHost, "--to", machine.BackendAddress+":80")
			o.tells("the BGP session of "+w.ID+" with "+w.Customer+" (AS 65000) is down: "+cause, "--from", o.backend(), "--to", machine.OnPremisesHost+":7000")
			m.Logged(t, "msg=\"BGP session\" process=bgp interface="+w.ID+" up=false routes=0 cause=\""+cause)
		}
	}
	// replace starts another BIRD; a new BGP process does not have it wait for
	// its turn, as the one does that saw the sessions end.
	replace := func(b machine.BGP) {
		t.Helper()
		if err := o.router.Stop(); err != nil {
			t.Fatal(err)
		}
		kill(t, "bgp", processes(t, m)["bgp"])
		o.start(b)
	}

	t.Run("one wire stands in for another", func(t *testing.T) {
		backWay(first)
		o.bird("disable", first.Session())
		o.session(dxtypes.BGPStatusDown, first)
		backWay(second)
		o.session(dxtypes.BGPStatusUp, second)
		flows()
		if got := o.learned(); !slices.Equal(got, []string{machine.OnPremises}) {
			t.Errorf("routes %v", got)
		}
		o.tells("no-route: ", "--from", first.ID+"/"+machine.OnPremisesHost, "--to", machine.BackendAddress+":80")
	})
	t.Run("the router falls silent", func(t *testing.T) {
		o.bird("enable", first.Session())
		o.signal(syscall.SIGSTOP)
		stopped("the session ended: nothing came from the router for the hold time", second)
		o.signal(syscall.SIGCONT)
		works()
		backWay(first)
	})
	t.Run("the BGP process is killed", func(t *testing.T) {
		before := []time.Time{o.uptime(first), o.uptime(second)}
		kill(t, "bgp", processes(t, m)["bgp"])
		if err := machine.Until(t.Context(), patience, func() (bool, string, error) {
			if got := o.learned(); !slices.Equal(got, []string{machine.OnPremises}) {
				return false, "", fmt.Errorf("routes %v while the process is away", got)
			}
			now := []time.Time{o.uptime(first), o.uptime(second)}
			return isAnew(before[0], now[0]) && isAnew(before[1], now[1]), fmt.Sprintf("the router's sessions are of %v", now), nil
		}); err != nil {
			t.Fatal(err)
		}
		works()
	})
	t.Run("the BGP process stays away", func(t *testing.T) {
		bgp := processes(t, m)["bgp"]
		// Who would start it anew is stopped.
		signal := func(s syscall.Signal) {
			if err := m.Server().Signal(s); err != nil {
				t.Fatal(err)
			}
		}
		signal(syscall.SIGSTOP)
		defer signal(syscall.SIGCONT)
		kill(t, "bgp", bgp)
		o.session(dxtypes.BGPStatusDown, o.wires...)
		o.routes()
		signal(syscall.SIGCONT)
		works()
	})
	t.Run("a router of another AS", func(t *testing.T) {
		wrong := config
		wrong.AS = 65001
		replace(wrong)
		stopped("the router is of another AS", o.wires...)
	})
	t.Run("too many routes", func(t *testing.T) {
		many := config
		for i := range 100 {
			many.Routes = append(many.Routes, fmt.Sprintf("172.16.%d.0/24", i))
		}
		replace(many)
		stopped("the router announced more than 100 routes", o.wires...)
		many.Routes = many.Routes[:99]
		replace(many) // to the new process, the router has not to be punished
		works()
		want := append(many.Routes, machine.OnPremises)
		slices.SortFunc(want, func(a, b string) int { return netip.MustParsePrefix(a).Compare(netip.MustParsePrefix(b)) })
		o.routes(want...)
	})
}

// tells waits until a trace says something.
func (o *onPrem) tells(text string, args ...string) {
	o.Helper()
	if err := machine.Until(o.Context(), patience, func() (bool, string, error) {
		got := o.trace(args...)
		return strings.Contains(got, text), got, nil
	}); err != nil {
		o.Errorf("trace %q: want %q: %v", args, text, err)
	}
}

func (o *onPrem) signal(s syscall.Signal) {
	o.Helper()
	if err := o.router.Signal(s); err != nil {
		o.Fatal(err)
	}
}

func (o *onPrem) bird(command ...string) {
	o.Helper()
	if out, err := o.router.BIRD(o.Context(), command...); err != nil {
		o.Fatalf("%v: %s", err, out)
	}
}

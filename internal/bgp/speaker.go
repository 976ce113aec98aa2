package bgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"github.com/isthmus-net/isthmus/internal/bgp/config"
)

// globalASN is of no session, each of which has its own (AS_TRANS, RFC 6793).
const globalASN = 23456

// speaker is the BGP server.
type speaker struct {
	server   *server.BgpServer
	sessions map[string]*session // by interface
	changed  chan struct{}       // has a value after something happened in a session
	ended    chan netip.Addr     // peers whose first routes are complete
	causes   causes
}

// newSpeaker starts a server. listen is where it accepts connections; port -1:
// nowhere.
func newSpeaker(ctx context.Context, router netip.Addr, listen netip.AddrPort, log *slog.Logger) (*speaker, error) {
	// What it logs at the level of information happens at every connection.
	level := &slog.LevelVar{}
	level.Set(slog.LevelWarn)
	s := &speaker{
		server:   server.NewBgpServer(server.LoggerOption(slog.New(atLeast{log.Handler(), level}), level)),
		sessions: map[string]*session{},
		changed:  make(chan struct{}, 1),
		ended:    make(chan netip.Addr, 16),
	}
	go s.server.Serve()
	if err := s.server.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: globalASN, RouterId: router.String(), ListenPort: int32(listen.Port()), ListenAddresses: []string{listen.Addr().String()},
	}}); err != nil {
		s.server.Stop()
		return nil, fmt.Errorf("start BGP: %w", err)
	}
	poke := func() {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
	err := s.server.WatchEvent(ctx, server.WatchEventMessageCallbacks{
		OnPeerUpdate: func(e *apiutil.WatchEventMessage_PeerEvent, _ time.Time) {
			s.causes.note(&e.Peer.State)
			poke()
		},
		OnPathUpdate: func([]*apiutil.Path, time.Time) { poke() },
		OnPathEor: func(p *apiutil.Path, _ time.Time) {
			select {
			case s.ended <- p.PeerAddress:
			case <-ctx.Done():
			}
		},
	}, server.WatchPeer(), server.WatchUpdate(false, "", ""), server.WatchEor(false))
	if err != nil {
		s.server.Stop()
		return nil, fmt.Errorf("watch BGP: %w", err)
	}
	return s, nil
}

// atLeast is a handler that leaves out what is below a level.
type atLeast struct {
	slog.Handler
	level slog.Leveler
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level.Level() && h.Handler.Enabled(ctx, l)
}

func (h atLeast) WithAttrs(a []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(a), h.level}
}
func (h atLeast) WithGroup(n string) slog.Handler { return atLeast{h.Handler.WithGroup(n), h.level} }

// apply makes the sessions those of c. One that stays is not disturbed.
func (s *speaker) apply(ctx context.Context, c config.Config, now time.Time) error {
	want := map[string]config.Session{}
	for _, x := range c.Sessions {
		want[x.Interface] = x
	}
	var failures []error
	for id, have := range s.sessions {
		if w, ok := want[id]; !ok || !have.sameSession(w) {
			if err := s.remove(ctx, have); err != nil {
				failures = append(failures, err)
			}
		}
	}
	for _, w := range c.Sessions {
		if s.sessions[w.Interface] == nil {
			if err := s.add(ctx, w, now); err != nil {
				failures = append(failures, err)
				continue
			}
		}
		if err := s.announce(s.sessions[w.Interface], w.Announce); err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// sameSession says whether a session can go on as another: with other
// announcements it can.
func (s *session) sameSession(o config.Session) bool {
	a, b := s.Session, o
	return a.Interface == b.Interface && a.Number == b.Number && a.Peer == b.Peer && a.LocalASN == b.LocalASN &&
		a.PeerASN == b.PeerASN && a.NextHop == b.NextHop
}

func (s *speaker) add(ctx context.Context, w config.Session, now time.Time) error {
	mark := &api.RouteTarget{Rt: &api.RouteTarget_TwoOctetAsSpecific{TwoOctetAsSpecific: &api.TwoOctetAsSpecificExtended{
		IsTransitive: true, SubType: uint32(gobgp.EC_SUBTYPE_ROUTE_TARGET), Asn: globalASN, LocalAdmin: w.Number,
	}}}
	err := s.server.AddVrf(ctx, &api.AddVrfRequest{Vrf: &api.Vrf{
		Name: w.Interface, Id: w.Number, ImportRt: []*api.RouteTarget{mark}, ExportRt: []*api.RouteTarget{mark},
		Rd: &api.RouteDistinguisher{Rd: &api.RouteDistinguisher_TwoOctetAsn{
			TwoOctetAsn: &api.RouteDistinguisherTwoOctetASN{Admin: globalASN, Assigned: w.Number},
		}},
	}})
	if err != nil {
		return fmt.Errorf("make VRF of %s: %w", w.Interface, err)
	}
	ipv4 := &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}
	err = s.server.AddPeer(ctx, &api.AddPeerRequest{Peer: &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: w.Peer.String(), PeerAsn: w.PeerASN, LocalAsn: w.LocalASN, Vrf: w.Interface, Description: w.Interface,
		},
		Transport: &api.Transport{PassiveMode: true},
		Timers: &api.Timers{Config: &api.TimersConfig{
			HoldTime: uint64(config.HoldTime / time.Second), KeepaliveInterval: uint64(config.HoldTime / time.Second / 3), IdleHoldTimeAfterReset: 1,
		}},
		AfiSafis: []*api.AfiSafi{{
			Config:       &api.AfiSafiConfig{Family: ipv4, Enabled: true},
			PrefixLimits: &api.PrefixLimit{Family: ipv4, MaxPrefixes: config.MaxRoutes},
		}},
	}})
	if err != nil {
		return errors.Join(fmt.Errorf("make peer of %s: %w", w.Interface, err), s.server.DeleteVrf(ctx, &api.DeleteVrfRequest{Name: w.Interface}))
	}
	w.Announce = nil
	s.sessions[w.Interface] = &session{Session: w, since: now}
	return nil
}

func (s *speaker) remove(ctx context.Context, x *session) error {
	delete(s.sessions, x.Interface)
	defer s.causes.forget(x.Peer)
	if err := s.announce(x, nil); err != nil {
		return err
	}
	if err := s.server.DeletePeer(ctx, &api.DeletePeerRequest{Address: x.Peer.String()}); err != nil {
		return fmt.Errorf("remove peer of %s: %w", x.Interface, err)
	}
	if err := s.server.DeleteVrf(ctx, &api.DeleteVrfRequest{Name: x.Interface}); err != nil {
		return fmt.Errorf("remove VRF of %s: %w", x.Interface, err)
	}
	return nil
}

// announce makes what a session announces these ranges.
func (s *speaker) announce(x *session, want []netip.Prefix) error {
	for _, p := range x.Announce {
		if !slices.Contains(want, p) {
			path, err := x.path(p)
			if err == nil {
				err = s.server.DeletePath(apiutil.DeletePathRequest{VRFID: x.Interface, Paths: []*apiutil.Path{path}})
			}
			if err != nil {
				return fmt.Errorf("withdraw %s from %s: %w", p, x.Interface, err)
			}
		}
	}
	for _, p := range want {
		if !slices.Contains(x.Announce, p) {
			path, err := x.path(p)
			if err == nil {
				_, err = s.server.AddPath(apiutil.AddPathRequest{VRFID: x.Interface, Paths: []*apiutil.Path{path}})
			}
			if err != nil {
				return fmt.Errorf("announce %s to %s: %w", p, x.Interface, err)
			}
		}
	}
	x.Announce = slices.Clone(want)
	return nil
}

func (s *session) path(p netip.Prefix) (*apiutil.Path, error) {
	nlri, err := gobgp.NewIPAddrPrefix(p)
	if err != nil {
		return nil, err
	}
	hop, err := gobgp.NewPathAttributeNextHop(s.NextHop)
	if err != nil {
		return nil, err
	}
	return &apiutil.Path{
		Family: gobgp.RF_IPv4_UC, Nlri: nlri,
		Attrs: []gobgp.PathAttributeInterface{gobgp.NewPathAttributeOrigin(gobgp.BGP_ORIGIN_ATTR_TYPE_IGP), hop},
	}, nil
}

// observe reads what state the sessions are in.
func (s *speaker) observe(ctx context.Context) (map[string]observation, error) {
	// The routes first: those of a session that ends meanwhile are not taken for
	// all that is left of it.
	routes := map[string][]config.Route{}
	for id, x := range s.sessions {
		var err error
		if routes[id], err = s.routes(x); err != nil {
			return nil, err
		}
	}
	seen := map[string]observation{}
	err := s.server.ListPeer(ctx, &api.ListPeerRequest{}, func(p *api.Peer) {
		id, state := p.GetConf().GetVrf(), p.GetState()
		o := observation{
			established: state.GetSessionState() == api.PeerState_SESSION_STATE_ESTABLISHED,
			tooMany:     state.GetAdminState() == api.PeerState_ADMIN_STATE_PFX_CT,
			hold:        time.Duration(p.GetTimers().GetState().GetNegotiatedHoldTime()) * time.Second,
			routes:      routes[id],
		}
		if peer, err := netip.ParseAddr(p.GetConf().GetNeighborAddress()); err == nil {
			o.cause = s.causes.of(peer)
		}
		seen[id] = o
	})
	if err != nil {
		return nil, fmt.Errorf("list BGP peers: %w", err)
	}
	return seen, nil
}

// routes are what a router announces, ascending.
func (s *speaker) routes(x *session) (routes []config.Route, err error) {
	err = s.server.ListPath(apiutil.ListPathRequest{
		TableType: api.TableType_TABLE_TYPE_ADJ_IN, Name: x.Peer.String(), Family: gobgp.RF_IPv4_UC,
	}, func(nlri gobgp.NLRI, paths []*apiutil.Path) {
		prefix, err := netip.ParsePrefix(nlri.String())
		if err != nil || len(paths) == 0 {
			return
		}
		r := config.Route{Prefix: prefix.Masked()}
		for _, a := range paths[0].Attrs {
			if path, ok := a.(*gobgp.PathAttributeAsPath); ok {
				for _, segment := range path.Value {
					r.Length += segment.ASLen()
				}
			}
		}
		routes = append(routes, r)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes of %s: %w", x.Interface, err)
	}
	slices.SortFunc(routes, func(a, b config.Route) int { return a.Prefix.Compare(b.Prefix) })
	return routes, nil
}

// readmit lets a router connect again that had announced too much.
func (s *speaker) readmit(ctx context.Context, x *session) error {
	if err := s.server.EnablePeer(ctx, &api.EnablePeerRequest{Address: x.Peer.String()}); err != nil {
		return fmt.Errorf("enable peer of %s: %w", x.Interface, err)
	}
	return nil
}

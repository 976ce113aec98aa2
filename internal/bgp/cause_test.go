package bgp

import (
	"net/netip"
	"testing"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// TestCauses: what is remembered of a peer's session that ends, as the server's
// events come.
func TestCauses(t *testing.T) {
	peer := netip.MustParseAddr("100.64.0.1")
	event := func(state gobgp.FSMState, r api.PeerState_DisconnectReason, message string) *apiutil.PeerState {
		return &apiutil.PeerState{NeighborAddress: peer, SessionState: state, DisconnectReason: r, DisconnectMessage: message}
	}
	var c causes
	for _, s := range []struct {
		event *apiutil.PeerState
		want  cause
	}{
		{event(gobgp.BGP_FSM_ESTABLISHED, api.PeerState_DISCONNECT_REASON_UNSPECIFIED, "open-msg-negotiated"), cause{}},
		{event(gobgp.BGP_FSM_IDLE, api.PeerState_DISCONNECT_REASON_HOLD_TIMER_EXPIRED, "hold-timer-expired"), cause{text: "nothing came from the router for the hold time"}},
		{event(gobgp.BGP_FSM_ACTIVE, api.PeerState_DISCONNECT_REASON_IDLE_TIMER_EXPIRED, "idle-hold-timer-expired"), cause{text: "nothing came from the router for the hold time"}},
		{event(gobgp.BGP_FSM_IDLE, api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED, "notification-received code 6(cease)"), cause{text: "the router ended it: code 6(cease)"}},
		{event(gobgp.BGP_FSM_IDLE, api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT, "notification-sent code 3(update)"), cause{text: "the router sent what is not valid: code 3(update)"}},
		{event(gobgp.BGP_FSM_IDLE, api.PeerState_DISCONNECT_REASON_READ_FAILED, "read-failed"), cause{text: "the connection was lost"}},
		{event(gobgp.BGP_FSM_IDLE, api.PeerState_DISCONNECT_REASON_BAD_PEER_AS, "bad-peer-as"), cause{"the router is of another AS", true}},
		{event(gobgp.BGP_FSM_IDLE, api.PeerState_DISCONNECT_REASON_ADMIN_DOWN, "admin-down"), cause{"the router is of another AS", true}},
	} {
		c.note(s.event)
		if got := c.of(peer); got != s.want {
			t.Errorf("after %s: %+v, want %+v", s.event.DisconnectMessage, got, s.want)
		}
	}
	if c.forget(peer); c.of(peer) != (cause{}) {
		t.Error("it is remembered of a peer that is no more")
	}
}

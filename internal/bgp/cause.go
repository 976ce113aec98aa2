package bgp

import (
	"net/netip"
	"strings"
	"sync"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// causes remembers why peers' sessions ended, or did not come about. The
// server tells it with the event and never again.
type causes struct {
	mu   sync.Mutex
	last map[netip.Addr]cause
}

// cause is why a session ended last.
type cause struct {
	text string
	// refused says that the router is not the one that is expected.
	refused bool
}

// note remembers what an event says, if it is the end of something.
func (c *causes) note(s *apiutil.PeerState) {
	text := endText(s.DisconnectReason, s.DisconnectMessage)
	if s.SessionState == gobgp.BGP_FSM_ESTABLISHED || text == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = map[netip.Addr]cause{}
	}
	c.last[s.NeighborAddress.Unmap()] = cause{text, s.DisconnectReason == api.PeerState_DISCONNECT_REASON_BAD_PEER_AS}
}

// of is why the session of a peer ended last; zero if it has not.
func (c *causes) of(peer netip.Addr) cause {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last[peer]
}

// forget is called when the peer is no more.
func (c *causes) forget(peer netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.last, peer)
}

// endText tells people why a session ended; empty for what is no end, as
// waiting for the next connection is not. message is the server's.
func endText(r api.PeerState_DisconnectReason, message string) string {
	switch r {
	case api.PeerState_DISCONNECT_REASON_HOLD_TIMER_EXPIRED:
		return "nothing came from the router for the hold time"
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED, api.PeerState_DISCONNECT_REASON_HARD_RESET:
		return "the router ended it: " + strings.TrimPrefix(message, "notification-received ")
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT, api.PeerState_DISCONNECT_REASON_INVALID_MSG:
		return "the router sent what is not valid: " + strings.TrimPrefix(message, "notification-sent ")
	case api.PeerState_DISCONNECT_REASON_READ_FAILED, api.PeerState_DISCONNECT_REASON_WRITE_FAILED:
		return "the connection was lost"
	case api.PeerState_DISCONNECT_REASON_BAD_PEER_AS:
		return "the router is of another AS"
	}
	return ""
}

package dns

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/time/rate"
)

// maxUDP is the longest answer over UDP. Longer ones might need fragments,
// which the networks do not carry.
const maxUDP = 1232

// Limits of what one VPC may ask. AWS allows 1,024 packets a second to each
// network interface, which can't be told apart here.
const (
	maxRate  = 8192 // queries a second
	maxBurst = 4096
)

// upstream is a resolver to which questions about other names go.
type upstream interface {
	ask(ctx context.Context, question dns.Question) (*dns.Msg, error)
}

// handler answers queries.
type handler struct {
	names   atomic.Pointer[names] // never nil when the handler is used
	forward upstream              // nil: nothing is sent anywhere
	log     *slog.Logger
	// told keeps the log from what a client can make it say.
	told *rate.Limiter
	// limits are by VPC, replaced with the configuration.
	limits atomic.Pointer[map[string]*rate.Limiter]
}

func newHandler(forward upstream, log *slog.Logger) *handler {
	return &handler{forward: forward, log: log, told: rate.NewLimiter(5, 20)}
}

// apply makes a configuration the one to answer from.
func (h *handler) apply(n *names) {
	old := h.limits.Load()
	limits := make(map[string]*rate.Limiter, len(n.vpcs))
	for id := range n.vpcs {
		if old != nil && (*old)[id] != nil {
			limits[id] = (*old)[id]
		} else {
			limits[id] = rate.NewLimiter(maxRate, maxBurst)
		}
	}
	h.limits.Store(&limits)
	h.names.Store(n)
}

// inside handles the queries of VPCs. Whose a query is its source tells. A
// source that stands for no VPC (the configuration has not come yet) gets no
// answer, so that the client asks again.
func (h *handler) inside(w dns.ResponseWriter, req *dns.Msg) {
	n := h.names.Load()
	vpc, ok := n.askers[addressOf(w.RemoteAddr())]
	if !ok {
		h.tell("query from nobody that is known", "from", w.RemoteAddr())
		w.Close()
		return
	}
	if limit := (*h.limits.Load())[vpc]; limit != nil && !limit.Allow() {
		h.tell("query dropped: the VPC asks too often", "vpc", vpc)
		w.Close()
		return
	}
	h.reply(w, req, n.vpcs[vpc], vpc)
}

// host handles the queries of the machine itself.
func (h *handler) host(w dns.ResponseWriter, req *dns.Msg) {
	h.reply(w, req, h.names.Load().public, "")
}

func addressOf(a net.Addr) netip.Addr {
	at, _ := netip.ParseAddrPort(a.String())
	return at.Addr().Unmap()
}

// forwardTimeout is how long the answer of another resolver is waited for,
// shorter than what clients wait.
const forwardTimeout = 4 * time.Second

func (h *handler) reply(w dns.ResponseWriter, req *dns.Msg, v view, vpc string) {
	ctx, cancel := context.WithTimeout(context.Background(), forwardTimeout)
	defer cancel()
	resp, cause := h.respond(ctx, req, v)
	if cause != "" {
		question := req.Question[0]
		h.tell("name not answered", "name", question.Name, "type", dns.TypeToString[question.Qtype], "vpc", vpc,
			"rcode", dns.RcodeToString[resp.Rcode], "cause", cause)
	}
	size := dns.MaxMsgSize
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		size = dns.MinMsgSize
		if opt := req.IsEdns0(); opt != nil {
			size = min(max(size, int(opt.UDPSize())), maxUDP)
		}
	}
	resp.Compress = true
	resp.Truncate(size)
	if err := w.WriteMsg(resp); err != nil {
		h.log.Debug("answer not sent", "error", err)
	}
}

func (h *handler) tell(message string, args ...any) {
	if h.told.Allow() {
		h.log.Info(message, args...)
	}
}

// respond answers a query, which has one question. cause is why the question
// itself is not.
func (h *handler) respond(ctx context.Context, req *dns.Msg, v view) (resp *dns.Msg, cause string) {
	resp = new(dns.Msg)
	resp.SetReply(req)
	resp.RecursionAvailable = true
	opt := req.IsEdns0()
	if opt != nil {
		resp.SetEdns0(maxUDP, false)
	}
	question := req.Question[0]
	switch {
	case opt != nil && opt.Version() != 0:
		resp.Rcode = dns.RcodeBadVers
		return resp, ""
	case req.Opcode != dns.OpcodeQuery:
		resp.Rcode = dns.RcodeNotImplemented
		return resp, ""
	case question.Qclass != dns.ClassINET || refusedType(question.Qtype):
		resp.Rcode = dns.RcodeRefused
		return resp, ""
	}
	a := v.answer(question.Name, strings.ToLower(question.Name), question.Qtype)
	resp.Answer, resp.Rcode = a.records, a.rcode
	if a.outside != "" && h.forward != nil {
		question.Name = a.outside
		got, err := h.forward.ask(ctx, question)
		if err != nil {
			resp.Rcode, cause = dns.RcodeServerFailure, "forward: "+err.Error()
		} else {
			adopt(resp, got)
		}
	} else {
		cause = a.cause
		if a.outside != "" && cause == "" {
			cause = a.outside + " is of the outside, and isthmus serve was started without --dns-forward"
		}
		if a.zone != nil {
			resp.Ns = []dns.RR{a.zone.soa()}
		}
	}
	if own := resp.IsEdns0(); own != nil && cause != "" {
		own.Option = append(own.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeOther, ExtraText: cause})
	}
	return resp, cause
}

// refusedType says whether a type is none of a record.
func refusedType(t uint16) bool {
	switch t {
	case dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB, dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY:
		return true
	}
	return false
}

// adopt takes over what another resolver answered.
func adopt(resp, got *dns.Msg) {
	resp.Rcode, resp.Truncated = got.Rcode&0xf, got.Truncated
	resp.Answer = append(resp.Answer, got.Answer...)
	resp.Ns = got.Ns
	for _, r := range got.Extra {
		if _, ok := r.(*dns.OPT); !ok {
			resp.Extra = append(resp.Extra, r)
		}
	}
}

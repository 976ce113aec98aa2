package http2

import (
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/isthmus-net/isthmus/internal/http1"
)

// How a connection comes to its end.
const (
	stageOpen      = iota
	stageAnnounced // the client was told that it will end, but not yet by which request
	stageLast      // requests beyond the last one are not looked at: the client sends them elsewhere
	stageOver      // nothing more is written but what is pending; what comes is thrown away
)

// conn is a client's connection.
type conn struct {
	server *Server
	conn   *http1.Conn

	// The reading goroutine's.
	in      input
	decoder *hpack.Decoder
	block   block

	mu       sync.Mutex
	changed  sync.Cond // out has room again, nothing is being written any more, or the connection has failed
	failed   error     // nothing can be sent or received any more
	stage    int
	streams  map[uint32]*stream // that are open on either side
	last     uint32             // the highest of the client
	ownReset resets             // streams that were reset here: their frames may be under way
	running  int                // handlers
	handlers sync.WaitGroup

	out      *[]byte // what is to be written; of a pool, nil if there is nothing
	flushing bool    // a goroutine writes
	flusher  func()  // is flush, made once
	emptied  bool    // the client has been told that HPACK's dynamic table is empty
	mustTell bool    // it has to be

	sendWindow    int64 // of the connection
	initialWindow int64 // of streams, that the client grants
	granted       granted

	settled   bool      // the client's first settings have come
	idleSince time.Time // when the last request ended, or the connection began
	announced time.Time // when the client was told of the end
	timer     *time.Timer
	faults    int // see fault
}

func newConn(s *Server, hc *http1.Conn) *conn {
	c := &conn{
		server: s, conn: hc, streams: map[uint32]*stream{},
		sendWindow: settingWindowDefault, initialWindow: settingWindowDefault, granted: granted{window: connectionBuffer},
		idleSince: time.Now(),
	}
	c.changed.L = &c.mu
	c.flusher = c.flush
	c.in.conn = hc.Conn
	c.decoder = hpack.NewDecoder(tableSize, c.field)
	c.decoder.SetMaxStringLength(c.maxBlock())
	return c
}

// lingerTime is how long the client may take to see the end of a connection,
// which it would not if that were reset while it still sends.
const lingerTime = time.Second

// serve serves the connection until it has ended and so have its handlers.
func (c *conn) serve() {
	c.mu.Lock()
	c.greet()
	c.timer = time.AfterFunc(min(c.server.options.HeaderTimeout, c.server.options.IdleTimeout), c.look)
	c.mu.Unlock()
	defer c.timer.Stop()
	err := c.readFrames()
	var fault *connectionError
	if errors.As(err, &fault) {
		c.server.options.Log.Debug("HTTP/2 connection ended", "client", c.conn.RemoteAddr(), "reason", fault.reason)
		c.mu.Lock()
		if c.stage < stageOver {
			c.append(appendGoAway, c.last, fault.code)
			c.stage = stageOver
		}
		c.failStreams(errors.Join(http1.ErrGone, err))
		c.mu.Unlock()
		c.in.discard()
	}
	c.abort(errors.Join(http1.ErrGone, err))
	c.handlers.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.flushing {
		c.changed.Wait()
	}
}

// greet sends the server's preface (RFC 9113, section 3.4).
func (c *conn) greet() {
	const settings = 3
	b := c.room(64)
	*b = appendFrame(*b, settings*settingSize, frameSettings, 0, 0)
	*b = appendSetting(*b, settingStreams, maxStreams)
	*b = appendSetting(*b, settingWindow, streamBuffer)
	*b = appendSetting(*b, settingHeaderList, uint32(c.server.options.MaxHeader))
	*b = appendWindow(*b, 0, connectionBuffer-settingWindowDefault)
	c.flushSoon()
}

// append appends a frame that has the form of GOAWAY or RST_STREAM. The lock is
// held.
func (c *conn) append(frame func([]byte, uint32, code) []byte, stream uint32, x code) {
	b := c.room(32)
	*b = frame(*b, stream, x)
	c.flushSoon()
}

// abort ends the connection now, and all that waits for it.
func (c *conn) abort(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail(cause)
}

// fail is abort with the lock held.
func (c *conn) fail(cause error) {
	if c.failed == nil {
		c.failed = cause
		c.stage = stageOver
		c.failStreams(cause)
		c.changed.Broadcast()
		c.conn.SetDeadline(time.Unix(1, 0))
	}
}

func (c *conn) failStreams(cause error) {
	for _, s := range c.streams {
		s.fail(cause)
	}
	clear(c.streams)
}

// announceEnd begins the connection's end: the client is to send no more
// requests. Those that it has sent meanwhile are answered, too: the last one is
// known when it has answered the ping.
func (c *conn) announceEnd() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stage != stageOpen || c.failed != nil {
		return
	}
	c.stage, c.announced = stageAnnounced, time.Now()
	b := c.room(64)
	*b = appendGoAway(*b, maxWindow, codeNone)
	*b = append(appendFrame(*b, len(endPing), framePing, 0, 0), endPing...)
	c.flushSoon()
	c.timer.Reset(announceTime)
}

// announceTime is how long the client is given to say that it knows of the end.
const announceTime = time.Second

// endPing is the payload of the ping that tells when the client knows of the
// end.
const endPing = "the end."

// settleEnd decides which request is the last.
func (c *conn) settleEnd() {
	if c.stage != stageAnnounced {
		return
	}
	c.stage = stageLast
	c.append(appendGoAway, c.last, codeNone)
	c.checkEnd()
}

// checkEnd ends the connection behind its last request.
func (c *conn) checkEnd() {
	if c.stage == stageLast && len(c.streams) == 0 {
		c.stage = stageOver
		c.flushSoon()
	}
}

// look is called by the timer now and then: it ends the connection of a client
// that has sent nothing for too long.
func (c *conn) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil || c.stage == stageOver {
		return
	}
	o := &c.server.options
	next := o.IdleTimeout
	switch {
	case c.stage == stageAnnounced:
		if next = announceTime - time.Since(c.announced); next <= 0 {
			c.settleEnd()
			next = o.IdleTimeout
		}
	case !c.settled:
		if next = o.HeaderTimeout - time.Since(c.idleSince); next <= 0 {
			c.fail(errors.Join(http1.ErrSlow, errors.New("HTTP/2: no preface")))
			return
		}
		next = min(next, o.IdleTimeout)
	case len(c.streams) == 0:
		if next = o.IdleTimeout - time.Since(c.idleSince); next <= 0 {
			c.closeBehind()
			return
		}
	}
	c.timer.Reset(next)
}

// closed is called when a stream has ended for both sides.
func (c *conn) closed(s *stream) {
	delete(c.streams, s.id)
	if len(c.streams) == 0 {
		c.idleSince = time.Now()
		c.checkEnd()
	}
}

// maxFaults is how many faults a client may be ahead of the requests that it was
// answered.
const maxFaults = 1000

// fault counts frames of a client that cost the server something and bring
// nobody anything: resets of requests, pings, settings, empty frames. They are
// right in small numbers, and the connection of a client that sends little else
// ends (RFC 9113, section 10.5).
func (c *conn) fault(n int) error {
	if c.faults += n; c.faults > maxFaults {
		return broken(codeCalm, "too many frames that carry nothing")
	}
	return nil
}

func (c *conn) merit(n int) { c.faults = max(0, c.faults-n) }

// resets remembers the streams that were reset last.
type resets struct {
	ids  [64]uint32
	next int
}

func (r *resets) add(id uint32) {
	r.ids[r.next%len(r.ids)] = id
	r.next++
}

func (r *resets) has(id uint32) bool {
	for _, have := range r.ids {
		if have == id {
			return true
		}
	}
	return false
}

// halfClose ends this side of the connection.
func (c *conn) halfClose() {
	if half, ok := c.conn.Conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	if whole, ok := c.conn.Conn.(interface{ NetConn() net.Conn }); ok {
		if half, ok := whole.NetConn().(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
	}
}

package wire

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options configure NewHandler. The zero value works.
type Options struct {
	DefaultAccount string       // of access keys that are not an account number; "": 000000000000
	DefaultRegion  string       // of signatures for any region; "": us-east-1
	OneRegion      bool         // refuse signatures for other regions than DefaultRegion
	Reserved       []string     // accounts of the server's own, as which one may look but not change
	AllowedHosts   []string     // further values of the Host header: names, or "*.name" for all below name
	MaxBody        int64        // bytes of a request's body; 0: 1 MiB
	Log            *slog.Logger // a line per call; nil: slog.Default
}

type handler struct {
	opts      Options
	guard     guard
	endpoints map[string]*endpoint // by signing name
	servers   map[*api]any
}

// NewHandler returns a handler that serves the services on any path: it must
// see requests as they came, not through a http.ServeMux, which alters paths.
// Requests must carry a signature, whose scope names the service; it is not
// verified. NewHandler panics if a Server does not fit its API.
func NewHandler(opts Options, services ...Service) http.Handler {
	opts.DefaultAccount = orDefault(opts.DefaultAccount, "000000000000")
	opts.DefaultRegion = orDefault(opts.DefaultRegion, "us-east-1")
	if opts.MaxBody == 0 {
		opts.MaxBody = 1 << 20
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	h := &handler{
		opts:      opts,
		guard:     newGuard(opts.AllowedHosts),
		endpoints: make(map[string]*endpoint),
		servers:   make(map[*api]any),
	}
	for _, s := range services {
		if err := h.add(s); err != nil {
			panic(err)
		}
	}
	for _, e := range h.endpoints {
		if _, rest := e.protocol.(restJSON); rest {
			e.router = newRouter(e.apis)
		}
	}
	return h
}

func (h *handler) add(s Service) error {
	a, err := compile(s.API)
	if err != nil {
		return err
	}
	for name, m := range s.API.Methods {
		if !m.fits(s.Server) {
			return fmt.Errorf("serve API %s: %T has no method %s that fits", s.API.Name, s.Server, name)
		}
	}
	p, ok := newProtocol(a)
	if !ok {
		return fmt.Errorf("serve API %s: unknown protocol %q", s.API.Name, a.meta.Protocol)
	}
	e := h.endpoints[a.meta.SigningName]
	if e == nil {
		e = &endpoint{protocol: p}
		h.endpoints[a.meta.SigningName] = e
	}
	if e.protocol != p {
		return fmt.Errorf("serve API %s: another API with its signing name has another protocol", s.API.Name)
	}
	for _, op := range a.operations {
		if op.hostPrefix != "" && !slices.Contains(h.guard.prefixes, op.hostPrefix) {
			h.guard.prefixes = append(h.guard.prefixes, op.hostPrefix)
		}
	}
	e.apis = append(e.apis, a)
	h.servers[a] = s.Server
	return nil
}

// A call is a request on its way.
type call struct {
	caller   Caller
	protocol protocol   // in which errors are written
	api      *api       // nil until known
	op       *operation // nil until known
	err      *Error     // what the client is told, if anything went wrong
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := &call{caller: Caller{RequestID: newRequestID()}, protocol: restJSON{}}
	resp := h.answer(c, r)
	header := w.Header()
	for k, v := range resp.header {
		header[k] = v
	}
	header["X-Amzn-Requestid"] = []string{c.caller.RequestID}
	if resp.status != http.StatusNoContent {
		header.Set("Content-Length", strconv.Itoa(len(resp.body)))
	}
	w.WriteHeader(resp.status)
	_, werr := w.Write(resp.body)
	h.log(c, r, resp, time.Since(start), werr)
}

// answer serves a call; what fails or panics becomes an error for the client.
func (h *handler) answer(c *call, r *http.Request) (resp *response) {
	defer func() {
		if p := recover(); p != nil {
			h.opts.Log.Error("panic", "request_id", c.caller.RequestID, "operation", c.operation(),
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			resp = h.fail(c, errInternal)
		}
	}()
	out, err := h.serve(c, r)
	if err != nil {
		return h.fail(c, err)
	}
	return out
}

// errInternal stands for a failure that was logged already.
var errInternal = errors.New("internal failure")

// fail writes err in the call's protocol.
func (h *handler) fail(c *call, err error) *response {
	if !errors.As(err, &c.err) {
		if !errors.Is(err, errInternal) && !errors.Is(err, context.Canceled) {
			h.opts.Log.Error("call failed", "request_id", c.caller.RequestID, "operation", c.operation(), "err", err)
		}
		c.err = Errorf(http.StatusInternalServerError, c.protocol.internal(),
			"An internal failure occurred. The server's log has its cause under %s.", c.caller.RequestID)
	}
	return c.protocol.fail(c.api, c.err, c.caller.RequestID)
}

func (h *handler) serve(c *call, r *http.Request) (*response, error) {
	query, refused := parseQuery(r.URL.RawQuery)
	if refused != nil {
		return nil, refused
	}
	c.protocol = guess(r.Header, query)
	e, refused := h.admit(c, r, query)
	if refused != nil {
		return nil, refused.in(c.protocol)
	}
	body, refused := h.readBody(r)
	if refused != nil {
		return nil, refused.in(c.protocol)
	}
	return h.dispatch(c, e, r.Context(), &request{
		method: r.Method, path: r.URL.EscapedPath(), header: r.Header, query: query, body: body,
	})
}

// admit tells who calls and which service, or refuses the request.
func (h *handler) admit(c *call, r *http.Request, query url.Values) (*endpoint, *Error) {
	sc, refused := parseScope(r.Header.Get("Authorization"), query)
	if refused != nil {
		return nil, refused
	}
	e := h.endpoint(sc, r, query)
	if e != nil {
		c.protocol, c.api = e.protocol, e.apis[0]
	}
	if refused := h.guard.check(r); refused != nil {
		return nil, refused
	}
	if e == nil {
		return nil, Errorf(http.StatusBadRequest, "UnsupportedOperation", "Isthmus does not serve the service %s.", sc.service)
	}
	c.caller.AccessKey = sc.accessKey
	c.caller.Account = account(sc.accessKey, h.opts.DefaultAccount)
	c.caller.Region = orDefault(sc.region, h.opts.DefaultRegion)
	if h.opts.OneRegion && c.caller.Region != h.opts.DefaultRegion {
		return nil, Errorf(http.StatusForbidden, "SignatureDoesNotMatch",
			"Credential should be scoped to a valid region, not '%s'. Isthmus serves %s here.", c.caller.Region, h.opts.DefaultRegion)
	}
	return e, nil
}

// in returns e with its code as the protocol has it: JSON protocols let the
// codes that all services share end in Exception.
func (e *Error) in(p protocol) *Error {
	switch p.(type) {
	case restJSON, awsJSON:
		e = &Error{Code: e.Code + "Exception", Status: e.Status, Message: e.Message}
	}
	return e
}

// dispatch finds the operation of a request, reads and checks its input, calls
// it and writes its output.
func (h *handler) dispatch(c *call, e *endpoint, ctx context.Context, r *request) (*response, error) {
	op, refused := e.protocol.find(e, r)
	if op != nil {
		c.op, c.api = op, op.api
	}
	if refused != nil {
		return nil, refused
	}
	if op.method == nil {
		return nil, Errorf(http.StatusBadRequest, e.protocol.unsupported(),
			"Isthmus does not support the operation %s of %s.", op.name, op.api.name)
	}
	if slices.Contains(h.opts.Reserved, c.caller.Account) && !op.looks() {
		return nil, Errorf(http.StatusForbidden, "AccessDenied",
			"Account %s is the service's own; it is not changed by requests.", c.caller.Account).in(e.protocol)
	}
	in := reflect.New(op.in.typ)
	if err := e.protocol.decode(op, r, in.Elem()); err != nil {
		return nil, err
	}
	if broken := validate(op, in.Elem()); broken != nil {
		return nil, broken
	}
	out, err := op.method.call(WithCaller(ctx, c.caller), h.servers[op.api], in.Interface())
	if err != nil {
		return nil, err
	}
	// A service sees to the dry runs of what changes something.
	if op.looks() && dryRun(in.Elem()) {
		return nil, ErrDryRun
	}
	return e.protocol.encode(op, reflect.ValueOf(out).Elem(), c.caller.RequestID)
}

// dryRun tells whether an input asks for a dry run, as those of EC2 can.
func dryRun(in reflect.Value) bool {
	f := in.FieldByName("DryRun")
	if !f.IsValid() {
		return false
	}
	asked, ok := f.Interface().(*bool)
	return ok && Val(asked)
}

// looks tells whether the operation changes nothing.
func (op *operation) looks() bool {
	return strings.HasPrefix(op.name, "Describe") || strings.HasPrefix(op.name, "Get") || strings.HasPrefix(op.name, "List")
}

// endpoint finds the service that a request is for: by its signature, else by
// host, target or action.
func (h *handler) endpoint(sc scope, r *http.Request, query url.Values) *endpoint {
	if e := h.endpoints[sc.service]; e != nil {
		return e
	}
	host, _, _ := strings.Cut(r.Host, ".")
	if e := h.endpoints[host]; e != nil {
		return e
	}
	target, _ := cutTarget(r.Header)
	action, version := query.Get("Action"), query.Get("Version")
	for a := range h.servers {
		byTarget := target != "" && target == a.meta.TargetPrefix
		byAction := action != "" && version == a.meta.APIVersion && a.operations[action] != nil
		if byTarget || byAction {
			return h.endpoints[a.meta.SigningName]
		}
	}
	return nil
}

// guess returns the protocol to write errors in until the service is known.
func guess(header http.Header, query url.Values) protocol {
	switch {
	case header.Get("X-Amz-Target") != "":
		return awsJSON{version: "1.1"}
	case query.Has("Action") || strings.HasPrefix(header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		return awsQuery{}
	}
	return restJSON{}
}

func parseQuery(raw string) (url.Values, *Error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, Errorf(http.StatusBadRequest, "MalformedQueryString", "The query string contains a syntax error: %v.", err)
	}
	return values, nil
}

func (h *handler) readBody(r *http.Request) ([]byte, *Error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, h.opts.MaxBody+1))
	if int64(len(body)) > h.opts.MaxBody {
		return nil, Errorf(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
			"The request body is larger than %d bytes.", h.opts.MaxBody)
	}
	if err != nil {
		return nil, Errorf(http.StatusBadRequest, "IncompleteBody", "The request body could not be read: %v.", err)
	}
	return body, nil
}

// newRequestID returns a random UUID.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (c *call) operation() string {
	if c.op == nil {
		return ""
	}
	return c.op.api.name + ":" + c.op.name
}

// maxLogged bounds the bytes of an error's message in the log: it may repeat
// what the client sent.
const maxLogged = 1 << 10

// clip returns the beginning of s, of at most n bytes and whole characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// log writes the line of a call. Headers, queries and bodies stay out of it:
// they carry credentials and customers' data.
func (h *handler) log(c *call, r *http.Request, resp *response, took time.Duration, err error) {
	attrs := []slog.Attr{
		slog.String("request_id", c.caller.RequestID),
		slog.String("operation", c.operation()),
		slog.String("account", c.caller.Account),
		slog.String("region", c.caller.Region),
		slog.Int("status", resp.status),
		slog.Duration("took", took),
		slog.String("remote", r.RemoteAddr),
	}
	if c.err != nil {
		attrs = append(attrs, slog.String("code", c.err.Code), slog.String("message", clip(c.err.Message, maxLogged)))
	}
	if err != nil {
		attrs = append(attrs, slog.String("write_error", err.Error()))
	}
	h.opts.Log.LogAttrs(r.Context(), slog.LevelInfo, "call", attrs...)
}

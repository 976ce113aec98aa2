package gateway

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/gateway/router"
	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// exchange is one request on its way through the chain, and what is known of
// it. It implements mapping.Values.
type exchange struct {
	progress
	out      upstream.Request            // to the backend
	texts    http1.Texts                 // of strings that end with it
	answered func(sent int64, err error) // is done
}

// progress is what an exchange's memory does not keep for the next one.
type progress struct {
	gateway  *Gateway
	snapshot *snapshot
	request  *message.Request
	start    time.Time

	requestID  string // made when first asked for; see id
	extendedID string // $context.extendedRequestId
	traceID    string // X-Amzn-Trace-Id
	spans      *spans // nil unless there is a tracer

	method string // the request's, unless overridden
	api    *api
	stage  *stage
	route  *route
	match  router.Match
	values [4]string // storage for those of most matches
	// path is the path without the stage, as on the wire: empty, or beginning
	// with "/".
	path string

	endpoint *endpoint // that the request came through; nil on the public side
	// assumed: the request is one of a preview that nobody has sent.
	assumed bool
	// stranger is why the caller's own address is not known, if it isn't.
	stranger error

	clientAddress string // made when first asked for

	query    url.Values        // parsed when first asked for
	response *message.Response // of the integration
	answer   *message.Response // to the client

	incoming requestBody  // to the backend
	sending  responseBody // from it

	integrated         bool // whether a backend was called
	integrationStarted time.Time
	integrationLatency time.Duration
	integrationStatus  int
	// endpointIDs are the backend's ids of the request, as AWS's services give
	// them, for the stage's log.
	endpointIDs [2]string
	// cause is "layer: cause" of a failure; it is for the log, not the client.
	cause string
	// failure is that of an answer that the gateway gave by itself, and
	// errorMessage what its body says.
	failure      failure
	errorMessage string

	// What is known when the answer was sent.
	status  int
	sent    int64 // bytes of the body
	latency time.Duration
}

// begin begins an exchange, in the memory of one that has ended.
func (g *Gateway) begin(r *message.Request) *exchange {
	x, _ := g.exchanges.Get().(*exchange)
	if x == nil {
		x = new(exchange)
		x.answered, x.out.Texts = x.done, &x.texts
	}
	x.gateway, x.snapshot, x.request, x.method = g, g.current.Load(), r, r.Method
	x.start = time.Now()
	x.extendedID = x.newExtendedID()
	return x
}

// recycle gives the memory of an exchange away, whose answer was sent. Nobody
// holds it any more, unless the client's body was passed on as it came.
func (x *exchange) recycle() {
	if x.out.Body != nil {
		return
	}
	g := x.gateway
	x.out.Reset()
	x.texts.Reset()
	x.progress = progress{}
	g.exchanges.Put(x)
}

func (x *exchange) RequestHeader(name string) []string { return x.request.Header.Values(name) }

func (x *exchange) Query(name string) []string {
	if x.query == nil {
		// What can't be parsed is left out, as a parameter that isn't there.
		x.query, _ = url.ParseQuery(x.request.Query)
	}
	return x.query[name]
}

func (x *exchange) RawPathParameter(name string) (string, bool) {
	for i, n := range x.match.Names {
		if n == name {
			return x.match.Values[i], true
		}
	}
	return "", false
}

func (x *exchange) PathParameter(name string) (string, bool) {
	raw, ok := x.RawPathParameter(name)
	if !ok {
		return "", false
	}
	if value, err := url.PathUnescape(raw); err == nil {
		return value, true
	}
	return raw, true
}

func (x *exchange) RequestPath() string {
	if x.path == "" {
		return "/"
	}
	return x.path
}

func (x *exchange) StageVariable(name string) (string, bool) {
	if x.stage == nil {
		return "", false
	}
	value, ok := x.stage.Variables[name]
	return value, ok
}

func (x *exchange) ResponseHeader(name string) []string {
	if x.response == nil {
		return nil
	}
	return x.response.Header.Values(name)
}

// Context is the value of a $context variable; mapping.ContextNames lists
// them. A variable that the request has no value for is not found.
func (x *exchange) Context(name string) (string, bool) {
	value := ""
	switch name {
	case "requestId":
		value = x.id()
	case "extendedRequestId":
		value = x.extendedID
	case "httpMethod":
		value = x.method
	case "protocol":
		value = x.request.Proto
	case "domainName":
		value = hostname(x.request.Host)
	case "domainPrefix":
		value, _, _ = strings.Cut(hostname(x.request.Host), ".")
	case "identity.sourceIp":
		value = x.client()
	case "identity.vpceId", "identity.vpcId":
		if x.endpoint != nil {
			if value = x.endpoint.ID; name == "identity.vpcId" {
				value = x.endpoint.VPC
			}
		}
	case "identity.userAgent":
		value = x.request.Header.Get("User-Agent")
	case "path":
		value = x.stagePath()
	case "requestTime":
		value = x.start.UTC().Format("02/Jan/2006:15:04:05 -0700")
	case "requestTimeEpoch":
		value = strconv.FormatInt(x.start.UnixMilli(), 10)
	case "apiId", "accountId":
		if x.api != nil {
			if value = x.api.ID; name == "accountId" {
				value = x.api.Account
			}
		}
	case "stage":
		if x.stage != nil {
			value = x.stage.Name
		}
	case "resourceId":
		if x.route != nil {
			value = x.route.ID
		}
	case "resourcePath":
		if x.route != nil {
			value = x.route.Path
		}
	case "routeKey":
		if x.route != nil {
			value = x.route.Key
		}
	case "awsEndpointRequestId":
		if x.response != nil {
			value = endpointID(x.response.Header)
		}
	}
	return value, value != ""
}

// id is $context.requestId. For HTTP APIs it is the extended one, the only one
// that their clients get.
func (x *exchange) id() string {
	if x.api != nil && x.api.Kind == config.HTTP {
		return x.extendedID
	}
	if x.requestID == "" {
		x.requestID = x.newRequestID()
	}
	return x.requestID
}

// endpointID is the id that one of AWS's services gave a request.
func endpointID(h message.Header) string {
	if id := h.Get("x-amz-request-id"); id != "" {
		return id
	}
	return h.Get("x-amzn-RequestId")
}

// stagePath is the path with the stage before it, as backends of HTTP APIs
// get it; the stage $default adds nothing.
func (x *exchange) stagePath() string {
	if x.stage == nil || x.stage.Name == defaultStage {
		return x.path
	}
	return "/" + x.stage.Name + x.path
}

package alb

import (
	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// statusIncompatible is AWS's for a request whose protocol is not that of the
// target group ("HTTP 464", "Troubleshoot your Application Load Balancers").
const statusIncompatible = 464

// incompatible says why a group's targets can't be given a request; it is empty
// if they can.
func (g *group) incompatible(r *message.Request) string {
	http2 := r.Proto == "HTTP/2.0"
	switch {
	case g.Version == config.HTTP1 && r.IsGRPC():
		return "protocol: a call of gRPC to a target group with the protocol version HTTP1"
	case g.Version != config.HTTP1 && !http2:
		return "protocol: a request over " + r.Proto + " to a target group with the protocol version " + string(g.Version)
	case g.Version == config.GRPC && r.Method != "POST":
		return "protocol: a request with the method " + r.Method + " to a target group with the protocol version GRPC"
	}
	return ""
}

// failIncompatible answers with no page: AWS has none.
func (x *exchange) failIncompatible(cause string) *message.Response {
	x.cause = cause
	return &message.Response{Status: statusIncompatible, Header: message.Header{
		{Name: "Server", Value: serverName}, {Name: "Content-Length", Value: "0"},
	}}
}

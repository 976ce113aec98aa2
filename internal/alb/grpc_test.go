package alb

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/isthmus-net/isthmus/internal/alb/config"
)

// grpcTarget is a server of grpc-go. It answers with a payload of the size that
// is asked for, or the status.
type grpcTarget struct {
	grpc_testing.UnimplementedTestServiceServer
	name   string
	server *grpc.Server
	at     netip.AddrPort
	ended  chan error // of FullDuplexCall
	calls  atomic.Int64
}

func startGRPC(t *testing.T, name string, options ...grpc.ServerOption) *grpcTarget {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &grpcTarget{name: name, server: grpc.NewServer(options...), at: netip.MustParseAddrPort(l.Addr().String()), ended: make(chan error, 100)}
	grpc_testing.RegisterTestServiceServer(g.server, g)
	go g.server.Serve(l)
	t.Cleanup(g.server.Stop)
	return g
}

func payload(n int32) *grpc_testing.Payload {
	return &grpc_testing.Payload{Body: bytes.Repeat([]byte("x"), int(n))}
}

func (g *grpcTarget) UnaryCall(ctx context.Context, in *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	g.calls.Add(1)
	if s := in.GetResponseStatus(); s != nil {
		return nil, status.Error(codes.Code(s.Code), s.Message)
	}
	md, _ := metadata.FromIncomingContext(ctx)
	grpc.SetHeader(ctx, metadata.Pairs("echo", strings.Join(md["echo"], ","), "echo-bin", strings.Join(md["echo-bin"], ","),
		"forwarded", strings.Join(md["x-forwarded-proto"], ","), "authority", strings.Join(md[":authority"], ",")))
	grpc.SetTrailer(ctx, metadata.Pairs("after", "1", "after-bin", "\x00\xff"))
	return &grpc_testing.SimpleResponse{Payload: payload(in.ResponseSize), ServerId: g.name, Username: fmt.Sprint(len(in.GetPayload().GetBody()))}, nil
}

func (g *grpcTarget) StreamingOutputCall(in *grpc_testing.StreamingOutputCallRequest, s grpc.ServerStreamingServer[grpc_testing.StreamingOutputCallResponse]) error {
	for _, p := range in.ResponseParameters {
		time.Sleep(time.Duration(p.IntervalUs) * time.Microsecond)
		if err := s.Send(&grpc_testing.StreamingOutputCallResponse{Payload: payload(p.Size)}); err != nil {
			return err
		}
	}
	return nil
}

func (g *grpcTarget) StreamingInputCall(s grpc.ClientStreamingServer[grpc_testing.StreamingInputCallRequest, grpc_testing.StreamingInputCallResponse]) error {
	sum := 0
	for {
		in, err := s.Recv()
		if err == io.EOF {
			return s.SendAndClose(&grpc_testing.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		} else if err != nil {
			return err
		}
		sum += len(in.Payload.Body)
	}
}

func (g *grpcTarget) FullDuplexCall(s grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]) (err error) {
	defer func() { g.ended <- err }()
	s.SendHeader(metadata.Pairs("target", g.name))
	for {
		in, err := s.Recv()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		for _, p := range in.ResponseParameters {
			if err := s.Send(&grpc_testing.StreamingOutputCallResponse{Payload: payload(p.Size)}); err != nil {
				return err
			}
		}
	}
}

// grpcNode is a node whose group "tg" has a protocol version.
func grpcNode(t *testing.T, version config.ProtocolVersion, file io.Writer, targets ...*grpcTarget) (*node, *config.Config, issuer) {
	t.Helper()
	var at []netip.AddrPort
	for _, g := range targets {
		at = append(at, g.at)
	}
	i := newIssuer(t)
	c := secured(configuration(nil), i.issue(t, "EC_prime256v1", "shop.example"))
	c.TargetGroups["tg"] = config.TargetGroup{ARN: "tg", Algorithm: config.RoundRobin, Version: version, Targets: healthy(at...)}
	return startNodeWith(t, c, file), c, i
}

// dial is a client of grpc-go.
func (n *node) dial(t *testing.T, i issuer) grpc_testing.TestServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(n.address(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: i.roots, ServerName: "shop.example"})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return grpc_testing.NewTestServiceClient(conn)
}

func duplex(size int32) *grpc_testing.StreamingOutputCallRequest {
	return &grpc_testing.StreamingOutputCallRequest{ResponseParameters: []*grpc_testing.ResponseParameters{{Size: size}}}
}

func TestGRPC(t *testing.T) {
	var file logBuffer
	target := startGRPC(t, "a")
	n, _, i := grpcNode(t, config.GRPC, &file, target)
	client := n.dial(t, i)
	const big = 1 << 20

	t.Run("unary, with metadata both ways", func(t *testing.T) {
		var header, trailer metadata.MD
		ctx := metadata.AppendToOutgoingContext(t.Context(), "echo", "one", "echo-bin", "\x00\x01")
		out, err := client.UnaryCall(ctx, &grpc_testing.SimpleRequest{ResponseSize: big, Payload: payload(big)}, grpc.Header(&header), grpc.Trailer(&trailer))
		if err != nil || len(out.Payload.Body) != big || out.Username != fmt.Sprint(big) {
			t.Fatal(out.GetUsername(), err)
		}
		if got := fmt.Sprintf("%q %q %q %q %q %q", header["echo"], header["echo-bin"], header["forwarded"], header["authority"], trailer["after"], trailer["after-bin"]); got != `["one"] ["\x00\x01"] ["https"] ["shop.example:8080"] ["1"] ["\x00\xff"]` {
			t.Error(got)
		}
	})
	t.Run("a status without a response", func(t *testing.T) {
		_, err := client.UnaryCall(t.Context(), &grpc_testing.SimpleRequest{ResponseStatus: &grpc_testing.EchoStatus{Code: int32(codes.NotFound), Message: "no \t such ☺"}})
		if s := status.Convert(err); s.Code() != codes.NotFound || s.Message() != "no \t such ☺" {
			t.Error(err)
		}
		if _, err = client.UnimplementedCall(t.Context(), &grpc_testing.Empty{}); status.Code(err) != codes.Unimplemented {
			t.Error(err)
		}
	})
	t.Run("streams", func(t *testing.T) {
		down, err := client.StreamingOutputCall(t.Context(), &grpc_testing.StreamingOutputCallRequest{ResponseParameters: []*grpc_testing.ResponseParameters{{Size: big}, {Size: 0}, {Size: 5}}})
		if err != nil {
			t.Fatal(err)
		}
		var sizes []int
		for {
			m, err := down.Recv()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, len(m.Payload.GetBody()))
		}
		if fmt.Sprint(sizes) != fmt.Sprint([]int{big, 0, 5}) {
			t.Error(sizes)
		}
		up, err := client.StreamingInputCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if err := up.Send(&grpc_testing.StreamingInputCallRequest{Payload: payload(100_000)}); err != nil {
				t.Fatal(err)
			}
		}
		if sum, err := up.CloseAndRecv(); err != nil || sum.AggregatedPayloadSize != 1_000_000 {
			t.Error(sum, err)
		}
		both, err := client.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if h, err := both.Header(); err != nil || h["target"][0] != "a" { // before any message
			t.Fatal(h, err)
		}
		for size := range int32(200) {
			if err := both.Send(duplex(size)); err != nil {
				t.Fatal(err)
			}
			if m, err := both.Recv(); err != nil || len(m.Payload.GetBody()) != int(size) {
				t.Fatal(m, err)
			}
		}
		both.CloseSend()
		if _, err := both.Recv(); err != io.EOF {
			t.Error(err)
		}
		if err := <-target.ended; err != nil {
			t.Error(err)
		}
	})
	t.Run("a client that cancels, or has a deadline", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s, err := client.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.Header()
		cancel()
		if err := <-target.ended; status.Code(err) != codes.Canceled {
			t.Error(err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second) // a call comes to the target within it, also on a busy machine
		defer cancel()
		if s, err = client.FullDuplexCall(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err = s.Recv(); status.Code(err) != codes.DeadlineExceeded {
			t.Error(err)
		}
		if err := <-target.ended; err == nil {
			t.Error("the target's call did not fail")
		}
	})
	t.Run("many at a time", func(t *testing.T) {
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if out, err := client.UnaryCall(t.Context(), &grpc_testing.SimpleRequest{ResponseSize: 1000, Payload: payload(1000)}); err != nil || len(out.Payload.Body) != 1000 {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
	if line := file.with(t, "/grpc.testing.TestService/StreamingInputCall"); !strings.HasPrefix(line, "grpcs ") || !strings.Contains(line, " 200 200 ") ||
		!strings.Contains(line, `"POST https://shop.example:8080/grpc.testing.TestService/StreamingInputCall HTTP/2.0"`) {
		t.Error(line)
	}
}

// TestGRPCSilence: a call lives as long as either side sends something, and
// ends when neither does.
func TestGRPCSilence(t *testing.T) {
	target := startGRPC(t, "a")
	n, c, i := grpcNode(t, config.GRPC, nil, target)
	c.Attributes.IdleTimeoutSeconds = 2 // far from what lies between two messages, also on a busy machine
	n.apply(c)
	client := n.dial(t, i)
	slow := &grpc_testing.StreamingOutputCallRequest{}
	for range 9 {
		slow.ResponseParameters = append(slow.ResponseParameters, &grpc_testing.ResponseParameters{Size: 1, IntervalUs: 300_000})
	}
	down, err := client.StreamingOutputCall(t.Context(), slow)
	if err != nil {
		t.Fatal(err)
	}
	up, err := client.StreamingInputCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	silent, err := client.FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for range 9 {
		if err := up.Send(&grpc_testing.StreamingInputCallRequest{Payload: payload(1)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	if sum, err := up.CloseAndRecv(); err != nil || sum.AggregatedPayloadSize != 9 {
		t.Errorf("after %v: %v, %v", time.Since(start), sum, err)
	}
	for i := range 9 {
		if _, err := down.Recv(); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if _, err := down.Recv(); err != io.EOF {
		t.Error(err)
	}
	if _, err := silent.Recv(); status.Code(err) != codes.Unavailable && status.Code(err) != codes.Internal {
		t.Errorf("a silent call ended with %v", err)
	}
	<-target.ended
}

// TestGRPCDeregistration: calls go on while their target is drained, new ones
// go to others, and the rest ends with the registration.
func TestGRPCDeregistration(t *testing.T) {
	a, b := startGRPC(t, "a"), startGRPC(t, "b")
	n, c, i := grpcNode(t, config.GRPC, nil, a)
	client := n.dial(t, i)
	s, err := client.FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Header()
	with := func(targets []config.Target) {
		next, g := *c, c.TargetGroups["tg"]
		g.Targets = targets
		next.TargetGroups = map[string]config.TargetGroup{"tg": g}
		n.apply(&next)
	}
	both := healthy(a.at, b.at)
	both[0].Health = config.Draining
	with(both)
	for range 10 {
		if out, err := client.UnaryCall(t.Context(), &grpc_testing.SimpleRequest{}); err != nil || out.ServerId != "b" {
			t.Fatal(out.GetServerId(), err)
		}
	}
	s.Send(duplex(7))
	if m, err := s.Recv(); err != nil || len(m.Payload.Body) != 7 {
		t.Fatalf("while the target is drained: %v", err)
	}
	with(healthy(b.at))
	if _, err := s.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the call ended with %v", err)
	}
	if err := <-a.ended; err == nil {
		t.Error("the target's call did not fail")
	}
}

// TestGRPCTargetEnds: targets that end connections in order lose no call, and
// one that can't be reached is told of as gRPC's clients understand it.
func TestGRPCTargetEnds(t *testing.T) {
	a := startGRPC(t, "a", grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 20 * time.Millisecond}))
	b := startGRPC(t, "b", grpc.MaxConcurrentStreams(3))
	n, c, i := grpcNode(t, config.GRPC, nil, a, b)
	t.Cleanup(func() {
		for line := range strings.Lines(n.log.text()) {
			if t.Failed() && strings.Contains(line, `"error"`) {
				t.Log(line)
			}
		}
	})
	client := n.dial(t, i)
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	var done atomic.Int64
	for range 20 {
		callers.Go(func() {
			for ctx.Err() == nil {
				if _, err := client.UnaryCall(t.Context(), &grpc_testing.SimpleRequest{ResponseSize: 100, Payload: payload(100)}); err != nil {
					t.Error(err)
					cancel()
				}
				done.Add(1)
			}
		})
	}
	more := func(calls int64) {
		for before := done.Load(); done.Load() < before+calls && ctx.Err() == nil; {
			time.Sleep(time.Millisecond)
		}
	}
	more(1000)
	next := *c
	g := c.TargetGroups["tg"]
	g.Targets = healthy(a.at, b.at)
	g.Targets[0].Health = config.Draining
	next.TargetGroups = map[string]config.TargetGroup{"tg": g}
	n.apply(&next)
	more(200) // those that had chosen the target before are done
	a.server.GracefulStop()
	more(200)
	cancel()
	callers.Wait()
	b.server.Stop()
	if _, err := client.UnaryCall(t.Context(), &grpc_testing.SimpleRequest{}); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
}

// TestProtocolVersions is the table of "Protocol version" in the user guide.
func TestProtocolVersions(t *testing.T) {
	target := startGRPC(t, "a")
	plain := startTarget(t, "a")
	for _, c := range []struct {
		version config.ProtocolVersion
		h2      bool
		method  string
		call    bool
		status  int
	}{
		{config.HTTP1, false, "GET", false, 200}, {config.HTTP1, true, "GET", false, 200}, {config.HTTP1, true, "POST", true, 464},
		{config.HTTP2, false, "GET", false, 464}, {config.HTTP2, true, "GET", false, 415}, {config.HTTP2, true, "POST", true, 200},
		{config.GRPC, false, "POST", false, 464}, {config.GRPC, true, "GET", false, 464}, {config.GRPC, true, "POST", true, 200},
		{config.GRPC, true, "POST", false, 415},
	} {
		n, conf, i := grpcNode(t, c.version, nil, target)
		if c.version == config.HTTP1 {
			g := conf.TargetGroups["tg"]
			g.Targets = healthy(plain)
			conf.TargetGroups["tg"] = g
			n.apply(conf)
		}
		n.client = i.client(t, n, c.h2)
		lines := []string{"Host: shop.example"}
		var body io.Reader
		if c.call {
			body = bytes.NewReader(make([]byte, 5)) // an empty message
			lines = append(lines, "Content-Type: application/grpc+proto", "Te: trailers")
		}
		a := n.send("https", c.method, "/grpc.testing.TestService/UnaryCall", body, lines...)
		if a.status != c.status {
			t.Errorf("%+v: %d %s", c, a.status, a.body)
		}
		if a.status == 464 && (a.body != "" || a.header.Get("Content-Length") != "0" || a.header.Get("Server") != "awselb/2.0" || a.header.Get("Content-Type") != "") {
			t.Errorf("%+v: %v %q", c, a.header, a.body)
		}
		if line := n.log.find(t, "/grpc.testing.TestService/UnaryCall"); c.status == 464 && !strings.HasPrefix(fmt.Sprint(line["error"]), "protocol: ") {
			t.Errorf("%+v: %v", c, line)
		}
	}
}

package calls

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// callTimeout bounds one call, from the moment at which it begins.
const callTimeout = 10 * time.Second

// workers is how many calls of one caller may be under way.
const workers = 64

// Load says how to call.
type Load struct {
	Rate     int // calls a second, of all callers together
	Duration time.Duration
	// NewConnections makes a connection, with a new TLS handshake, for each
	// call.
	NewConnections bool
}

// Result is what became of the calls.
type Result struct {
	Calls int
	Took  time.Duration // from the first call's time until the last answer
	// Failures are the first of the calls that were not answered as they
	// should be; Failed is their number.
	Failures []string
	Failed   int
	// Latencies are sorted, each from the time at which the call was due: one
	// that had to wait for its turn waited for its answer.
	Latencies []time.Duration
}

// Percentile is the latency that a part of the calls, between 0 and 1, kept
// under.
func (r *Result) Percentile(part float64) time.Duration {
	if len(r.Latencies) == 0 {
		return 0
	}
	return r.Latencies[min(len(r.Latencies)-1, int(part*float64(len(r.Latencies))))]
}

// due is a call and when it is to begin.
type due struct {
	number int
	at     time.Time
}

// Run calls over HTTPS. Calls are due at a fixed rate, whether earlier ones
// were answered or not, and the callers take turns.
func (s *Setup) Run(ctx context.Context, l Load) *Result {
	r := &Result{Calls: int(float64(l.Rate) * l.Duration.Seconds())}
	var mu sync.Mutex
	var group sync.WaitGroup
	var queues []chan due
	for _, c := range s.callers {
		queue := make(chan due, r.Calls)
		queues = append(queues, queue)
		client := s.client(c, l.NewConnections)
		defer client.CloseIdleConnections()
		for range workers {
			group.Go(func() {
				for d := range queue {
					err := s.call(ctx, client, c, d.number)
					took := time.Since(d.at)
					mu.Lock()
					r.Latencies = append(r.Latencies, took)
					if err != nil {
						if r.Failed++; r.Failed <= 10 {
							r.Failures = append(r.Failures, fmt.Sprintf("call %d from %s: %v", d.number, c.VPC, err))
						}
					}
					mu.Unlock()
				}
			})
		}
	}
	begin := time.Now()
	for i := range r.Calls {
		at := begin.Add(time.Duration(float64(i) / float64(l.Rate) * float64(time.Second)))
		time.Sleep(time.Until(at))
		queues[i%len(queues)] <- due{i, at}
	}
	for _, q := range queues {
		close(q)
	}
	group.Wait()
	r.Took = time.Since(begin)
	slices.Sort(r.Latencies)
	return r
}

// client calls from a caller's namespace, through its endpoint in both zones.
func (s *Setup) client(c *caller, newConnections bool) *http.Client {
	var dialled atomic.Int64
	return &http.Client{
		Timeout: callTimeout,
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: s.trust},
			MaxIdleConnsPerHost: workers,
			DisableKeepAlives:   newConnections,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return c.dial(ctx, int(dialled.Add(1)%2))
			},
		},
	}
}

// call makes one call and checks that the answer is to this call, and names
// this caller.
func (s *Setup) call(ctx context.Context, client *http.Client, c *caller, number int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+s.host+"/prod/echo", nil)
	if err != nil {
		return err
	}
	r.Header.Set("x-call", strconv.Itoa(number))
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return err
	}
	if want := fmt.Sprint(c.VPC, " ", c.Endpoint, " ", c.address, " ", number); resp.StatusCode != http.StatusOK || string(body) != want {
		return fmt.Errorf("answer %d %q, want %q", resp.StatusCode, body, want)
	}
	return nil
}

// Command pacer is a proxy's clients that know nothing of each other: it sends
// requests at a rate, at random times that are the same in each run, on kept
// connections or on new ones with TLS, and times each from when it was due. It
// prints a contest.Result.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/bench/http/internal/contest"
)

// fields are a list of header fields, one flag each.
type fields []string

func (f *fields) String() string { return strings.Join(*f, ", ") }

func (f *fields) Set(field string) error {
	*f = append(*f, field)
	return nil
}

func main() {
	var header fields
	address := flag.String("address", "", "`host:port` of the proxy")
	path := flag.String("path", "/", "what is asked for")
	flag.Var(&header, "H", "a `field` of the requests; may be repeated")
	rate := flag.Int("rate", 1000, "`requests` a second")
	connections := flag.Int("connections", 64, "how many `connections` are kept")
	fresh := flag.Bool("fresh", false, "have a connection for each request, with TLS")
	duration := flag.Duration("duration", 3*time.Second, "how long requests are sent")
	flag.Parse()
	request := fmt.Sprintf("GET %s HTTP/1.1\r\n%s\r\n\r\n", *path, strings.Join(header, "\r\n"))
	send := func(times []time.Duration) ([]float64, error) {
		if *fresh {
			return sendFresh(*address, []byte(request), times)
		}
		return sendKept(*address, *connections, []byte(request), times)
	}
	if err := run(send, *rate, *duration); err != nil {
		fmt.Fprintln(os.Stderr, "pacer:", err)
		os.Exit(1)
	}
}

func run(send func([]time.Duration) ([]float64, error), rate int, duration time.Duration) error {
	took, err := send(times(rate, duration))
	if err != nil {
		return err
	}
	r := contest.Result{Requests: uint64(len(took)), Seconds: duration.Seconds()}
	r.SetLatencies(took)
	return json.NewEncoder(os.Stdout).Encode(r)
}

// times are when requests are due: the time between two is exponentially
// distributed, as it is between the calls of many clients.
func times(rate int, duration time.Duration) []time.Duration {
	random := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for at := 0.0; ; {
		at += random.ExpFloat64() / float64(rate)
		if at >= duration.Seconds() {
			return all
		}
		all = append(all, time.Duration(at*float64(time.Second)))
	}
}

// patience is how long no answer may come while some are outstanding.
const patience = 5 * time.Second

var errSilent = errors.New("no answer has come for too long")

package main

import (
	"bufio"
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/isthmus-net/isthmus/bench/http/internal/contest"
)

// The load that is timed: requests a second on kept connections, and with a new
// one for each.
const (
	keptRate, keptConnections = 500, 10
	newRate, newClients       = 200, 10
)

// send sends requests at a rate by a number of clients, each in its turn.
func (f *flags) send(perSecond, clients int, keep bool) contest.Timing {
	var mu sync.Mutex
	var t contest.Timing
	var took []time.Duration
	begin := time.Now()
	interval := time.Second / time.Duration(perSecond)
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			var c net.Conn
			var r *bufio.Reader
			for due := time.Duration(client) * interval; due < f.duration; due += time.Duration(clients) * interval {
				time.Sleep(time.Until(begin.Add(due)))
				var err error
				if c == nil {
					if c, err = dial(context.Background(), f.address, 0); err == nil {
						r = bufio.NewReader(c)
					}
				}
				if err == nil {
					err = f.ask(c, r)
				}
				d := time.Since(begin.Add(due))
				if c != nil && (err != nil || !keep) {
					c.Close()
					c = nil
				}
				mu.Lock()
				if took = append(took, d); err != nil {
					if t.Errors++; t.Error == "" {
						t.Error = err.Error()
					}
				}
				mu.Unlock()
			}
			if c != nil {
				c.Close()
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	at := func(part float64) float64 {
		return float64(took[int(part*float64(len(took)-1))].Nanoseconds()) / 1000
	}
	t.Requests, t.P50, t.P99 = len(took), at(0.5), at(0.99)
	return t
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/bench/internal/report"
)

// idle measures what a contestant has resident with many kept connections, on
// each of which one request was answered.
func (n *network) idle(ctx context.Context, r *report.Report, s *subject) error {
	t, err := s.at(cases[0])
	if err != nil {
		return err
	}
	before, err := settled(ctx, s)
	if err != nil {
		return err
	}
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	request := cases[0].request(t)
	if err := n.client.Do(func() error {
		reader := bufio.NewReader(nil)
		for len(open) < idleConnections && ctx.Err() == nil {
			c, err := net.DialTimeout("tcp", t.address, patience)
			if err != nil {
				return fmt.Errorf("open connection %d: %w", len(open), err)
			}
			open = append(open, c)
			if err := ask(c, reader, request); err != nil {
				return fmt.Errorf("ask on connection %d: %w", len(open), err)
			}
		}
		return ctx.Err()
	}); err != nil {
		return err
	}
	after, err := settled(ctx, s)
	if err != nil {
		return err
	}
	r.Add(idleCase, s.name, "idle_pss_mb", "MB", after)
	r.Add(idleCase, s.name, "rest_pss_mb", "MB", before)
	return nil
}

// request is a request of a case, without a body.
func (c kase) request(t target) string {
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n", c.paths()[0], t.host)
}

// ask sends a request and reads its answer, which must have status 200.
func ask(c net.Conn, reader *bufio.Reader, request string) error {
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	reader.Reset(c)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// settled is the memory of a contestant once it does not change any more.
func settled(ctx context.Context, s *subject) (float64, error) {
	const (
		pause    = time.Second
		attempts = 20
		same     = 0.01
	)
	last := math.Inf(1)
	for range attempts {
		now, err := s.memory()
		if err != nil {
			return 0, err
		}
		if math.Abs(now-last) <= same*now {
			return now, nil
		}
		last = now
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return last, nil
}

// memory is the sum of the proportional sets of the contestant's processes
// (proc_pid_smaps_rollup(5)), in megabytes.
func (s *subject) memory() (sum float64, err error) {
	pids, err := tree(s.pid)
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(b)) {
			var kb float64
			if n, _ := fmt.Sscanf(line, "Pss: %f kB", &kb); n == 1 {
				sum += kb * 1024 / 1e6
			}
		}
	}
	return sum, nil
}

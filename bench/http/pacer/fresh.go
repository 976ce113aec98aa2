package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// sendFresh sends each request at its time on a connection of its own, with a whole
// handshake of TLS, and returns what each took from when it was due, in µs.
func sendFresh(address string, request []byte, times []time.Duration) ([]float64, error) {
	took, failures := make([]float64, len(times)), make([]error, len(times))
	var all sync.WaitGroup
	begin := time.Now()
	for i, due := range times {
		time.Sleep(time.Until(begin.Add(due)))
		all.Go(func() {
			failures[i] = ask(address, request)
			took[i] = float64(time.Since(begin)-due) / 1000
		})
	}
	all.Wait()
	return took, errors.Join(failures...)
}

// ask opens a connection for one request.
func ask(address string, request []byte) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	// As wrk does, it checks no certificate, and agrees on keys in the way that every
	// contestant knows: one of Go's would choose a dearer one, if it was offered.
	secure := tls.Client(conn, &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519},
	})
	if _, err := secure.Write(request); err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	var answer []byte
	buf := make([]byte, 4<<10)
	for {
		n, err := secure.Read(buf)
		answer = append(answer, buf[:n]...)
		if whole, bad := answered(answer); whole || bad != nil {
			return bad
		}
		if err != nil {
			return fmt.Errorf("read an answer: %w", err)
		}
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/bench/http/internal/contest"
)

// header is what requests have beside Host: what a browser's have.
var header = [][2]string{
	{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"},
	{"Accept", "application/json, text/plain, */*"},
	{"Accept-Encoding", "gzip, deflate, br"},
	{"Accept-Language", "en-GB,en;q=0.9"},
	{"Authorization", "Bearer 0123456789abcdef0123456789abcdef0123456789abcdef"},
}

// headerFlags are the header as arguments, as curl has them.
func headerFlags() (args []string) {
	for _, f := range header {
		args = append(args, "-H", f[0]+": "+f[1])
	}
	return args
}

// spread is among how many routes the requests of a case with many of them
// are spread.
const spread = 250

// script tells wrk what to send, and prints what it saw. Requests are made
// beforehand, so that they cost wrk nothing.
const script = `
wrk.method = "METHOD"
wrk.body = BODY
wrk.headers["Host"] = "HOST"
MORE
done = function(s, l, r)
	local e = s.errors
	io.write(string.format('\nresult {"Requests":%d,"Seconds":%f,"Bytes":%d,"Errors":%d,"P50":%d,"P99":%d,"P999":%d}\n',
		s.requests, s.duration / 1e6, s.bytes, e.connect + e.read + e.write + e.status + e.timeout,
		l:percentile(50), l:percentile(99), l:percentile(99.9)))
end
`

const rotate = `
local all, next = {}, 0
function init(args)
	for _, path in ipairs({PATHS}) do all[#all + 1] = wrk.format(nil, path) end
end
function request()
	next = next % #all + 1
	return all[next]
end
`

// paths are those of the requests of a case.
func (c kase) paths() []string {
	if c.routes == 1 {
		return []string{contest.Prefix(0) + c.answer}
	}
	var all []string
	for i := range min(spread, c.routes) {
		all = append(all, contest.Prefix((i+1)*c.routes/min(spread, c.routes)-1)+c.answer)
	}
	return all
}

// generate sends the load of a case to a contestant.
func (n *network) generate(ctx context.Context, c kase, t target, connections int, duration time.Duration) (contest.Result, error) {
	switch {
	case c.door == h2:
		return n.h2load(ctx, c, t, connections, duration)
	case c.rate > 0:
		return n.pace(ctx, c, t, connections, duration)
	}
	return n.wrk(ctx, c, t, connections, duration)
}

func (n *network) wrk(ctx context.Context, c kase, t target, connections int, duration time.Duration) (contest.Result, error) {
	method, body, more := "GET", "nil", ""
	for _, f := range header {
		more += fmt.Sprintf("wrk.headers[%q] = %q\n", f[0], f[1])
	}
	if c.body > 0 {
		method, body = "POST", fmt.Sprintf("string.rep('x', %d)", c.body)
	}
	if c.fresh {
		more += "wrk.headers['Connection'] = 'close'\n"
	}
	if paths := c.paths(); len(paths) > 1 {
		var quoted []string
		for _, p := range paths {
			quoted = append(quoted, strconv.Quote(p))
		}
		more += strings.Replace(rotate, "PATHS", strings.Join(quoted, ","), 1)
	}
	path, err := n.config("wrk.lua", script, "METHOD", method, "BODY", body, "HOST", t.host, "MORE", more)
	if err != nil {
		return contest.Result{}, err
	}
	scheme := "http"
	if c.door != plain {
		scheme = "https"
	}
	out, err := n.output(ctx, exec.Command("wrk", "-t1", "-c", strconv.Itoa(connections), "-d", seconds(duration), "-s", path,
		scheme+"://"+t.address+c.paths()[0]))
	if err != nil {
		return contest.Result{}, err
	}
	var r contest.Result
	_, line, _ := strings.Cut(out, "\nresult ")
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return r, fmt.Errorf("wrk said %q: %w", out, err)
	}
	return r, nil
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("%ds", max(1, int(d.Round(time.Second).Seconds())))
}

// output runs a load generator to its end.
func (n *network) output(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	ended, err := n.client.Start(n.loadCPU, cmd)
	if err != nil {
		return "", fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	select {
	case err = <-ended:
		if err != nil {
			return "", fmt.Errorf("%s: %w: %s", cmd.Path, err, out.String())
		}
		return out.String(), nil
	case <-ctx.Done():
		err = ctx.Err()
	case err = <-n.exited:
	}
	cmd.Process.Kill()
	<-ended
	return "", err
}

// streams is how many requests a connection of HTTP/2 has under way.
const streams = 8

// pace sends requests at the case's rate.
func (n *network) pace(ctx context.Context, c kase, t target, connections int, duration time.Duration) (r contest.Result, err error) {
	args := append(headerFlags(), "-H", "Host: "+t.host, "-address", t.address, "-path", c.paths()[0], "-rate", strconv.Itoa(c.rate),
		"-connections", strconv.Itoa(connections), "-duration", duration.String())
	if c.fresh {
		args = append(args, "-H", "Connection: close", "-fresh")
	}
	out, err := n.output(ctx, exec.Command(n.pacer, args...))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return r, fmt.Errorf("pacer said %q: %w", out, err)
	}
	return r, nil
}

// h2load has as many requests under way as wrk. It says no percentiles, but logs
// each request.
func (n *network) h2load(ctx context.Context, c kase, t target, connections int, duration time.Duration) (contest.Result, error) {
	log := filepath.Join(n.dir, "h2load.log")
	if err := os.Remove(log); err != nil && !os.IsNotExist(err) {
		return contest.Result{}, err
	}
	out, err := n.output(ctx, exec.Command("h2load", append(headerFlags(), "-t1",
		"-c", strconv.Itoa(max(1, connections/streams)), "-m", strconv.Itoa(streams), "-D", strings.TrimSuffix(seconds(duration), "s"),
		"--log-file", log, "--connect-to", t.address, "https://"+t.host+c.paths()[0])...))
	if err != nil {
		return contest.Result{}, err
	}
	return readH2Log(log, duration, out)
}

// readH2Log reads what h2load logged: start, status and duration of each
// request, times in µs.
func readH2Log(path string, duration time.Duration, said string) (r contest.Result, err error) {
	f, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer f.Close()
	var took []float64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 {
			return r, fmt.Errorf("h2load logged %q", lines.Text())
		}
		status, err := strconv.Atoi(fields[1])
		us, err2 := strconv.ParseFloat(fields[2], 64)
		if err := errors.Join(err, err2); err != nil {
			return r, fmt.Errorf("h2load logged %q: %w", lines.Text(), err)
		}
		if status < 200 || status > 299 {
			r.Errors++
			continue
		}
		took = append(took, us)
	}
	if len(took) == 0 {
		return r, fmt.Errorf("h2load got no answer: %s", said)
	}
	r.Requests, r.Seconds = uint64(len(took)), max(time.Second, duration.Round(time.Second)).Seconds()
	r.SetLatencies(took)
	return r, nil
}

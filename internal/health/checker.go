package health

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"
)

// Options are what a checker works with.
type Options struct {
	// Configs delivers whole configurations; each replaces the one before.
	Configs <-chan Config
	// Report delivers reports and returns once they have been accepted. After
	// an error everything is reported again.
	Report func(context.Context, []Report) error
	// Probe sends one probe; nil stands for the function of that name.
	Probe func(context.Context, Check) Outcome
	// MaxProbes bounds the probes under way at once; zero stands for 2000.
	MaxProbes int
	Log       *slog.Logger
}

const (
	defaultMaxProbes = 2000
	maxBatch         = 500 // reports delivered at once
	reportRetry      = time.Second
)

// checking is a check in progress.
type checking struct {
	Check
	view    view
	due     time.Time          // of the next probe
	started time.Time          // of the last probe
	place   int                // in the queue
	cancel  context.CancelFunc // of the probe under way, else nil
}

// target is what is known of one target: the checks of its nodes, sorted by
// node, and the report that was last made of them.
type target struct {
	checks []*checking
	report Report
}

// result is the outcome of a probe that has ended.
type result struct {
	of      *checking
	outcome Outcome
}

// checker is the state of Run. One goroutine owns it; probes and deliveries
// run in others, which only send to it.
type checker struct {
	Options
	checks     map[checkKey]*checking
	targets    map[targetKey]*target
	waiting    queue
	underway   int
	results    chan result
	dirty      map[targetKey]struct{} // targets whose reports are to be sent
	delivering bool
	delivered  chan error
	retryAt    time.Time // before which nothing is delivered
}

// Run probes what it is told to until ctx ends.
//
// A check of which only the settings change keeps its state. After every
// configuration all reports are sent again, since whoever sends the
// configuration may have forgotten them.
func Run(ctx context.Context, o Options) {
	if o.Probe == nil {
		o.Probe = Probe
	}
	if o.MaxProbes == 0 {
		o.MaxProbes = defaultMaxProbes
	}
	k := &checker{
		Options: o,
		checks:  map[checkKey]*checking{},
		targets: map[targetKey]*target{},
		results: make(chan result),
		dirty:   map[targetKey]struct{}{},
		// One place, so that a delivery that outlives ctx can end.
		delivered: make(chan error, 1),
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(k.untilNext(time.Now()))
		select {
		case <-ctx.Done():
			return
		case config, open := <-k.Configs:
			if !open {
				k.Configs = nil // there will be no other; go on with the last
				break
			}
			k.configure(config, time.Now())
		case r := <-k.results:
			k.conclude(r, time.Now())
		case err := <-k.delivered:
			k.afterDelivery(err, time.Now())
		case <-timer.C:
		}
		k.startDue(ctx, time.Now())
		k.deliver(ctx, time.Now())
	}
}

// untilNext is the time until a probe or a delivery is due.
func (k *checker) untilNext(now time.Time) time.Duration {
	wait := time.Hour
	if len(k.waiting) > 0 && k.underway < k.MaxProbes {
		wait = min(wait, k.waiting[0].due.Sub(now))
	}
	if len(k.dirty) > 0 && !k.delivering {
		wait = min(wait, k.retryAt.Sub(now))
	}
	return max(wait, 0)
}

// configure replaces the configuration.
func (k *checker) configure(config Config, now time.Time) {
	wanted := make(map[checkKey]Check, len(config.Checks))
	for _, c := range config.Checks {
		wanted[c.key()] = c
	}
	for key, c := range k.checks {
		if spec, stays := wanted[key]; !stays || spec.Registered != c.Registered {
			k.withdraw(key, c)
		}
	}
	for key, spec := range wanted {
		old, exists := k.checks[key]
		switch {
		case !exists:
			k.admit(&checking{Check: spec, due: now, place: notQueued})
		case old.Check != spec:
			k.withdraw(key, old)
			k.admit(&checking{Check: spec, due: now, place: notQueued, view: old.view})
		}
	}
	for key := range k.targets {
		k.update(key)
		k.dirty[key] = struct{}{}
	}
}

// admit begins a check.
func (k *checker) admit(c *checking) {
	key := c.key()
	k.checks[key] = c
	t := k.targets[key.target]
	if t == nil {
		t = &target{}
		k.targets[key.target] = t
	}
	t.checks = append(t.checks, c)
	slices.SortFunc(t.checks, func(a, b *checking) int { return cmp.Compare(a.Node, b.Node) })
	k.waiting.add(c)
}

// withdraw ends a check. A target without checks is forgotten.
func (k *checker) withdraw(key checkKey, c *checking) {
	k.waiting.remove(c)
	if c.cancel != nil {
		c.cancel()
	}
	delete(k.checks, key)
	t := k.targets[key.target]
	t.checks = slices.DeleteFunc(t.checks, func(other *checking) bool { return other == c })
	if len(t.checks) == 0 {
		delete(k.targets, key.target)
		delete(k.dirty, key.target)
	}
}

// startDue starts the probes that are due, as many as may be under way.
func (k *checker) startDue(ctx context.Context, now time.Time) {
	for len(k.waiting) > 0 && k.underway < k.MaxProbes && !k.waiting[0].due.After(now) {
		c := k.waiting.takeFirst()
		c.started = now
		k.underway++
		probe, cancel := context.WithCancel(ctx)
		c.cancel = cancel
		go func(spec Check) {
			defer cancel()
			outcome := k.Probe(probe, spec)
			select {
			case k.results <- result{c, outcome}:
			case <-ctx.Done():
			}
		}(c.Check)
	}
}

// conclude takes in the outcome of a probe and schedules the next one.
func (k *checker) conclude(r result, now time.Time) {
	k.underway--
	c := r.of
	c.cancel = nil
	key := c.key()
	if k.checks[key] != c {
		return // withdrawn meanwhile
	}
	before := c.view.state
	c.view = c.view.next(r.outcome, &c.Check, now)
	if c.view.state != before {
		k.Log.Info("target changed state", "targetGroup", c.TargetGroup, "target", c.Target, "port", c.Port,
			"node", c.Node, "state", c.view.state, "cause", c.view.cause.Description)
	}
	c.due = c.started.Add(jitter(c.view.delay(&c.Check)))
	k.waiting.add(c)
	if k.update(key.target) {
		k.dirty[key.target] = struct{}{}
	}
}

// jitter changes a delay by up to a tenth, so that checks that began together
// don't stay together.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.2*float64(d))
}

// update makes the report of a target anew and says whether it changed.
func (k *checker) update(key targetKey) bool {
	t := k.targets[key]
	views := make([]view, len(t.checks))
	for i, c := range t.checks {
		views[i] = c.view
	}
	state, reason, description, ok := merge(views)
	if !ok {
		return false
	}
	report := Report{
		TargetGroup: key.group, Target: key.target, Port: key.port, Registered: t.checks[0].Registered,
		State: state, Reason: reason, Description: description,
	}
	changed := report != t.report
	t.report = report
	return changed
}

// deliver hands over what is to be reported, unless a delivery is under way.
func (k *checker) deliver(ctx context.Context, now time.Time) {
	if k.delivering || now.Before(k.retryAt) {
		return
	}
	var batch []Report
	for key := range k.dirty {
		delete(k.dirty, key)
		if report := k.targets[key].report; report.State != "" {
			batch = append(batch, report)
		}
		if len(batch) == maxBatch {
			break
		}
	}
	if len(batch) == 0 {
		return
	}
	k.delivering = true
	go func() { k.delivered <- k.Report(ctx, batch) }()
}

// afterDelivery notes that a delivery ended. After a failed one it is unknown
// what the other side has.
func (k *checker) afterDelivery(err error, now time.Time) {
	k.delivering = false
	if err == nil {
		return
	}
	k.Log.Warn("deliver health reports", "error", err)
	k.retryAt = now.Add(reportRetry)
	for key := range k.targets {
		k.dirty[key] = struct{}{}
	}
}

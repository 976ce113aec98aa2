package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// soakRequests is how many requests TestSoak sends; ISTHMUS_SOAK says another
// number.
const soakRequests = 15_000

// TestSoak: not one request through gateway, link and Application Load Balancer
// fails while targets are deregistered and registered again, and while rules,
// weights and attributes change.
func TestSoak(t *testing.T) {
	total := int64(soakRequests)
	if v := os.Getenv("ISTHMUS_SOAK"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 1 {
			t.Fatalf("ISTHMUS_SOAK=%s is not a number of requests", v)
		}
		total = n
	}
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{})
	b := newBalancer(t, a)
	red, green := b.addTarget(t, m, "red"), b.addTarget(t, m, "green")
	both := b.group(t, "both", red, green)
	alone := b.group(t, "alone", red)
	attributes(t, a, both, "deregistration_delay.timeout_seconds", "1")
	b.listen(t, forwardTo(both))
	a.Listener = b.listener
	api, _, err := a.HTTP(t.Context(), linkV2(t, a))
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + api + ".execute-api.localhost:8080/soak"
	answers(t, m, url, 200, "uri=/soak")
	for _, h := range []*host{red, green} {
		b.inService(t, t.Context(), both, h)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var left atomic.Int64
	left.Store(total)
	var clients, changes sync.WaitGroup
	var seen [2]atomic.Int64
	client := m.Client()
	defer client.CloseIdleConnections()
	for i := range 16 {
		clients.Go(func() {
			for n := left.Add(-1); n >= 0 && ctx.Err() == nil; n = left.Add(-1) {
				name, err := soakCall(ctx, client, url, (n+int64(i))%4 == 0)
				switch {
				case err != nil && ctx.Err() == nil:
					cancel(fmt.Errorf("request %d of %d: %w", total-n, total, err))
				case name == "red":
					seen[0].Add(1)
				case name == "green":
					seen[1].Add(1)
				}
			}
		})
	}
	running, stop := context.WithCancel(ctx)
	// pass waits until some requests more have been sent, so that changes don't
	// take all of the machine, however slow it is.
	pass := func(some int64) bool {
		for from := left.Load(); running.Err() == nil && from-left.Load() < some; {
			time.Sleep(time.Millisecond)
		}
		return running.Err() == nil
	}
	rounds := 0
	changes.Go(func() {
		for ; pass(soakRequests / 60); rounds++ {
			h := []*host{red, green}[rounds%2]
			target := []elbtypes.TargetDescription{{Id: &h.address}}
			if _, err := a.AWS.ELB.DeregisterTargets(t.Context(), &elbv2.DeregisterTargetsInput{TargetGroupArn: &both, Targets: target}); err != nil {
				cancel(err)
			}
			b.outOfService(t, t.Context(), both, h)
			if _, err := a.AWS.ELB.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{TargetGroupArn: &both, Targets: target}); err != nil {
				cancel(err)
			}
			b.inService(t, t.Context(), both, h)
		}
	})
	changes.Go(func() {
		for i := 0; pass(soakRequests / 60); i++ {
			if err := b.shuffle(t.Context(), i, both, alone); err != nil {
				cancel(err)
			}
		}
	})
	begin := time.Now()
	clients.Wait()
	took := time.Since(begin)
	stop()
	changes.Wait()
	if cause := context.Cause(ctx); cause != nil {
		t.Fatalf("%v\n%s", cause, m.LogTail(20))
	}
	t.Logf("%d requests in %v, %d from red and %d from green, while targets came and went %d times", total, took.Round(time.Second), seen[0].Load(), seen[1].Load(), rounds)
	if seen[0].Load() == 0 || seen[1].Load() == 0 {
		t.Error("one target was never used")
	}
}

// soakCall sends one request, and returns the name of the target that answered.
func soakCall(ctx context.Context, c *http.Client, url string, post bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	method, body := http.MethodGet, io.Reader(nil)
	if post {
		method, body = http.MethodPost, strings.NewReader(strings.Repeat("x", 2000))
	}
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return "", err
	}
	response, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != 200 {
		err = fmt.Errorf("%s is answered %d: %s", method, response.StatusCode, text)
	}
	name, _, _ := strings.Cut(string(text), " ")
	return name, err
}

// inService waits until a target is healthy, outOfService until it is gone.
func (b *balancer) inService(t *testing.T, ctx context.Context, group string, h *host) {
	b.becomes(t, ctx, group, h, elbtypes.TargetHealthStateEnumHealthy)
}

func (b *balancer) outOfService(t *testing.T, ctx context.Context, group string, h *host) {
	b.becomes(t, ctx, group, h, elbtypes.TargetHealthStateEnumUnused)
}

func (b *balancer) becomes(t *testing.T, ctx context.Context, group string, h *host, want elbtypes.TargetHealthStateEnum) {
	t.Helper()
	err := machine.Until(ctx, patience, func() (bool, string, error) {
		out, err := b.site.AWS.ELB.DescribeTargetHealth(ctx, &elbv2.DescribeTargetHealthInput{
			TargetGroupArn: &group, Targets: []elbtypes.TargetDescription{{Id: &h.address}},
		})
		if err != nil {
			return false, "", err
		}
		state := out.TargetHealthDescriptions[0].TargetHealth.State
		return state == want, fmt.Sprintf("%s is %s", h.address, state), nil
	})
	if err != nil {
		t.Error(err)
	}
}

// shuffle changes rules, weights and attributes there and back.
func (b *balancer) shuffle(ctx context.Context, i int, both, alone string) error {
	elb := b.site.AWS.ELB
	rule, err := elb.CreateRule(ctx, &elbv2.CreateRuleInput{
		ListenerArn: &b.listener, Priority: aws.Int32(7), Actions: []elbtypes.Action{forwardTo(alone)},
		Conditions: []elbtypes.RuleCondition{{Field: aws.String("http-request-method"), HttpRequestMethodConfig: &elbtypes.HttpRequestMethodConditionConfig{Values: []string{"POST"}}}},
	})
	if err != nil {
		return err
	}
	arn := rule.Rules[0].RuleArn
	if _, err := elb.SetRulePriorities(ctx, &elbv2.SetRulePrioritiesInput{RulePriorities: []elbtypes.RulePriorityPair{{RuleArn: arn, Priority: aws.Int32(8)}}}); err != nil {
		return err
	}
	if _, err := elb.ModifyListener(ctx, &elbv2.ModifyListenerInput{ListenerArn: &b.listener, DefaultActions: []elbtypes.Action{{
		Type: elbtypes.ActionTypeEnumForward, ForwardConfig: &elbtypes.ForwardActionConfig{TargetGroups: []elbtypes.TargetGroupTuple{
			{TargetGroupArn: &both, Weight: aws.Int32(3)}, {TargetGroupArn: &alone, Weight: aws.Int32(int32(i % 2))},
		}},
	}}}); err != nil {
		return err
	}
	// The servers of the nodes are replaced by others with another timeout.
	if _, err := elb.ModifyLoadBalancerAttributes(ctx, &elbv2.ModifyLoadBalancerAttributesInput{LoadBalancerArn: &b.arn, Attributes: []elbtypes.LoadBalancerAttribute{
		{Key: aws.String("idle_timeout.timeout_seconds"), Value: aws.String(strconv.Itoa(60 + i%2))},
	}}); err != nil {
		return err
	}
	_, err = elb.DeleteRule(ctx, &elbv2.DeleteRuleInput{RuleArn: arn})
	return err
}

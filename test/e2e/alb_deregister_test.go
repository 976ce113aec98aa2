package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// deregistration has a request end with the deregistration delay of a target that
// does not answer it.
func (b *balancer) deregistration(t *testing.T, m *machine.Machine, client *host) {
	dir, err := os.MkdirTemp(m.Dir, "silent")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	got := filepath.Join(dir, "got")
	silent := addHost(t, m, b.site.AWS.Account, b.site.Subnet, b.targetsGroup, nil, "socat", "TCP4-LISTEN:8080,fork,reuseaddr", "SYSTEM:cat >> "+got)
	group := b.group(t, "silent", silent)
	attributes(t, b.site, group, "deregistration_delay.timeout_seconds", "2")
	remove := b.rule(t, 5, elbtypes.RuleCondition{Field: aws.String("path-pattern"), PathPatternConfig: &elbtypes.PathPatternConditionConfig{Values: []string{"/silent/*"}}}, forwardTo(group))
	defer remove()
	came := func(path string) (bool, string) {
		text, err := os.ReadFile(got)
		return err == nil && strings.Contains(string(text), "GET "+path+" "), string(text)
	}
	at := "http://" + b.nodes[0].address
	becomesTrue(t, "requests come to the target", func() (bool, string) {
		machine.Output(client.curl(t.Context(), at+"/silent/probe", "--max-time", "1"))
		return came("/silent/probe")
	})
	request := client.curl(t.Context(), at+"/silent/lasting", "--no-fail", "-o", "/dev/null", "-w", "%{http_code}")
	var status strings.Builder
	request.Stdout = &status
	if err := request.Start(); err != nil {
		t.Fatal(err)
	}
	becomesTrue(t, "the request comes to the target", func() (bool, string) { return came("/silent/lasting") })
	if _, err := b.site.AWS.ELB.DeregisterTargets(t.Context(), &elbv2.DeregisterTargetsInput{TargetGroupArn: &group, Targets: []elbtypes.TargetDescription{{Id: &silent.address}}}); err != nil {
		t.Fatal(err)
	}
	if err := request.Wait(); err != nil || status.String() != "502" {
		t.Errorf("it ended with %q, %v", status.String(), err)
	}
	m.Logged(t, "target: its deregistration delay has elapsed")
}

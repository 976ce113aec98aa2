package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestRestart: what the AWS API acknowledged is there and works after
// everything was killed, and after "isthmus down".
func TestRestart(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{Locations: slowLocation})
	sum := putSlow(t, a)
	v1, v2 := overV1(t, a), overV2(t, a)
	client := addHost(t, m, accountA, a.Subnet, "", nil)
	instance, eni, _ := announced(t, filepath.Join(a.Dir, "run.log"))
	byInstance := instanceTargets(t, a, instance)
	if _, err := a.AWS.ELB.ModifyTargetGroup(t.Context(), &elbv2.ModifyTargetGroupInput{
		TargetGroupArn: &a.TargetGroup, HealthCheckIntervalSeconds: aws.Int32(5), HealthCheckTimeoutSeconds: aws.Int32(2),
		HealthyThresholdCount: aws.Int32(2), UnhealthyThresholdCount: aws.Int32(2),
	}); err != nil {
		t.Fatal(err)
	}

	intact := func(t *testing.T) {
		t.Helper()
		if got := vpcs(t, a.AWS); !slices.Equal(got, []string{a.VPC}) {
			t.Errorf("VPCs %v, want %s", got, a.VPC)
		}
		l1, err := a.AWS.REST.GetVpcLink(t.Context(), &apigateway.GetVpcLinkInput{VpcLinkId: &v1.Link})
		if err != nil || l1.Status != "AVAILABLE" {
			t.Errorf("version 1 link: %+v, %v", l1, err)
		}
		l2, err := a.AWS.HTTP.GetVpcLink(t.Context(), &apigatewayv2.GetVpcLinkInput{VpcLinkId: &v2.Link})
		if err != nil || l2.VpcLinkStatus != "AVAILABLE" {
			t.Errorf("version 2 link: %+v, %v", l2, err)
		}
	}
	works := func(t *testing.T) {
		t.Helper()
		answers(t, m, v1.URL+"/x", 200, accountA)
		answers(t, m, v2.URL+"/x", 200, accountA)
	}
	works(t)

	t.Run("everything was killed", func(t *testing.T) {
		x := download(t, client, a.Node)
		killEverything(t, m)
		x.progress(t) // with nothing of Isthmus alive
		if err := m.Serve(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		intact(t)
		works(t)
		x.complete(t, sum)
		if !interfaceExists(t, a.AWS, eni) {
			t.Errorf("the backend lives, and %s is gone", eni)
		}
	})
	t.Run("down", func(t *testing.T) {
		if err := m.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.Backend.Wait() // it must end; how is told by nobody
		if err := m.Serve(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		intact(t)
		for _, id := range []string{eni, client.eni} {
			if interfaceExists(t, a.AWS, id) {
				t.Errorf("%s is there without its instance", id)
			}
		}
		if states := health(t, a, byInstance); len(states) != 0 {
			t.Errorf("the instance is gone, and as a target it is %v", states)
		}
		healthBecomes(t, a, "unhealthy")
		addHost(t, m, accountA, a.Subnet, a.Group, []string{"--private-ip", machine.BackendAddress},
			"nginx", "-c", filepath.Join(a.Dir, "nginx.conf"))
		registerAnew(t, a)
		healthBecomes(t, a, "healthy")
		works(t)
	})
}

// instanceTargets makes a target group that names its target by the instance.
func instanceTargets(t *testing.T, s *machine.Site, instance string) string {
	t.Helper()
	g, err := s.AWS.ELB.CreateTargetGroup(t.Context(), &elbv2.CreateTargetGroupInput{
		Name: aws.String("instances"), Protocol: elbtypes.ProtocolEnumTcp, Port: aws.Int32(80),
		TargetType: elbtypes.TargetTypeEnumInstance, VpcId: &s.VPC,
	})
	if err != nil {
		t.Fatal(err)
	}
	arn := *g.TargetGroups[0].TargetGroupArn
	if _, err := s.AWS.ELB.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{
		TargetGroupArn: &arn, Targets: []elbtypes.TargetDescription{{Id: &instance}},
	}); err != nil {
		t.Fatal(err)
	}
	if states := health(t, s, arn); len(states) != 1 {
		t.Fatalf("a target was registered, and %v are told", states)
	}
	return arn
}

// registerAnew takes the site's target out of its group and puts it back, which
// makes its first good check count.
func registerAnew(t *testing.T, s *machine.Site) {
	t.Helper()
	target := []elbtypes.TargetDescription{{Id: aws.String(machine.BackendAddress)}}
	_, err := s.AWS.ELB.DeregisterTargets(t.Context(), &elbv2.DeregisterTargetsInput{TargetGroupArn: &s.TargetGroup, Targets: target})
	if err == nil {
		_, err = s.AWS.ELB.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{TargetGroupArn: &s.TargetGroup, Targets: target})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// health are the states of a group's targets.
func health(t *testing.T, s *machine.Site, group string) (states []string) {
	t.Helper()
	h, err := s.AWS.ELB.DescribeTargetHealth(t.Context(), &elbv2.DescribeTargetHealthInput{TargetGroupArn: &group})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range h.TargetHealthDescriptions {
		states = append(states, string(d.TargetHealth.State))
	}
	return states
}

// healthBecomes waits until the site's target is in a state.
func healthBecomes(t *testing.T, s *machine.Site, state string) {
	t.Helper()
	err := machine.Until(t.Context(), 2*patience, func() (bool, string, error) {
		states := health(t, s, s.TargetGroup)
		return slices.Equal(states, []string{state}), fmt.Sprint("targets are ", states), nil
	})
	if err != nil {
		t.Fatalf("want %s: %v", state, err)
	}
}

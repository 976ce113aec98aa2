package e2e

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestEndIsHeard: clients that only receive are told that their connection has
// ended, when an endpoint's connection is rejected and when an endpoint is
// deleted: through one endpoint, and through two of a chain, whose flow the
// account between has not touched.
func TestEndIsHeard(t *testing.T) {
	m := start(t)
	// For a minute and more: nobody hears by the end of the file.
	b := site(t, m, accountB, machine.SiteOptions{Locations: "location /slow/ { limit_rate 64k; sendfile_max_chunk 16k; }"})
	putSlow(t, b)
	service, name := offer(t, b, false, accountA)

	a, near := consumer(t, m, accountA)
	second, address := connect(t, a, name)
	endpointBecomes(t, a, second, "available")
	addBalancer(t, a, "between")
	a.TargetGroup = addListener(t, a, 80, address, 80, false)
	allow(t, a, defaultGroup(t, a), fromCIDR("tcp", 80, 80, a.Node+"/32"))
	targetBecomes(t, a, "healthy")
	_, between := offer(t, a, false, accountC)

	c, far := consumer(t, m, accountC)
	first, entry := connect(t, c, between)
	endpointBecomes(t, c, first, "available")
	becomes(t, true, near.curlTo(t, address))
	becomes(t, true, far.curlTo(t, entry))

	t.Run("deletion", func(t *testing.T) {
		other, at := connect(t, c, between)
		endpointBecomes(t, c, other, "available")
		becomes(t, true, far.curlTo(t, at))
		x := download(t, far, at)
		if _, err := c.AWS.EC2.DeleteVpcEndpoints(t.Context(), &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{other}}); err != nil {
			t.Fatal(err)
		}
		x.isReset(t)
	})
	t.Run("rejection", func(t *testing.T) {
		one, two := download(t, near, address), download(t, far, entry)
		begin := time.Now()
		if _, err := b.AWS.EC2.RejectVpcEndpointConnections(t.Context(), &ec2.RejectVpcEndpointConnectionsInput{
			ServiceId: &service, VpcEndpointIds: []string{second},
		}); err != nil {
			t.Fatal(err)
		}
		one.isReset(t)
		two.isReset(t)
		t.Logf("both were told within %s", time.Since(begin))
	})
}

package article

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestArticlePrivateAPIFromOnPremises: "Private APIs are accessible only from
// clients within the VPC or from clients that have network connectivity to the
// VPC. For example, from on-premises clients via AWS Direct Connect."
func TestArticlePrivateAPIFromOnPremises(t *testing.T) {
	w := theWorld(t)
	n := must(newNetwork(t.Context(), w.m, callers))(t)
	if err := n.connect(t.Context(), executeAPI, 443); err != nil {
		t.Fatal(err)
	}
	e := must(n.aws.EC2.DescribeVpcEndpoints(t.Context(), &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{n.endpoint}}))(t)
	must(n.aws.EC2.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: e.VpcEndpoints[0].Groups[0].GroupId, IpPermissions: []ec2types.IpPermission{fromCIDR(443, machine.OnPremises)},
	}))(t)
	api := privateAPI(t, w, n.endpoint)

	router := must(w.m.Router())(t)
	t.Cleanup(func() {
		if err := router.Close(); err != nil {
			t.Error(err)
		}
	})
	gateway := must(n.aws.VPNGateway(t.Context(), n.vpc))(t)
	wire := must(w.m.Wire(t.Context(), n.aws, gateway, router, 10))(t)
	call := func(address, path string) string {
		t.Helper()
		out, err := machine.Output(router.Host(t.Context(), "curl", "-sS", "-m", "3", "--cacert", w.trust, "-w", ` %{http_code}`,
			"--connect-to", "::"+address+":", "https://"+api+"."+domain+"/prod"+path))
		if err != nil {
			t.Log(err)
			return ""
		}
		at := strings.LastIndexByte(out, ' ')
		return out[at+1:] + " " + strings.TrimSpace(out[:at])
	}
	nobody(t, "a wire without a session", call(n.addresses[0], "/seen"))
	if err := router.Start(machine.BGP{Wires: []machine.Wire{wire}}); err != nil {
		t.Fatal(err)
	}
	for _, address := range n.addresses { // in both zones
		becomes(t, "200 "+n.endpoint+" "+machine.OnPremisesHost, func() string { return call(address, "/seen") })
	}
	becomes(t, answer(w.site, w.site.Node, "/x"), func() string { return call(n.addresses[0], "/x") })

	// The network is let in still, but nothing joins it with the VPC any more.
	if err := router.Stop(); err != nil {
		t.Fatal(err)
	}
	becomes(t, "", func() string { return call(n.addresses[0], "/x") })
}

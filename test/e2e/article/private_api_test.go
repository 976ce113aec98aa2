package article

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	resttypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// privateAPI makes a private REST API over the provider's version 1 link, for
// callers of one endpoint. It returns its id.
func privateAPI(t *testing.T, w *world, endpoint string) string {
	t.Helper()
	rest := w.site.AWS.REST
	id := must(w.site.REST(t.Context(), w.v1.Link))(t)
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*",
		"Condition":{"StringEquals":{"aws:SourceVpce":"` + endpoint + `"}}}]}`
	must(rest.UpdateRestApi(t.Context(), &apigateway.UpdateRestApiInput{RestApiId: &id, PatchOperations: []resttypes.PatchOperation{
		{Op: resttypes.OpReplace, Path: aws.String("/endpointConfiguration/types/0"), Value: aws.String("PRIVATE")},
		{Op: resttypes.OpAdd, Path: aws.String("/endpointConfiguration/vpcEndpointIds"), Value: &endpoint},
		{Op: resttypes.OpReplace, Path: aws.String("/policy"), Value: &policy},
	}}))(t)
	must(rest.CreateDeployment(t.Context(), &apigateway.CreateDeploymentInput{RestApiId: &id, StageName: aws.String("prod")}))(t)
	return id
}

// curlFrom is curl from an address of the network's first subnet.
func curlFrom(t *testing.T, n *network, from string, args ...string) string {
	t.Helper()
	args = append([]string{"curl", "-sS", "-m", "3", "-w", ` %{http_code}`}, args...)
	out, err := machine.Output(n.m.Run(t.Context(), n.aws.Account, n.subnets[0], "", []string{"--private-ip", from}, args...))
	if err != nil {
		t.Log(err)
		return ""
	}
	at := strings.LastIndexByte(out, ' ')
	return out[at+1:] + " " + strings.TrimSpace(out[:at])
}

// TestArticlePrivateAPI: "A private API means that the API endpoint is reachable
// only through the VPC. Private APIs are accessible only from clients within the
// VPC or from clients that have network connectivity to the VPC."
func TestArticlePrivateAPI(t *testing.T) {
	w := theWorld(t)
	api := privateAPI(t, w, w.caller.endpoint)
	url := "https://" + api + "." + domain + "/prod/x"
	becomes(t, answer(w.site, w.site.Node, "/x"), func() string { return w.caller.curl(t, url, "--cacert", w.trust) })
	nobody(t, "a VPC without an endpoint", w.other.curl(t, url, "-k", "--connect-to", "::"+w.caller.addresses[0]+":", "-m", "1"))
	if got := call(t, w.m, "http://"+api+".execute-api.localhost:8080/prod/x"); got != forbidden {
		t.Errorf("from outside: %s", got)
	}
}

// TestArticlePrivateAPIThroughEndpoint: "Clients connect to private APIs via an
// interface VPC endpoint, which routes requests privately to the API Gateway
// service. The traffic is initiated from the customer's VPC and flows through
// the AWS PrivateLink to the API Gateway's AWS account".
func TestArticlePrivateAPIThroughEndpoint(t *testing.T) {
	w := theWorld(t)
	api := privateAPI(t, w, w.caller.endpoint)
	becomes(t, "200 "+w.caller.endpoint+" 10.0.1.78", func() string {
		return curlFrom(t, w.caller, "10.0.1.78", "--cacert", w.trust, "https://"+api+"."+domain+"/prod/seen")
	})
}

// TestArticlePublicAPIInVPC: "When the VPC endpoint for API Gateway is enabled,
// all requests to API Gateway APIs made from inside the VPC go through the VPC
// endpoint. This is true for private APIs and public APIs." Today the endpoint
// takes such requests too, and refuses those to public APIs.
func TestArticlePublicAPIInVPC(t *testing.T) {
	w := theWorld(t)
	for _, api := range []machine.API{w.v1, w.v2} {
		becomes(t, forbidden, func() string {
			return w.caller.curl(t, "https://"+api.ID+"."+domain+"/prod/x", "--cacert", w.trust)
		})
		w.m.Logged(t, fmt.Sprintf("API %s is public, and %s leads to private APIs only", api.ID, w.caller.endpoint))
	}
}

// TestArticlePublicAPIThroughEndpoint is the statement above as the article has
// it, which isthmus serve --public-through-endpoints switches on.
func TestArticlePublicAPIThroughEndpoint(t *testing.T) {
	m := machine.StartTest(t, binary, "--public-through-endpoints")
	s := must(m.Site(t.Context(), m.AWS(provider), machine.SiteOptions{Locations: seen}))(t)
	api := must(s.RESTOverV1(t.Context()))(t)
	n := must(newNetwork(t.Context(), m, callers))(t)
	if err := n.connect(t.Context(), executeAPI, 443); err != nil {
		t.Fatal(err)
	}
	becomes(t, "200 "+n.endpoint+" 10.0.1.79", func() string {
		return curlFrom(t, n, "10.0.1.79", "-k", "https://"+api.ID+"."+domain+"/prod/seen")
	})
}

// TestArticlePublicAPIFromOutside: "Public APIs are still accessible from the
// internet and private APIs are accessible only from the interface VPC
// endpoint."
func TestArticlePublicAPIFromOutside(t *testing.T) {
	w := theWorld(t)
	becomes(t, answer(w.site, w.site.Node, "/x"), func() string { return call(t, w.m, w.v1.URL+"/x") })
	becomes(t, answer(w.site, w.site.Node, "/x"), func() string { return call(t, w.m, w.v2.URL+"/x") })
	api := privateAPI(t, w, w.caller.endpoint)
	becomes(t, forbidden, func() string { return call(t, w.m, "http://"+api+".execute-api.localhost:8080/prod/x") })
}

// TestArticlePrivateAPIWithPrivateIntegration: "To create a private API with a
// private integration, two AWS PrivateLink connections are established. The
// first is from a customer VPC to API Gateway's VPC so that clients in the VPC
// can reach the API Gateway service endpoint. The other is from API Gateway's
// VPC to the customer VPC so that API Gateway can reach the backend endpoint."
func TestArticlePrivateAPIWithPrivateIntegration(t *testing.T) {
	w := theWorld(t)
	api := privateAPI(t, w, w.caller.endpoint)
	url := "https://" + api + "." + domain + "/prod"
	becomes(t, answer(w.site, w.site.Node, "/x"), func() string { return w.caller.curl(t, url+"/x", "--cacert", w.trust) })
	nobody(t, "the callers' VPC to the backend", w.caller.curl(t, "http://"+machine.BackendAddress+"/", "-m", "1"))
	nobody(t, "the machine to the API's endpoint", output(t, w.m.Command(t.Context(), "sh", "-c", "curl -sk -m 2 https://"+w.caller.addresses[0]+"/ || true")))
}

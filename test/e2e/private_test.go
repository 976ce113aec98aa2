package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	resttypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// callerVPC is a VPC 10.0.0.0/16 with an interface endpoint to execute-api in
// two zones.
type callerVPC struct {
	aws       machine.AWS
	vpc       string
	subnets   [2]string // 10.0.1.0/24 and 10.0.2.0/24
	group     string    // of the endpoint
	endpoint  string    // vpce-…
	name      string    // regional
	addresses [2]string // of the endpoint, by subnet
}

func newCallerVPC(t *testing.T, m *machine.Machine, account string) *callerVPC {
	t.Helper()
	c, err := m.Caller(t.Context(), m.AWS(account))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Names) != 5 || c.Names[3] != "execute-api.us-east-1.amazonaws.com" || c.Names[4] != "*.execute-api.us-east-1.amazonaws.com" {
		t.Fatalf("names of the endpoint: %q", c.Names)
	}
	return &callerVPC{
		aws: c.AWS, vpc: c.VPC, subnets: c.Subnets, group: c.Group, endpoint: c.Endpoint, name: c.Names[0], addresses: c.Addresses,
	}
}

// port is a rule that lets the VPC in.
func (c *callerVPC) port(n int32) []ec2types.IpPermission {
	return []ec2types.IpPermission{machine.FromVPC(n)}
}

// call runs curl on an instance of the VPC with a connection to the endpoint,
// and returns "status body", or an empty text if nobody answered.
func (c *callerVPC) call(t *testing.T, m *machine.Machine, zone int, from, url string, options ...string) string {
	t.Helper()
	args := []string{
		"curl", "-sS", "-m", "5", "--cacert", authorityFile(t, m), "--connect-to", "::" + c.addresses[zone] + ":",
		"-o", "-", "-w", " %{http_code}",
	}
	cmd := m.Run(t.Context(), c.aws.Account, c.subnets[zone], "", []string{"--private-ip", from}, append(append(args, options...), url)...)
	out, err := machine.Output(cmd)
	body, status, ok := cut(strings.TrimSpace(out))
	if err != nil || !ok {
		t.Logf("%s: %v", url, err)
		return ""
	}
	return status + " " + body
}

// cut takes the last word off a text.
func cut(s string) (rest, last string, ok bool) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return "", s, len(s) == 3
	}
	return strings.TrimSpace(s[:i]), s[i+1:], true
}

// authorityFile holds what "isthmus ca" prints, for users of all kinds.
func authorityFile(t *testing.T, m *machine.Machine) string {
	t.Helper()
	file := filepath.Join(m.Dir, "trust.pem")
	if _, err := os.Stat(file); err != nil {
		pem := output(t, m.Isthmus(t.Context(), "ca"))
		if err := os.WriteFile(file, []byte(pem+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// policyOf is a resource policy of statements.
func policyOf(statements ...map[string]any) string {
	for _, s := range statements {
		s["Principal"], s["Action"], s["Resource"] = "*", "execute-api:Invoke", "execute-api:/*"
	}
	b, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func allowAll() map[string]any { return map[string]any{"Effect": "Allow"} }

func denyIf(operator, key string, values ...string) map[string]any {
	return map[string]any{"Effect": "Deny", "Condition": map[string]any{operator: map[string]any{key: values}}}
}

// patch changes an API without deploying it.
func patch(t *testing.T, a machine.AWS, api string, pathsAndValues ...string) {
	t.Helper()
	in := &apigateway.UpdateRestApiInput{RestApiId: &api}
	for i := 0; i < len(pathsAndValues); i += 2 {
		op := resttypes.OpReplace
		if strings.HasSuffix(pathsAndValues[i], "vpcEndpointIds") {
			op = resttypes.OpAdd
		}
		in.PatchOperations = append(in.PatchOperations, resttypes.PatchOperation{Op: op, Path: &pathsAndValues[i], Value: &pathsAndValues[i+1]})
	}
	if _, err := a.REST.UpdateRestApi(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func deploy(t *testing.T, a machine.AWS, api string) {
	t.Helper()
	if _, err := a.REST.CreateDeployment(t.Context(), &apigateway.CreateDeploymentInput{RestApiId: &api, StageName: aws.String("prod")}); err != nil {
		t.Fatal(err)
	}
}

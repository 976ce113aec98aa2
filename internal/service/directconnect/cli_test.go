package directconnect

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCLI makes a virtual interface with the real aws CLI.
func TestCLI(t *testing.T) {
	program, err := exec.LookPath("aws")
	if err != nil {
		t.Fatal("the aws CLI is not installed; scripts/install-dependencies run installs it")
	}
	f := newFixture(t)
	home := t.TempDir()
	run := func(query, command string) (string, error) {
		cmd := exec.CommandContext(t.Context(), program, append([]string{"directconnect", "--endpoint-url", f.url, "--output", "text", "--query", query}, strings.Fields(command)...)...)
		cmd.Env = append(os.Environ(), "HOME="+home, "AWS_CONFIG_FILE="+filepath.Join(home, "none"),
			"AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(home, "none"), "AWS_PAGER=", "AWS_ACCESS_KEY_ID="+account,
			"AWS_SECRET_ACCESS_KEY=x", "AWS_DEFAULT_REGION="+region, "AWS_REGION="+region, "AWS_MAX_ATTEMPTS=1")
		out, err := cmd.CombinedOutput()
		return strings.Join(strings.Fields(string(out)), " "), err
	}
	want := func(want, query, command string) {
		t.Helper()
		if got, err := run(query, command); err != nil || got != want {
			t.Errorf("aws directconnect %s: %q, %v; want %q", command, got, err, want)
		}
	}
	fails := func(want, command string) {
		t.Helper()
		if got, err := run("@", command); err == nil || !strings.Contains(got, want) {
			t.Errorf("aws directconnect %s: %q, want the failure %q", command, got, want)
		}
	}
	want("office available EqDC2", "connections[].[connectionName,connectionState,location]", "describe-connections")
	create := "create-private-virtual-interface --connection-id " + f.connection + " --new-private-virtual-interface "
	shape := "virtualInterfaceName=office,vlan=101,asn=65000,virtualGatewayId=" + f.gateway
	fails("(DirectConnectClientException) when calling the CreatePrivateVirtualInterface operation: A BGP authentication key is not supported", create+shape+",authKey=secret")
	id, err := run("virtualInterfaceId", create+shape+",amazonAddress=192.0.2.1/30,customerAddress=192.0.2.2/30")
	if err != nil {
		t.Fatal(id)
	}
	want("192.0.2.2/30 down", "virtualInterfaces[].bgpPeers[].[customerAddress,bgpStatus]", "describe-virtual-interfaces --virtual-interface-id "+id)
	want(f.gateway, "virtualGateways[].virtualGatewayId", "describe-virtual-gateways")
	fails("has virtual interface "+id, "delete-connection --connection-id "+f.connection)
	want("deleted", "virtualInterfaceState", "delete-virtual-interface --virtual-interface-id "+id)
	want("deleted", "connectionState", "delete-connection --connection-id "+f.connection)
}

package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestLinks: two VPCs with the same addresses, in two accounts; a REST API
// over a version 1 link into the one, an HTTP API over a version 2 link into
// the other.
func TestLinks(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{})
	b := site(t, m, accountB, machine.SiteOptions{PreserveClient: true})
	v1, v2 := overV1(t, a), overV2(t, b)
	eni := linkAddress(t, b)

	t.Run("the backend sees the balancer's node through version 1, the link's interface through version 2", func(t *testing.T) {
		answers(t, m, v1.URL+"/pets", 200, fmt.Sprintf("%s %s /pets", accountA, a.Node))
		answers(t, m, v2.URL+"/pets", 200, fmt.Sprintf("%s %s /pets", accountB, eni))
	})
	t.Run("both are called by HTTPS", func(t *testing.T) {
		byHTTPS(t, m, v1, "/prod/pets", fmt.Sprintf("%s %s /pets", accountA, a.Node))
		byHTTPS(t, m, v2, "/pets", fmt.Sprintf("%s %s /pets", accountB, eni))
	})
	t.Run("what a version 1 link consists of is seen by the account", func(t *testing.T) {
		s, err := a.AWS.EC2.DescribeVpcEndpointServiceConfigurations(t.Context(), &ec2.DescribeVpcEndpointServiceConfigurationsInput{})
		if err != nil || len(s.ServiceConfigurations) != 1 {
			t.Fatalf("%d endpoint services, %v", len(s.ServiceConfigurations), err)
		}
		id := s.ServiceConfigurations[0].ServiceId
		p, err := a.AWS.EC2.DescribeVpcEndpointServicePermissions(t.Context(), &ec2.DescribeVpcEndpointServicePermissionsInput{ServiceId: id})
		if err != nil || len(p.AllowedPrincipals) != 1 || *p.AllowedPrincipals[0].Principal != "arn:aws:iam::392220576650:root" {
			t.Errorf("allowed principals %+v, %v", p, err)
		}
		c, err := a.AWS.EC2.DescribeVpcEndpointConnections(t.Context(), &ec2.DescribeVpcEndpointConnectionsInput{
			Filters: []ec2types.Filter{{Name: aws.String("service-id"), Values: []string{*id}}},
		})
		if err != nil || len(c.VpcEndpointConnections) != 1 || c.VpcEndpointConnections[0].VpcEndpointState != "available" {
			t.Errorf("connections %+v, %v", c, err)
		}
	})
	t.Run("nobody else reaches a backend", func(t *testing.T) { isolation(t, m, a, b) })
	t.Run("a revoked rule is the named cause", func(t *testing.T) {
		for _, c := range []struct {
			site   *machine.Site
			url    string
			status int
		}{{a, v1.URL, 500}, {b, v2.URL, 503}} {
			if err := c.site.Revoke(t.Context()); err != nil {
				t.Fatal(err)
			}
			answers(t, m, c.url+"/revoked", c.status, "")
			m.Logged(t, "sg-ingress: "+c.site.Group)
			if err := c.site.Allow(t.Context()); err != nil {
				t.Fatal(err)
			}
			answers(t, m, c.url+"/restored", 200, c.site.AWS.Account)
		}
	})
	for name, url := range map[string]string{"version 1": v1.URL, "version 2": v2.URL} {
		t.Run("10,000 requests over 64 connections, "+name, func(t *testing.T) { many(t, m, url+"/many", 10000, 64) })
		t.Run("10 MB up and down, "+name, func(t *testing.T) { tenMegabytes(t, m, url) })
	}
	t.Run("100 MB up and down through a balancer in a VPC", func(t *testing.T) { hundredMegabytes(t, m, b) })
}

// linkAddress is the address of the ENI of the site's version 2 link.
func linkAddress(t *testing.T, s *machine.Site) string {
	t.Helper()
	n, err := s.AWS.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: aws.String("interface-type"), Values: []string{"api_gateway_managed"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(n.NetworkInterfaces) != 1 || !aws.ToBool(n.NetworkInterfaces[0].RequesterManaged) || *n.NetworkInterfaces[0].SubnetId != s.Subnet {
		t.Fatalf("interfaces of the link: %+v", n.NetworkInterfaces)
	}
	return *n.NetworkInterfaces[0].PrivateIpAddress
}

func isolation(t *testing.T, m *machine.Machine, a, b *machine.Site) {
	curl := []string{"curl", "-sS", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}"}
	for name, c := range map[string]interface{ CombinedOutput() ([]byte, error) }{
		"the machine to the backend": m.Command(t.Context(), curl[0], append(curl[1:], "http://"+machine.BackendAddress+"/")...),
		"the machine to a node":      m.Command(t.Context(), curl[0], append(curl[1:], "http://"+a.Node+"/")...),
		"a host of the subnet that the backend's group does not name": m.Run(t.Context(), accountB, subnet(t, b, "10.0.7.0/24"), "", nil,
			append(curl, "http://"+machine.BackendAddress+"/")...),
		"a host of the other VPC to the node's address": m.Run(t.Context(), accountC, subnet(t, emptyVPC(t, m), "10.0.1.0/24"), "", nil,
			append(curl, "http://"+a.Node+"/")...),
	} {
		if out, err := c.CombinedOutput(); err == nil {
			t.Errorf("%s: answered %s", name, out)
		}
	}
}

// subnet makes a further subnet of a site's VPC.
func subnet(t *testing.T, s *machine.Site, cidr string) string {
	t.Helper()
	n, err := s.AWS.EC2.CreateSubnet(t.Context(), &ec2.CreateSubnetInput{VpcId: &s.VPC, CidrBlock: &cidr, AvailabilityZone: aws.String(machine.Region + "a")})
	if err != nil {
		t.Fatal(err)
	}
	return *n.Subnet.SubnetId
}

// emptyVPC is a third account's VPC with the same addresses.
func emptyVPC(t *testing.T, m *machine.Machine) *machine.Site {
	t.Helper()
	c := m.AWS(accountC)
	v, err := c.EC2.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	if err != nil {
		t.Fatal(err)
	}
	return &machine.Site{AWS: c, VPC: *v.Vpc.VpcId}
}

// many sends requests over connections at once; every one must be answered 200.
func many(t *testing.T, m *machine.Machine, url string, requests, connections int) {
	c := m.Client()
	defer c.CloseIdleConnections()
	var wg sync.WaitGroup
	failures := make(chan string, connections)
	for range connections {
		wg.Go(func() {
			for range requests / connections {
				resp, err := c.Get(url)
				if err != nil {
					failures <- err.Error()
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 {
					failures <- fmt.Sprint(resp.Status, " ", err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(failures)
	for f := range failures {
		t.Error(f)
	}
}

func tenMegabytes(t *testing.T, m *machine.Machine, url string) {
	c := m.Client()
	defer c.CloseIdleConnections()
	body := make([]byte, 10<<20)
	rand.Read(body)
	put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/files/ten", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(put)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 201 && resp.StatusCode != 204 {
		t.Fatalf("PUT: %s", resp.Status)
	}
	status, got := get(t, c, url+"/files/ten")
	if status != 200 || sha256.Sum256([]byte(got)) != sha256.Sum256(body) {
		t.Errorf("GET: %d and %d bytes, which are not those that were sent", status, len(got))
	}
}

func hundredMegabytes(t *testing.T, m *machine.Machine, s *machine.Site) {
	body := make([]byte, 100<<20)
	rand.Read(body)
	file := filepath.Join(s.Dir, "hundred.sent")
	if err := os.WriteFile(file, body, 0o644); err != nil {
		t.Fatal(err)
	}
	url := "http://" + s.Node + "/files/hundred"
	output(t, m.Run(t.Context(), s.AWS.Account, s.Subnet, "", nil, "curl", "-sSf", "-T", file, url))
	stored, err := os.ReadFile(filepath.Join(s.Dir, "hundred"))
	if err != nil || !bytes.Equal(stored, body) {
		t.Fatalf("the backend got %d bytes, which are not those that were sent; %v", len(stored), err)
	}
	sum := output(t, m.Run(t.Context(), s.AWS.Account, s.Subnet, "", nil, "sh", "-c", "curl -sSf "+url+" | sha256sum"))
	if want := fmt.Sprintf("%x", sha256.Sum256(body)); !strings.HasPrefix(sum, want) {
		t.Errorf("the client got %s, want %s", sum, want)
	}
}

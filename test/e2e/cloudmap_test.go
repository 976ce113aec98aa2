package e2e

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/servicediscovery"
	sdtypes "github.com/aws/aws-sdk-go-v2/service/servicediscovery/types"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestCloudMap: one version 2 link leads to a Network Load Balancer and to the
// instances of a Cloud Map service, by routes of two APIs.
func TestCloudMap(t *testing.T) {
	m := start(t)
	a := site(t, m, accountA, machine.SiteOptions{})
	links, apps := addGroup(t, a, "links"), addGroup(t, a, "apps")
	revoke := allow(t, a, apps, fromGroup("tcp", 8080, 8080, links))
	one, two := addApp(t, m, a, apps, "one"), addApp(t, m, a, apps, "two")
	cm := newCloudMap(t, a)
	cm.register(t, "one", one.address, "blue")
	cm.register(t, "two", two.address, "green")

	nlb := overV2(t, a, links)
	before := linkState(t, a, nlb.Link)
	api, _, err := a.HTTP(t.Context(), nlb.Link) // its $default route leads to the listener
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("http://%s.execute-api.localhost:8080", api)
	for key, target := range map[string]string{
		"ANY /map/{proxy+}": cm.arn, "ANY /blue/{proxy+}": cm.arn + "?color=blue", "ANY /green/{proxy+}": cm.arn + "?color=green", "ANY /red/{proxy+}": cm.arn + "?color=red",
	} {
		if _, err := a.Route(t.Context(), api, key, nlb.Link, target); err != nil {
			t.Fatal(err)
		}
	}
	eni := before[len(before)-1]

	t.Run("one link leads to all", func(t *testing.T) {
		answers(t, m, url+"/x", 200, accountA)
		answers(t, m, nlb.URL+"/x", 200, accountA)
		answers(t, m, url+"/blue/x", 200, "one "+eni+" /blue/x")
		answers(t, m, url+"/green/x", 200, "two "+eni+" /green/x")
		if after := linkState(t, a, nlb.Link); !slices.Equal(after, before) {
			t.Errorf("the link was %v and is %v", before, after)
		}
	})
	t.Run("requests spread over the instances", func(t *testing.T) {
		answers(t, m, url+"/map/x", 200, eni+" /map/x")
		if got := ask(t, m, url+"/map/x", 40); got["one"] != 20 || got["two"] != 20 {
			t.Errorf("of 40 requests, %v", got)
		}
	})
	t.Run("no instance matches", func(t *testing.T) {
		answers(t, m, url+"/red/x", 503, `{"message":"Service Unavailable"}`)
		m.Logged(t, "no-healthy-target: none of the 2 instances of Cloud Map service "+cm.id+" (web) matches color=red")
	})
	t.Run("the instances are discovered", func(t *testing.T) {
		for attributes, want := range map[string][]string{"": {"one", "two"}, "blue": {"one"}, "red": nil} {
			if got := cm.discover(t, attributes); !slices.Equal(got, want) {
				t.Errorf("color %q: %v, want %v", attributes, got, want)
			}
		}
		cli := m.Isthmus(t.Context(), "aws", "--account", accountA, "--", "servicediscovery", "discover-instances", "--namespace-name", "shop",
			"--service-name", "web", "--query-parameters", "color=green", "--query", "Instances[].InstanceId", "--output", "text")
		if got := output(t, cli); got != "two" {
			t.Errorf("the aws CLI finds %q", got)
		}
	})
	t.Run("security groups decide, on both ends", func(t *testing.T) {
		revoke()
		answers(t, m, url+"/blue/x", 503, "")
		m.Logged(t, "sg-ingress: "+apps)
		answers(t, m, url+"/x", 200, accountA) // the other group's rule still holds
		allow(t, a, apps, fromGroup("tcp", 8080, 8080, links))
		answers(t, m, url+"/blue/x", 200, "one")

		all := []ec2types.IpPermission{{IpProtocol: aws.String("-1"), IpRanges: []ec2types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}}
		if _, err := a.AWS.EC2.RevokeSecurityGroupEgress(t.Context(), &ec2.RevokeSecurityGroupEgressInput{GroupId: &links, IpPermissions: all}); err != nil {
			t.Fatal(err)
		}
		answers(t, m, url+"/blue/x", 503, "")
		m.Logged(t, "sg-egress: "+links)
		if _, err := a.AWS.EC2.AuthorizeSecurityGroupEgress(t.Context(), &ec2.AuthorizeSecurityGroupEgressInput{GroupId: &links, IpPermissions: all}); err != nil {
			t.Fatal(err)
		}
		answers(t, m, url+"/blue/x", 200, "one")
	})
	t.Run("health is obeyed under load, without a failed request", func(t *testing.T) {
		l := load(t, m, url+"/map/x")
		cm.setHealth(t, "one", sdtypes.CustomHealthStatusUnhealthy)
		answers(t, m, url+"/blue/x", 503, "")
		m.Logged(t, "no-healthy-target: none of the 1 matching instances of Cloud Map service "+cm.id+" (web) is healthy")
		l.since(t, time.Now(), 100, "two")
		cm.setHealth(t, "one", sdtypes.CustomHealthStatusHealthy)
		answers(t, m, url+"/blue/x", 200, "one")
		l.since(t, time.Now(), 100, "one", "two")
		l.stop(t)
	})
	t.Run("an instance is deregistered under load, and stopped, without a failed request", func(t *testing.T) {
		file := begin(t, m, url+"/blue/slow/file")
		l := load(t, m, url+"/map/x")
		l.since(t, time.Now(), 100, "one", "two")
		cm.deregister(t, "one")
		l.since(t, time.Now(), 300, "two")
		if status, _ := get(t, m.Client(), url+"/blue/x"); status != 503 {
			t.Errorf("a new request to what was deregistered: %d", status)
		}
		file.complete(t, one.sum) // it was on its way
		one.stop()
		l.since(t, time.Now(), 300, "two")
		l.stop(t)
	})
	t.Run("an instance dies without a word, and others take its part", func(t *testing.T) {
		three := addApp(t, m, a, apps, "three")
		cm.register(t, "three", three.address, "blue")
		l := load(t, m, url+"/map/x")
		l.since(t, time.Now(), 100, "three", "two")
		three.stop() // what it was at work on is lost
		l.since(t, time.Now(), 300, "two")
		l.halt()
		cm.deregister(t, "three")
	})
	if after := linkState(t, a, nlb.Link); !slices.Equal(after, before) {
		t.Errorf("the link was %v and is %v", before, after)
	}
}

// app is a host whose nginx tells the host's name at port 8080, and sends a
// file at a bounded rate.
type app struct {
	*host
	sum string // of the file
}

func addApp(t *testing.T, m *machine.Machine, s *machine.Site, group, name string) app {
	t.Helper()
	dir, err := os.MkdirTemp(m.Dir, name)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(strings.Repeat(name+" ", slowSize/(len(name)+1)))
	conf := strings.NewReplacer("DIR", dir, "NAME", name).Replace(`daemon off; worker_processes 1; pid DIR/pid; error_log DIR/error.log;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000;
  client_body_temp_path DIR/t1; proxy_temp_path DIR/t2; fastcgi_temp_path DIR/t3; uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5;
  server {
    listen 8080;
    location / { return 200 "NAME $remote_addr $request_uri\n"; }
    location /blue/slow/ { alias DIR/; limit_rate 2m; }
  }
}
`)
	for file, content := range map[string][]byte{"nginx.conf": []byte(conf), "file": body} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	h := addHost(t, m, s.AWS.Account, s.Subnet, group, nil, "nginx", "-c", filepath.Join(dir, "nginx.conf"))
	becomes(t, true, h.curlTo(t, "127.0.0.1:8080"))
	return app{h, fmt.Sprintf("%x", sha256.Sum256(body))}
}

// linkState is what of a link must not change: its state, and its interface
// and that one's address.
func linkState(t *testing.T, s *machine.Site, link string) []string {
	t.Helper()
	l, err := s.AWS.HTTP.GetVpcLink(t.Context(), &apigatewayv2.GetVpcLinkInput{VpcLinkId: &link})
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.AWS.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: aws.String("tag:VpcLinkId"), Values: []string{link}},
	}})
	if err != nil || len(n.NetworkInterfaces) != 1 {
		t.Fatalf("interfaces of the link: %+v, %v", n, err)
	}
	i := n.NetworkInterfaces[0]
	return []string{string(l.VpcLinkStatus), l.CreatedDate.String(), *i.NetworkInterfaceId, *i.PrivateIpAddress}
}

// cloudMap is a service "web" of a namespace "shop".
type cloudMap struct {
	client  *servicediscovery.Client
	id, arn string
}

func newCloudMap(t *testing.T, s *machine.Site) cloudMap {
	t.Helper()
	c := s.AWS.Map
	n, err := c.CreatePrivateDnsNamespace(t.Context(), &servicediscovery.CreatePrivateDnsNamespaceInput{Name: aws.String("shop"), Vpc: &s.VPC})
	if err != nil {
		t.Fatal(err)
	}
	cm := cloudMap{client: c}
	namespace := cm.done(t, n.OperationId).Targets["NAMESPACE"]
	v, err := c.CreateService(t.Context(), &servicediscovery.CreateServiceInput{
		Name: aws.String("web"), NamespaceId: &namespace, HealthCheckCustomConfig: &sdtypes.HealthCheckCustomConfig{},
		DnsConfig: &sdtypes.DnsConfig{DnsRecords: []sdtypes.DnsRecord{{Type: sdtypes.RecordTypeSrv, TTL: aws.Int64(10)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	cm.id, cm.arn = *v.Service.Id, *v.Service.Arn
	return cm
}

// done waits until an operation has succeeded: from then on it is in force.
func (cm cloudMap) done(t *testing.T, operation *string) *sdtypes.Operation {
	t.Helper()
	var o *sdtypes.Operation
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		out, err := cm.client.GetOperation(t.Context(), &servicediscovery.GetOperationInput{OperationId: operation})
		if err != nil {
			return false, "", err
		}
		o = out.Operation
		return o.Status == sdtypes.OperationStatusSuccess, fmt.Sprint("the operation is ", o.Status), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (cm cloudMap) register(t *testing.T, id, address, color string) {
	t.Helper()
	out, err := cm.client.RegisterInstance(t.Context(), &servicediscovery.RegisterInstanceInput{
		ServiceId: &cm.id, InstanceId: &id,
		Attributes: map[string]string{"AWS_INSTANCE_IPV4": address, "AWS_INSTANCE_PORT": "8080", "color": color},
	})
	if err != nil {
		t.Fatal(err)
	}
	cm.done(t, out.OperationId)
}

func (cm cloudMap) deregister(t *testing.T, id string) {
	t.Helper()
	out, err := cm.client.DeregisterInstance(t.Context(), &servicediscovery.DeregisterInstanceInput{ServiceId: &cm.id, InstanceId: &id})
	if err != nil {
		t.Fatal(err)
	}
	cm.done(t, out.OperationId)
}

func (cm cloudMap) setHealth(t *testing.T, id string, status sdtypes.CustomHealthStatus) {
	t.Helper()
	if _, err := cm.client.UpdateInstanceCustomHealthStatus(t.Context(), &servicediscovery.UpdateInstanceCustomHealthStatusInput{
		ServiceId: &cm.id, InstanceId: &id, Status: status,
	}); err != nil {
		t.Fatal(err)
	}
}

// discover are the ids of the instances of a color, sorted; of all for "".
func (cm cloudMap) discover(t *testing.T, color string) []string {
	t.Helper()
	in := &servicediscovery.DiscoverInstancesInput{NamespaceName: aws.String("shop"), ServiceName: aws.String("web")}
	if color != "" {
		in.QueryParameters = map[string]string{"color": color}
	}
	out, err := cm.client.DiscoverInstances(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, i := range out.Instances {
		ids = append(ids, *i.InstanceId)
	}
	slices.Sort(ids)
	return ids
}

// ask sends requests one after another and counts who answers.
func ask(t *testing.T, m *machine.Machine, url string, n int) map[string]int {
	t.Helper()
	c := m.Client()
	defer c.CloseIdleConnections()
	counts := map[string]int{}
	for range n {
		_, body := get(t, c, url)
		name, _, _ := strings.Cut(body, " ")
		counts[name]++
	}
	return counts
}

// loading is requests that are sent all the time.
type loading struct {
	end  chan struct{}
	once sync.Once // closes end
	wg   sync.WaitGroup
	mu   sync.Mutex
	seen []reply
}

// reply is an answer: who gave it, or what went wrong, to a request that began
// at a time.
type reply struct {
	began  time.Time
	name   string
	failed string
}

// load sends requests until it is stopped.
func load(t *testing.T, m *machine.Machine, url string) *loading {
	t.Helper()
	l := &loading{end: make(chan struct{})}
	c := m.Client()
	for range 8 {
		l.wg.Go(func() {
			for {
				select {
				case <-l.end:
					return
				default:
				}
				r := request(c, url)
				l.mu.Lock()
				l.seen = append(l.seen, r)
				l.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() {
		l.halt()
		c.CloseIdleConnections()
	})
	return l
}

func request(c *http.Client, url string) (r reply) {
	r.began = time.Now()
	resp, err := c.Get(url)
	if err != nil {
		r.failed = err.Error()
		return r
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if r.name, _, _ = strings.Cut(string(body), " "); err != nil || resp.StatusCode != 200 {
		r.failed = fmt.Sprint(resp.Status, " ", string(body), " ", err)
	}
	return r
}

// since waits for the answers to n requests that began after a time, and
// checks who gave them.
func (l *loading) since(t *testing.T, begin time.Time, n int, names ...string) {
	t.Helper()
	var counts map[string]int
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		total := 0
		counts = map[string]int{}
		for _, r := range l.seen {
			if r.began.After(begin) {
				counts[r.name]++
				total++
			}
		}
		return total >= n, fmt.Sprintf("%d answers since then", total), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for name := range counts {
		got = append(got, name)
	}
	slices.Sort(got)
	if !slices.Equal(got, names) {
		t.Errorf("answers %v, want them from %v", counts, names)
	}
}

// halt ends the load.
func (l *loading) halt() {
	l.once.Do(func() { close(l.end) })
	l.wg.Wait()
}

// stop ends the load. No request may have failed.
func (l *loading) stop(t *testing.T) {
	t.Helper()
	l.halt()
	for _, r := range l.seen {
		if r.failed != "" {
			t.Errorf("a request at %s failed: %s", r.began.Format("15:04:05.000"), r.failed)
			return
		}
	}
}

// response is one whose body is yet to be read.
type response struct{ *http.Response }

// begin sends a request and returns when the beginning of the body is there.
func begin(t *testing.T, m *machine.Machine, url string) response {
	t.Helper()
	resp, err := m.Client().Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 {
		t.Fatalf("%s: %s", url, resp.Status)
	}
	return response{resp}
}

// complete reads the rest of the body.
func (r response) complete(t *testing.T, sum string) {
	t.Helper()
	h := sha256.New()
	if n, err := io.Copy(h, r.Body); err != nil || fmt.Sprintf("%x", h.Sum(nil)) != sum {
		t.Errorf("%d bytes arrived, which are not those of the file; %v", n, err)
	}
}

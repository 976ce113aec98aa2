package elbv2

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// The states of a load balancer that are written here; the controller moves it
// on to "active" when the data plane serves it.
const provisioning = "provisioning"

// CreateLoadBalancer makes a load balancer with a node in each of the subnets. If there is one of the name with the same settings, that one is the
// answer.
func (s *Service) CreateLoadBalancer(ctx context.Context, in *api.CreateLoadBalancerInput) (*api.CreateLoadBalancerOutput, error) {
	sc := scopeOf(ctx)
	if err := checkBalancerKind(in); err != nil {
		return nil, err
	}
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	nodes, err := readNodes(in.Subnets, in.SubnetMappings)
	if err != nil {
		return nil, err
	}
	kind := resource.ApplicationLoadBalancer
	set(&kind, in.Type)
	var lb *resource.LoadBalancer
	_, err = s.db.Update(ctx, func(tx *store.Tx) error {
		if err := sc.place(tx, kind, nodes); err != nil {
			return err
		}
		groups, err := sc.checkSecurityGroups(tx, nodes[0].vpc, in.SecurityGroups)
		if err != nil {
			return err
		}
		if kind == resource.ApplicationLoadBalancer && len(groups) == 0 {
			v, err := vpc.FindVPC(tx, sc.account, sc.region, nodes[0].vpc)
			if err != nil {
				return networkError(err)
			}
			groups = []string{v.DefaultGroup}
		}
		if old := sc.balancerNamed(tx, *in.Name); old != nil {
			if old.Type != kind || !sameNodes(old.Zones, nodes) || !sameSet(old.Groups, groups) || !maps.Equal(old.Tags, tags) {
				return wire.Errorf(400, "DuplicateLoadBalancerName",
					"A load balancer with the same name '%s' exists, but with different settings", *in.Name)
			}
			lb = old
			return nil
		}
		if count(store.LoadBalancers.ScanPrefix(tx, sc.arn(balancerPart+typeParts[kind]))) >= maxBalancers {
			return wire.Errorf(400, "TooManyLoadBalancers", "The maximum number of load balancers, %d, has been reached", maxBalancers)
		}
		part, id := typeParts[kind]+*in.Name+"/", newID()
		lb = &resource.LoadBalancer{
			Meta:                 resource.Meta{Account: sc.account, Region: sc.region, Created: now(), Tags: tags},
			ARN:                  sc.arn(balancerPart + part + id),
			Name:                 *in.Name,
			Type:                 kind,
			Scheme:               "internal",
			VPC:                  nodes[0].vpc,
			DNSName:              *in.Name + "-" + id + ".elb." + sc.region + ".amazonaws.com",
			State:                provisioning,
			Groups:               groups,
			EnforceOnPrivateLink: true,
		}
		if kind == resource.ApplicationLoadBalancer {
			lb.DNSName = "internal-" + *in.Name + "-" + number() + "." + sc.region + ".elb.amazonaws.com"
			lb.CookieKey = make([]byte, config.CookieKeySize)
			rand.Read(lb.CookieKey)
		}
		for _, n := range nodes {
			zone, err := createNode(tx, lb, n)
			if err != nil {
				return err
			}
			lb.Zones = append(lb.Zones, zone)
		}
		store.LoadBalancers.Put(tx, lb)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateLoadBalancerOutput{LoadBalancers: []*api.LoadBalancer{showBalancer(lb)}}, nil
}

// number makes the number in the names of Application Load Balancers.
func number() string {
	var b [4]byte
	rand.Read(b[:])
	return strconv.FormatUint(uint64(binary.BigEndian.Uint32(b[:])), 10)
}

// checkBalancerKind refuses what is not an internal Network or Application Load
// Balancer over IPv4.
func checkBalancerKind(in *api.CreateLoadBalancerInput) error {
	name := wire.Val(in.Name)
	if err := checkName("Load balancer", name); err != nil {
		return err
	}
	if strings.HasPrefix(name, "internal-") {
		return invalid("Load balancer name '%s' cannot begin with 'internal-'", name)
	}
	switch kind := wire.Val(in.Type); kind {
	case "", resource.NetworkLoadBalancer, resource.ApplicationLoadBalancer:
	default:
		return unsupported("Load balancers of type '%s' are not supported by Isthmus yet; the types 'application' and 'network' are", kind)
	}
	switch scheme := wire.Val(in.Scheme); scheme {
	case "internal":
	case "", "internet-facing":
		return wire.Errorf(400, "InvalidScheme", "Isthmus has no internet side yet, so that load balancers cannot be "+
			"'internet-facing', which is the default; specify the scheme 'internal'")
	default:
		return wire.Errorf(400, "InvalidScheme", "The requested scheme is not valid")
	}
	if err := checkAddressType(in.IpAddressType); err != nil {
		return err
	}
	if wire.Val(in.CustomerOwnedIpv4Pool) != "" {
		return unsupported("Customer-owned address pools are not supported")
	}
	return checkSourceNAT(in.EnablePrefixForIpv6SourceNat)
}

func checkAddressType(kind *string) error {
	if t := wire.Val(kind); t != "" && t != "ipv4" {
		return unsupported("The IP address type '%s' is not supported by Isthmus yet; 'ipv4' is", t)
	}
	return nil
}

func checkSourceNAT(enabled *string) error {
	if wire.Val(enabled) == "on" {
		return unsupported("Source NAT prefixes are not supported for load balancers without IPv6")
	}
	return nil
}

// checkSecurityGroups checks the groups of a load balancer and returns them
// without repetitions.
func (s scope) checkSecurityGroups(r store.Reader, network string, ids []string) ([]string, error) {
	groups, err := vpc.CheckGroups(r, s.account, s.region, network, ids)
	if err != nil {
		return nil, networkError(err)
	}
	if len(groups) > maxSecurityGroups {
		return nil, unsupported("A load balancer can have at most %d security groups", maxSecurityGroups)
	}
	return groups, nil
}

// balancers are the load balancers of the scope, read-only and sorted by ARN
// and so by name.
func (s scope) balancers(r store.Reader) []*resource.LoadBalancer {
	return slices.Collect(store.LoadBalancers.ScanPrefix(r, s.arn(balancerPart)))
}

// balancerNamed is the load balancer with a name, of whatever type, read-only;
// nil if none.
func (s scope) balancerNamed(r store.Reader, name string) *resource.LoadBalancer {
	for _, kind := range typeParts {
		for lb := range store.LoadBalancers.ScanPrefix(r, s.arn(balancerPart+kind+name+"/")) {
			return lb
		}
	}
	return nil
}

// count is how many rows a scan has.
func count[T any](rows iter.Seq[T]) (n int) {
	for range rows {
		n++
	}
	return n
}

// DescribeLoadBalancers lists load balancers: all, or those with the given
// ARNs or names.
func (s *Service) DescribeLoadBalancers(ctx context.Context, in *api.DescribeLoadBalancersInput) (*api.DescribeLoadBalancersOutput, error) {
	sc, view := scopeOf(ctx), s.db.View()
	if len(in.LoadBalancerArns) > 0 && len(in.Names) > 0 {
		return nil, invalid("Load balancer ARNs and load balancer names cannot be specified at the same time")
	}
	var found []*resource.LoadBalancer
	switch {
	case len(in.LoadBalancerArns) > 0:
		for _, arn := range in.LoadBalancerArns {
			lb, err := sc.findBalancer(view, arn)
			if err != nil {
				return nil, err
			}
			found = append(found, lb)
		}
	case len(in.Names) > 0:
		for _, name := range in.Names {
			lb := sc.balancerNamed(view, name)
			if lb == nil {
				return nil, wire.Errorf(400, "LoadBalancerNotFound", "Load balancers '[%s]' not found", name)
			}
			found = append(found, lb)
		}
	default:
		found = sc.balancers(view)
	}
	found = sortUnique(found, (*resource.LoadBalancer).Key)
	shown, next, err := page(found, (*resource.LoadBalancer).Key, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	return &api.DescribeLoadBalancersOutput{LoadBalancers: showAll(shown, showBalancer), NextMarker: next}, nil
}

// DeleteLoadBalancer removes a load balancer with its listeners and network
// interfaces. That there is none is no error.
func (s *Service) DeleteLoadBalancer(ctx context.Context, in *api.DeleteLoadBalancerInput) (*api.DeleteLoadBalancerOutput, error) {
	sc, arn := scopeOf(ctx), wire.Val(in.LoadBalancerArn)
	if err := sc.checkBalancerARN(arn); err != nil {
		return nil, err
	}
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		lb, ok := store.LoadBalancers.Get(tx, arn)
		if !ok {
			return nil
		}
		if attributeOf(balancerAttributes(lb.Type), lb.Attributes, "deletion_protection.enabled") == "true" {
			return wire.Errorf(400, "OperationNotPermitted", "Load balancer '%s' cannot be deleted because deletion protection is enabled", arn)
		}
		if vpc.LoadBalancerInService(tx, arn) || isTarget(tx, arn) {
			return wire.Errorf(400, "ResourceInUse", "Load balancer '%s' cannot be deleted because it is currently associated with another service", arn)
		}
		for _, l := range listeners(tx, arn) {
			deleteListener(tx, l.ARN)
		}
		for _, z := range lb.Zones {
			deleteNode(tx, z)
		}
		store.LoadBalancers.Delete(tx, arn)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteLoadBalancerOutput{}, nil
}

func showBalancer(lb *resource.LoadBalancer) *api.LoadBalancer {
	out := &api.LoadBalancer{
		LoadBalancerArn:       wire.Ptr(lb.ARN),
		DNSName:               wire.Ptr(lb.DNSName),
		CanonicalHostedZoneId: wire.Ptr(hostedZone(lb.Type, lb.Region)),
		CreatedTime:           wire.Ptr(lb.Created),
		LoadBalancerName:      wire.Ptr(lb.Name),
		Scheme:                wire.Ptr(lb.Scheme),
		VpcId:                 wire.Ptr(lb.VPC),
		State:                 &api.LoadBalancerState{Code: wire.Ptr(lb.State)},
		Type:                  wire.Ptr(lb.Type),
		AvailabilityZones:     showZones(lb.Zones),
		SecurityGroups:        lb.Groups,
		IpAddressType:         wire.Ptr("ipv4"),
	}
	if len(lb.Groups) > 0 && lb.Type == resource.NetworkLoadBalancer {
		out.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic = wire.Ptr(onOff(lb.EnforceOnPrivateLink))
	}
	return out
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// now is the time of creation of a resource, in the precision that is shown.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// sortUnique sorts by key and drops repetitions.
func sortUnique[T any](list []T, key func(T) string) []T {
	slices.SortFunc(list, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	return slices.CompactFunc(list, func(a, b T) bool { return key(a) == key(b) })
}

// showAll shows a list; it is never nil, since AWS answers empty lists.
func showAll[R, W any](list []R, show func(R) W) []W {
	out := make([]W, len(list))
	for i, item := range list {
		out[i] = show(item)
	}
	return out
}

// sameSet says whether two lists hold the same strings.
func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

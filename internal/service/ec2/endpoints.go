package ec2

import (
	"context"
	"slices"

	"github.com/isthmus-net/isthmus/internal/policy"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// maxPolicy is AWS's limit of an endpoint policy, in characters.
const maxPolicy = 20480

// openPolicy is the policy of an endpoint that was given none.
const openPolicy = `{
  "Statement": [
    {
      "Action": "*", 
      "Effect": "Allow", 
      "Principal": "*", 
      "Resource": "*"
    }
  ]
}`

// CreateVpcEndpoint makes an interface endpoint.
func (s *Service) CreateVpcEndpoint(ctx context.Context, in *ec2.CreateVpcEndpointInput) (*ec2.CreateVpcEndpointOutput, error) {
	if err := first(
		checkPolicy(in.PolicyDocument),
		checkEndpointOptions(in.IpAddressType, in.DnsOptions, in.SubnetConfigurations),
	); err != nil {
		return nil, err
	}
	typ := wire.Val(in.VpcEndpointType)
	if typ == "" {
		typ = ec2.VpcEndpointTypeGateway // AWS's default
	}
	if len(in.SecurityGroupIds) > maxInterfaceGroups {
		return nil, errTooManyGroups()
	}
	tags, err := tagsFor(kindEndpoint.typ, in.TagSpecifications)
	if err != nil {
		return nil, err
	}
	var out *ec2.VpcEndpoint
	err = s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		if typ != ec2.VpcEndpointTypeInterface {
			return otherType(tx, c, typ, wire.Val(in.ServiceName))
		}
		private := wire.Val(in.PrivateDnsEnabled)
		if service, err := vpc.FindService(tx, c.account, c.region, wire.Val(in.ServiceName)); err == nil && in.PrivateDnsEnabled == nil {
			private = service.AWS != "" // AWS's default, which is no use where there are no private names
		}
		e, err := vpc.CreateEndpoint(tx, vpc.EndpointSpec{
			Account: c.account, Region: c.region, VPC: wire.Val(in.VpcId), ServiceName: wire.Val(in.ServiceName),
			Subnets: in.SubnetIds, Groups: in.SecurityGroupIds, Policy: wire.Val(in.PolicyDocument),
			PrivateDNS: private, Tags: tags,
		})
		if err != nil {
			return err
		}
		out = endpointShape(tx, e)
		return nil
	})
	return &ec2.CreateVpcEndpointOutput{VpcEndpoint: out, ClientToken: in.ClientToken}, err
}

// first returns the first error of several checks.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// otherType is the error for an endpoint that is not an interface endpoint.
func otherType(r store.Reader, c caller, typ, service string) error {
	if _, err := vpc.FindService(r, c.account, c.region, service); err == nil {
		return wire.Errorf(400, "InvalidParameter", "Endpoint type (%s) does not match available service types ([Interface]).", typ)
	}
	return unsupported("VPC endpoints of type %s are not supported, only those of type Interface.", typ)
}

func checkPolicy(document *string) error {
	switch {
	case document == nil || *document == "":
		return nil
	case len(*document) > maxPolicy:
		return invalidValue("The policy is longer than %d characters.", maxPolicy)
	}
	if _, err := policy.Parse([]byte(*document), policy.Options{MaxSize: maxPolicy}); err != nil {
		return wire.Errorf(400, "InvalidPolicyDocument", "The policy is not valid: %s", err)
	}
	return nil
}

func checkEndpointOptions(address *string, dns *ec2.DnsOptionsSpecification, subnets []*ec2.SubnetConfiguration) error {
	if t := wire.Val(address); t != "" && t != ec2.IpAddressTypeIpv4 {
		return unsupported("VPC endpoints have IPv4 addresses only.")
	}
	if dns != nil {
		if t := wire.Val(dns.DnsRecordIpType); t != "" && t != ec2.DnsRecordIpTypeIpv4 && t != ec2.DnsRecordIpTypeServiceDefined {
			return unsupported("VPC endpoints have IPv4 addresses only.")
		}
	}
	for _, c := range subnets {
		if c.Ipv4 != nil || c.Ipv6 != nil {
			return unsupported("The addresses of a VPC endpoint cannot be chosen.")
		}
	}
	return nil
}

// ModifyVpcEndpoint changes the subnets, groups and policy of an endpoint.
func (s *Service) ModifyVpcEndpoint(ctx context.Context, in *ec2.ModifyVpcEndpointInput) (*ec2.ModifyVpcEndpointOutput, error) {
	if err := first(
		checkPolicy(in.PolicyDocument),
		checkEndpointOptions(in.IpAddressType, in.DnsOptions, in.SubnetConfigurations),
	); err != nil {
		return nil, err
	}
	if len(in.AddRouteTableIds) > 0 || len(in.RemoveRouteTableIds) > 0 {
		return nil, wire.Errorf(400, "InvalidParameter", "Interface endpoints have no route tables.")
	}
	err := s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		e, err := find(tx, c, store.VPCEndpoints, kindEndpoint, wire.Val(in.VpcEndpointId))
		if err != nil {
			return err
		}
		if err := changePrivateDNS(tx, c, e, in.PrivateDnsEnabled); err != nil {
			return err
		}
		if wire.Val(in.ResetPolicy) {
			e.Policy = ""
		}
		if in.PolicyDocument != nil {
			e.Policy = *in.PolicyDocument
		}
		if err := changeGroups(tx, c, e, in.AddSecurityGroupIds, in.RemoveSecurityGroupIds); err != nil {
			return err
		}
		// First what goes, so that another subnet of the same zone can come.
		if err := vpc.RemoveEndpointSubnets(tx, e, in.RemoveSubnetIds); err != nil {
			return err
		}
		if err := vpc.AddEndpointSubnets(tx, e, in.AddSubnetIds); err != nil {
			return err
		}
		store.VPCEndpoints.Put(tx, e)
		return nil
	})
	return &ec2.ModifyVpcEndpointOutput{Return: wire.Ptr(true)}, err
}

func changePrivateDNS(r store.Reader, c caller, e *resource.VPCEndpoint, enabled *bool) error {
	if enabled == nil {
		return nil
	}
	if *enabled {
		v, err := vpc.FindVPC(r, c.account, c.region, e.VPC)
		if err != nil {
			return err
		}
		if err := vpc.CheckPrivateDNS(r, v, e.ServiceName, e.AWS, e.ID); err != nil {
			return err
		}
	}
	e.PrivateDNS = *enabled
	return nil
}

// changeGroups changes the groups of an endpoint and of its interfaces.
func changeGroups(tx *store.Tx, c caller, e *resource.VPCEndpoint, add, remove []string) error {
	if len(add) == 0 && len(remove) == 0 {
		return nil
	}
	for _, id := range remove {
		if !slices.Contains(e.Groups, id) {
			return kindGroup.notFound(id)
		}
	}
	kept := slices.DeleteFunc(slices.Clone(e.Groups), func(id string) bool { return slices.Contains(remove, id) })
	groups, err := vpc.CheckGroups(tx, c.account, c.region, e.VPC, append(kept, add...))
	if err != nil {
		return err
	}
	if len(groups) == 0 {
		return wire.Errorf(400, "InvalidParameter", "An interface endpoint must have at least one security group.")
	}
	if len(groups) > maxInterfaceGroups {
		return errTooManyGroups()
	}
	e.Groups = groups
	for _, id := range e.Interfaces {
		if n, ok := store.NetworkInterfaces.Get(tx, id); ok {
			n.Groups = groups
			store.NetworkInterfaces.Put(tx, n)
		}
	}
	return nil
}

// DeleteVpcEndpoints removes endpoints; those that do not exist are listed in
// the answer.
func (s *Service) DeleteVpcEndpoints(ctx context.Context, in *ec2.DeleteVpcEndpointsInput) (*ec2.DeleteVpcEndpointsOutput, error) {
	out := &ec2.DeleteVpcEndpointsOutput{}
	err := s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		var err error
		out.Unsuccessful, err = eachOf(in.VpcEndpointIds, func(id string) error {
			if _, err := find(tx, c, store.VPCEndpoints, kindEndpoint, id); err != nil {
				return wire.Errorf(400, "InvalidVpcEndpoint.NotFound", "The Vpc Endpoint Id '%s' does not exist", id)
			}
			vpc.DeleteEndpoint(tx, id)
			return nil
		})
		return err
	})
	return out, err
}

// DescribeVpcEndpoints lists endpoints.
func (s *Service) DescribeVpcEndpoints(ctx context.Context, in *ec2.DescribeVpcEndpointsInput) (*ec2.DescribeVpcEndpointsOutput, error) {
	r := s.db.View()
	rows, err := pick(r, callerOf(ctx), store.VPCEndpoints, kindEndpoint, in.VpcEndpointIds)
	if err != nil {
		return nil, err
	}
	items := shapes(rows, func(e *resource.VPCEndpoint) *ec2.VpcEndpoint { return endpointShape(r, e) })
	page, next, err := endpointListing.apply(items, in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeVpcEndpointsOutput{VpcEndpoints: page, NextToken: next}, err
}

func endpointShape(r store.Reader, e *resource.VPCEndpoint) *ec2.VpcEndpoint {
	policy := e.Policy
	if policy == "" {
		policy = openPolicy
	}
	return &ec2.VpcEndpoint{
		VpcEndpointId:       &e.ID,
		VpcEndpointType:     wire.Ptr(ec2.VpcEndpointTypeInterface),
		VpcId:               &e.VPC,
		OwnerId:             &e.Account,
		ServiceName:         &e.ServiceName,
		State:               wire.Ptr(string(e.State)),
		PolicyDocument:      &policy,
		SubnetIds:           e.Subnets,
		NetworkInterfaceIds: e.Interfaces,
		IpAddressType:       wire.Ptr(ec2.IpAddressTypeIpv4),
		DnsOptions:          &ec2.DnsOptions{DnsRecordIpType: wire.Ptr(ec2.DnsRecordIpTypeIpv4)},
		DnsEntries:          dnsEntries(r, e),
		PrivateDnsEnabled:   &e.PrivateDNS,
		RequesterManaged:    wire.Ptr(e.ManagedBy != ""),
		CreationTimestamp:   &e.Created,
		Tags:                tagList(e.Tags),
		Groups: shapes(e.Groups, func(id string) *ec2.SecurityGroupIdentifier {
			out := &ec2.SecurityGroupIdentifier{GroupId: wire.Ptr(id)}
			if g, ok := store.SecurityGroups.Get(r, id); ok {
				out.GroupName = &g.Name
			}
			return out
		}),
	}
}

func dnsEntries(r store.Reader, e *resource.VPCEndpoint) []*ec2.DnsEntry {
	var zones []string
	for _, id := range e.Subnets {
		if s, ok := store.Subnets.Get(r, id); ok {
			zones = append(zones, s.Zone)
		}
	}
	return shapes(vpc.EndpointDNS(e, zones), func(d vpc.DNSEntry) *ec2.DnsEntry {
		return &ec2.DnsEntry{DnsName: wire.Ptr(d.Name), HostedZoneId: optional(d.HostedZone)}
	})
}

var endpointListing = listing[*ec2.VpcEndpoint]{
	id:   func(e *ec2.VpcEndpoint) *string { return e.VpcEndpointId },
	tags: func(e *ec2.VpcEndpoint) []*ec2.Tag { return e.Tags },
	fields: fields[*ec2.VpcEndpoint]{
		"ip-address-type":    func(e *ec2.VpcEndpoint) []string { return text(e.IpAddressType) },
		"service-name":       func(e *ec2.VpcEndpoint) []string { return text(e.ServiceName) },
		"vpc-endpoint-id":    func(e *ec2.VpcEndpoint) []string { return text(e.VpcEndpointId) },
		"vpc-endpoint-state": func(e *ec2.VpcEndpoint) []string { return text(e.State) },
		"vpc-endpoint-type":  func(e *ec2.VpcEndpoint) []string { return text(e.VpcEndpointType) },
		"vpc-id":             func(e *ec2.VpcEndpoint) []string { return text(e.VpcId) },
		"service-region":     never[*ec2.VpcEndpoint],
	},
}

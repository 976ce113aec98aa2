package ec2

import (
	"context"
	"errors"
	"regexp"
	"slices"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// CreateVpcEndpointServiceConfiguration offers Network Load Balancers to other
// accounts.
func (s *Service) CreateVpcEndpointServiceConfiguration(ctx context.Context, in *ec2.CreateVpcEndpointServiceConfigurationInput) (*ec2.CreateVpcEndpointServiceConfigurationOutput, error) {
	if len(in.GatewayLoadBalancerArns) > 0 {
		return nil, unsupported("Gateway Load Balancers are not supported.")
	}
	if err := checkServiceOptions(in.PrivateDnsName, in.SupportedIpAddressTypes); err != nil {
		return nil, err
	}
	tags, err := tagsFor(kindService.typ, in.TagSpecifications)
	if err != nil {
		return nil, err
	}
	// AWS wants each connection to be accepted unless told otherwise.
	acceptance := in.AcceptanceRequired == nil || *in.AcceptanceRequired
	var out *ec2.ServiceConfiguration
	err = s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		service, err := vpc.CreateEndpointService(tx, vpc.ServiceSpec{
			Account: c.account, Region: c.region, LoadBalancers: in.NetworkLoadBalancerArns, AcceptanceRequired: acceptance, Tags: tags,
		})
		if err != nil {
			return err
		}
		out = serviceShape(tx, service)
		return nil
	})
	return &ec2.CreateVpcEndpointServiceConfigurationOutput{ServiceConfiguration: out, ClientToken: in.ClientToken}, err
}

func checkServiceOptions(privateDNS *string, addressTypes []string) error {
	if wire.Val(privateDNS) != "" {
		return unsupported("Private DNS names of endpoint services are not supported.")
	}
	if slices.ContainsFunc(addressTypes, func(t string) bool { return t != ec2.ServiceConnectivityTypeIpv4 }) {
		return unsupported("Endpoint services support IPv4 only.")
	}
	return nil
}

// ModifyVpcEndpointServiceConfiguration changes whether connections must be
// accepted, and the load balancers. Those can be taken away only while nothing
// is connected.
func (s *Service) ModifyVpcEndpointServiceConfiguration(ctx context.Context, in *ec2.ModifyVpcEndpointServiceConfigurationInput) (*ec2.ModifyVpcEndpointServiceConfigurationOutput, error) {
	if len(in.AddGatewayLoadBalancerArns) > 0 || len(in.RemoveGatewayLoadBalancerArns) > 0 {
		return nil, unsupported("Gateway Load Balancers are not supported.")
	}
	if err := checkServiceOptions(in.PrivateDnsName, in.AddSupportedIpAddressTypes); err != nil {
		return nil, err
	}
	err := s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		service, err := find(tx, c, store.EndpointServices, kindService, wire.Val(in.ServiceId))
		if err != nil {
			return err
		}
		if in.AcceptanceRequired != nil {
			service.AcceptanceRequired = *in.AcceptanceRequired
		}
		if err := vpc.AddLoadBalancers(tx, service, in.AddNetworkLoadBalancerArns); err != nil {
			return err
		}
		if err := vpc.RemoveLoadBalancers(tx, service, in.RemoveNetworkLoadBalancerArns); err != nil {
			return err
		}
		store.EndpointServices.Put(tx, service)
		return nil
	})
	return &ec2.ModifyVpcEndpointServiceConfigurationOutput{Return: wire.Ptr(true)}, err
}

// DeleteVpcEndpointServiceConfigurations removes services; those that can't be
// removed are listed in the answer.
func (s *Service) DeleteVpcEndpointServiceConfigurations(ctx context.Context, in *ec2.DeleteVpcEndpointServiceConfigurationsInput) (*ec2.DeleteVpcEndpointServiceConfigurationsOutput, error) {
	out := &ec2.DeleteVpcEndpointServiceConfigurationsOutput{}
	err := s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		var err error
		out.Unsuccessful, err = eachOf(in.ServiceIds, func(id string) error {
			if _, err := find(tx, c, store.EndpointServices, kindService, id); err != nil {
				return wire.Errorf(400, "InvalidVpcEndpointService.NotFound", "The VpcEndpointService Id '%s' does not exist", id)
			}
			return vpc.DeleteEndpointService(tx, id)
		})
		return err
	})
	return out, err
}

// eachOf does something with each of several resources and lists those for
// which it failed, as EC2's operations on several do.
func eachOf(ids []string, do func(id string) error) ([]*ec2.UnsuccessfulItem, error) {
	var failed []*ec2.UnsuccessfulItem
	for _, id := range ids {
		err := do(id)
		if err == nil {
			continue
		}
		var e *wire.Error
		if !errors.As(err, &e) {
			return nil, err
		}
		failed = append(failed, &ec2.UnsuccessfulItem{
			ResourceId: wire.Ptr(id), Error: &ec2.UnsuccessfulItemError{Code: &e.Code, Message: &e.Message},
		})
	}
	return failed, nil
}

// DescribeVpcEndpointServiceConfigurations lists the services that the caller
// offers.
func (s *Service) DescribeVpcEndpointServiceConfigurations(ctx context.Context, in *ec2.DescribeVpcEndpointServiceConfigurationsInput) (*ec2.DescribeVpcEndpointServiceConfigurationsOutput, error) {
	r := s.db.View()
	rows, err := pick(r, callerOf(ctx), store.EndpointServices, kindService, in.ServiceIds)
	if err != nil {
		return nil, err
	}
	items := shapes(rows, func(e *resource.EndpointService) *ec2.ServiceConfiguration { return serviceShape(r, e) })
	page, next, err := serviceListing.apply(items, in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeVpcEndpointServiceConfigurationsOutput{ServiceConfigurations: page, NextToken: next}, err
}

func serviceShape(r store.Reader, e *resource.EndpointService) *ec2.ServiceConfiguration {
	return &ec2.ServiceConfiguration{
		ServiceId:               &e.ID,
		ServiceName:             wire.Ptr(e.Name()),
		ServiceType:             interfaceService(),
		ServiceState:            wire.Ptr(string(e.State)),
		AvailabilityZones:       vpc.ServiceZones(r, e),
		AcceptanceRequired:      &e.AcceptanceRequired,
		ManagesVpcEndpoints:     wire.Ptr(false),
		NetworkLoadBalancerArns: e.LoadBalancers,
		SupportedIpAddressTypes: []string{ec2.ServiceConnectivityTypeIpv4},
		BaseEndpointDnsNames:    []string{resource.EndpointDomain(e.ID, e.Region)},
		Tags:                    tagList(e.Tags),
	}
}

func interfaceService() []*ec2.ServiceTypeDetail {
	return []*ec2.ServiceTypeDetail{{ServiceType: wire.Ptr(ec2.ServiceTypeInterface)}}
}

var serviceListing = listing[*ec2.ServiceConfiguration]{
	id:   func(e *ec2.ServiceConfiguration) *string { return e.ServiceId },
	tags: func(e *ec2.ServiceConfiguration) []*ec2.Tag { return e.Tags },
	fields: fields[*ec2.ServiceConfiguration]{
		"service-id":                 func(e *ec2.ServiceConfiguration) []string { return text(e.ServiceId) },
		"service-name":               func(e *ec2.ServiceConfiguration) []string { return text(e.ServiceName) },
		"service-state":              func(e *ec2.ServiceConfiguration) []string { return text(e.ServiceState) },
		"supported-ip-address-types": func(e *ec2.ServiceConfiguration) []string { return e.SupportedIpAddressTypes },
	},
}

// DescribeVpcEndpointServices lists the services that the caller may connect
// to, by anybody's offer.
func (s *Service) DescribeVpcEndpointServices(ctx context.Context, in *ec2.DescribeVpcEndpointServicesInput) (*ec2.DescribeVpcEndpointServicesOutput, error) {
	c, r := callerOf(ctx), s.db.View()
	for _, name := range in.ServiceNames {
		if _, err := vpc.FindService(r, c.account, c.region, name); err != nil {
			return nil, err
		}
	}
	var items []*ec2.ServiceDetail
	for e := range store.EndpointServices.Scan(r) {
		if e.Region != c.region || !vpc.Allowed(e, c.account) || len(in.ServiceNames) > 0 && !slices.Contains(in.ServiceNames, e.Name()) {
			continue
		}
		d := &ec2.ServiceDetail{
			ServiceId:                  &e.ID,
			ServiceName:                wire.Ptr(e.Name()),
			ServiceType:                interfaceService(),
			AvailabilityZones:          vpc.ServiceZones(r, e),
			Owner:                      &e.Account,
			BaseEndpointDnsNames:       []string{resource.EndpointDomain(e.ID, e.Region)},
			VpcEndpointPolicySupported: wire.Ptr(false),
			AcceptanceRequired:         &e.AcceptanceRequired,
			ManagesVpcEndpoints:        wire.Ptr(false),
			SupportedIpAddressTypes:    []string{ec2.ServiceConnectivityTypeIpv4},
		}
		if e.AWS != "" {
			d.Owner = wire.Ptr("amazon")
			d.BaseEndpointDnsNames = []string{resource.EndpointDomain(e.AWS, e.Region)}
			d.VpcEndpointPolicySupported = wire.Ptr(true)
			name := "*." + e.AWS + "." + e.Region + ".amazonaws.com"
			d.PrivateDnsName = &name
			d.PrivateDnsNames = []*ec2.PrivateDnsDetails{{PrivateDnsName: &name}}
			d.PrivateDnsNameVerificationState = wire.Ptr(ec2.DnsNameStateVerified)
		}
		if c.owns(e.Metadata()) {
			d.Tags = tagList(e.Tags)
		}
		items = append(items, d)
	}
	page, next, err := offerListing.apply(items, in.Filters, in.MaxResults, in.NextToken)
	out := &ec2.DescribeVpcEndpointServicesOutput{ServiceDetails: page, NextToken: next}
	for _, d := range page {
		out.ServiceNames = append(out.ServiceNames, *d.ServiceName)
	}
	return out, err
}

var offerListing = listing[*ec2.ServiceDetail]{
	id:   func(d *ec2.ServiceDetail) *string { return d.ServiceId },
	tags: func(d *ec2.ServiceDetail) []*ec2.Tag { return d.Tags },
	fields: fields[*ec2.ServiceDetail]{
		"owner":                      func(d *ec2.ServiceDetail) []string { return text(d.Owner) },
		"service-name":               func(d *ec2.ServiceDetail) []string { return text(d.ServiceName) },
		"service-type":               always[*ec2.ServiceDetail](ec2.ServiceTypeInterface),
		"supported-ip-address-types": func(d *ec2.ServiceDetail) []string { return d.SupportedIpAddressTypes },
	},
}

// principal is the form of an account, user or role, without a path.
var principal = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:(root|user/[^/*]+|role/[^/*]+)$`)

// principalType is what EC2 calls a principal of this form.
func principalType(p string) string {
	m := principal.FindStringSubmatch(p)
	switch {
	case m == nil:
		return ec2.PrincipalTypeAll
	case m[1] == "root":
		return ec2.PrincipalTypeAccount
	case m[1][:4] == "user":
		return ec2.PrincipalTypeUser
	}
	return ec2.PrincipalTypeRole
}

func permissionID(service, principal string) *string {
	return wire.Ptr(vpc.StableID("vpce-svc-perm", service, principal))
}

// ModifyVpcEndpointServicePermissions changes who may connect to a service.
// Connections that exist stay.
func (s *Service) ModifyVpcEndpointServicePermissions(ctx context.Context, in *ec2.ModifyVpcEndpointServicePermissionsInput) (*ec2.ModifyVpcEndpointServicePermissionsOutput, error) {
	for _, p := range in.AddAllowedPrincipals {
		if p != "*" && !principal.MatchString(p) {
			return nil, wire.Errorf(400, "InvalidPrincipal", "Invalid Principal: '%s'", p)
		}
	}
	out := &ec2.ModifyVpcEndpointServicePermissionsOutput{ReturnValue: wire.Ptr(true)}
	err := s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		service, err := find(tx, c, store.EndpointServices, kindService, wire.Val(in.ServiceId))
		if err != nil {
			return err
		}
		out.AddedPrincipals = nil
		for _, p := range in.AddAllowedPrincipals {
			if slices.Contains(service.AllowedPrincipals, p) {
				continue
			}
			service.AllowedPrincipals = append(service.AllowedPrincipals, p)
			out.AddedPrincipals = append(out.AddedPrincipals, &ec2.AddedPrincipal{
				Principal: wire.Ptr(p), PrincipalType: wire.Ptr(principalType(p)),
				ServiceId: &service.ID, ServicePermissionId: permissionID(service.ID, p),
			})
		}
		service.AllowedPrincipals = slices.DeleteFunc(service.AllowedPrincipals, func(p string) bool {
			return slices.Contains(in.RemoveAllowedPrincipals, p)
		})
		store.EndpointServices.Put(tx, service)
		return nil
	})
	return out, err
}

// DescribeVpcEndpointServicePermissions lists who may connect to a service.
func (s *Service) DescribeVpcEndpointServicePermissions(ctx context.Context, in *ec2.DescribeVpcEndpointServicePermissionsInput) (*ec2.DescribeVpcEndpointServicePermissionsOutput, error) {
	service, err := find(s.db.View(), callerOf(ctx), store.EndpointServices, kindService, wire.Val(in.ServiceId))
	if err != nil {
		return nil, err
	}
	items := shapes(sortedUnique(service.AllowedPrincipals), func(p string) *ec2.AllowedPrincipal {
		return &ec2.AllowedPrincipal{
			Principal: wire.Ptr(p), PrincipalType: wire.Ptr(principalType(p)),
			ServiceId: &service.ID, ServicePermissionId: permissionID(service.ID, p), Tags: tagList(nil),
		}
	})
	page, next, err := principalListing.apply(items, in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeVpcEndpointServicePermissionsOutput{AllowedPrincipals: page, NextToken: next}, err
}

var principalListing = listing[*ec2.AllowedPrincipal]{
	id: func(p *ec2.AllowedPrincipal) *string { return p.Principal },
	fields: fields[*ec2.AllowedPrincipal]{
		"principal":      func(p *ec2.AllowedPrincipal) []string { return text(p.Principal) },
		"principal-type": func(p *ec2.AllowedPrincipal) []string { return text(p.PrincipalType) },
	},
}

package ec2

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// A connection of a service is what its owner sees of an endpoint that somebody
// made to it.

// AcceptVpcEndpointConnections lets endpoints that wait for acceptance, or were
// rejected, connect to a service.
func (s *Service) AcceptVpcEndpointConnections(ctx context.Context, in *ec2.AcceptVpcEndpointConnectionsInput) (*ec2.AcceptVpcEndpointConnectionsOutput, error) {
	failed, err := s.decide(ctx, in.DryRun, in.ServiceId, in.VpcEndpointIds, func(e *resource.VPCEndpoint) error {
		switch e.State {
		case resource.EndpointPendingAcceptance, resource.EndpointRejected:
			e.State = resource.EndpointPending
			return nil
		}
		return invalidState(e)
	})
	return &ec2.AcceptVpcEndpointConnectionsOutput{Unsuccessful: failed}, err
}

// RejectVpcEndpointConnections refuses endpoints, also ones that are connected.
func (s *Service) RejectVpcEndpointConnections(ctx context.Context, in *ec2.RejectVpcEndpointConnectionsInput) (*ec2.RejectVpcEndpointConnectionsOutput, error) {
	failed, err := s.decide(ctx, in.DryRun, in.ServiceId, in.VpcEndpointIds, func(e *resource.VPCEndpoint) error {
		switch e.State {
		case resource.EndpointPendingAcceptance, resource.EndpointPending, resource.EndpointAvailable:
			e.State = resource.EndpointRejected
			return nil
		}
		return invalidState(e)
	})
	return &ec2.RejectVpcEndpointConnectionsOutput{Unsuccessful: failed}, err
}

func invalidState(e *resource.VPCEndpoint) error {
	return wire.Errorf(400, "InvalidState", "The VPC endpoint '%s' is in state '%s', which does not allow this.", e.ID, e.State)
}

// decide changes the state of endpoints of a service of the caller's.
func (s *Service) decide(ctx context.Context, dryRun *bool, service *string, ids []string, change func(*resource.VPCEndpoint) error) ([]*ec2.UnsuccessfulItem, error) {
	var failed []*ec2.UnsuccessfulItem
	err := s.update(ctx, dryRun, func(tx *store.Tx, c caller) error {
		owned, err := find(tx, c, store.EndpointServices, kindService, wire.Val(service))
		if err != nil {
			return err
		}
		failed, err = eachOf(ids, func(id string) error {
			e, ok := store.VPCEndpoints.Get(tx, id)
			if !ok || e.Service != owned.ID {
				return kindEndpoint.notFound(id)
			}
			if err := change(e); err != nil {
				return err
			}
			store.VPCEndpoints.Put(tx, e)
			return nil
		})
		return err
	})
	return failed, err
}

// DescribeVpcEndpointConnections lists the connections of the caller's
// services.
func (s *Service) DescribeVpcEndpointConnections(ctx context.Context, in *ec2.DescribeVpcEndpointConnectionsInput) (*ec2.DescribeVpcEndpointConnectionsOutput, error) {
	c, r := callerOf(ctx), s.db.View()
	var items []*ec2.VpcEndpointConnection
	for e := range store.VPCEndpoints.Scan(r) {
		service, ok := store.EndpointServices.Get(r, e.Service)
		if !ok || !c.owns(service.Metadata()) {
			continue
		}
		items = append(items, &ec2.VpcEndpointConnection{
			ServiceId:               &e.Service,
			VpcEndpointId:           &e.ID,
			VpcEndpointOwner:        &e.Account,
			VpcEndpointState:        wire.Ptr(string(e.State)),
			CreationTimestamp:       &e.Created,
			DnsEntries:              dnsEntries(r, e),
			NetworkLoadBalancerArns: service.LoadBalancers,
			IpAddressType:           wire.Ptr(ec2.IpAddressTypeIpv4),
		})
	}
	page, next, err := connectionListing.apply(items, in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeVpcEndpointConnectionsOutput{VpcEndpointConnections: page, NextToken: next}, err
}

var connectionListing = listing[*ec2.VpcEndpointConnection]{
	id: func(x *ec2.VpcEndpointConnection) *string { return x.VpcEndpointId },
	fields: fields[*ec2.VpcEndpointConnection]{
		"ip-address-type":    func(x *ec2.VpcEndpointConnection) []string { return text(x.IpAddressType) },
		"service-id":         func(x *ec2.VpcEndpointConnection) []string { return text(x.ServiceId) },
		"vpc-endpoint-id":    func(x *ec2.VpcEndpointConnection) []string { return text(x.VpcEndpointId) },
		"vpc-endpoint-owner": func(x *ec2.VpcEndpointConnection) []string { return text(x.VpcEndpointOwner) },
		"vpc-endpoint-state": func(x *ec2.VpcEndpointConnection) []string { return text(x.VpcEndpointState) },
	},
}

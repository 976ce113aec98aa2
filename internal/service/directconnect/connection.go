package directconnect

import (
	"context"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/directconnect"
)

// bandwidths are those that AWS knows. They limit nothing here.
var bandwidths = []string{"50Mbps", "100Mbps", "200Mbps", "300Mbps", "400Mbps", "500Mbps", "1Gbps", "2Gbps", "5Gbps", "10Gbps", "25Gbps", "100Gbps", "400Gbps"}

// ports are the bandwidths of dedicated connections.
var ports = []string{"1G", "10G", "100G", "400G"}

// location is the one location of a region, which is this machine.
func location(region string) *api.Location {
	return &api.Location{
		LocationCode: wire.Ptr("isthmus"), LocationName: wire.Ptr("This machine"), Region: &region,
		AvailablePortSpeeds: ports, AvailableProviders: []string{}, AvailableMacSecPortSpeeds: []string{},
	}
}

// DescribeLocations names the one location.
func (s *Service) DescribeLocations(ctx context.Context, _ *api.DescribeLocationsInput) (*api.DescribeLocationsOutput, error) {
	return &api.DescribeLocationsOutput{Locations: []*api.Location{location(scopeOf(ctx).region)}}, nil
}

// CreateConnection makes a connection. Any location will do: what is written
// for AWS names one of AWS's.
func (s *Service) CreateConnection(ctx context.Context, in *api.CreateConnectionInput) (*api.Connection, error) {
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	switch {
	case in.LagId != nil:
		return nil, invalid("Link aggregation groups are not supported.")
	case wire.Val(in.RequestMACSec):
		return nil, invalid("MAC Security is not supported.")
	case !slices.Contains(bandwidths, *in.Bandwidth):
		return nil, invalid("Bandwidth %s is not valid. Valid values are: %s.", *in.Bandwidth, strings.Join(bandwidths, ", "))
	case *in.ConnectionName == "" || *in.Location == "":
		return nil, invalid("Connection name and location must not be empty.")
	}
	c := &resource.DXConnection{
		Meta: scopeOf(ctx).meta(tags), ID: newID("dxcon"), Name: *in.ConnectionName, Location: *in.Location,
		Bandwidth: *in.Bandwidth, Provider: wire.Val(in.ProviderName),
	}
	if _, err := s.db.Update(ctx, func(tx *store.Tx) error {
		store.DXConnections.Put(tx, c)
		return nil
	}); err != nil {
		return nil, err
	}
	return showConnection(c, api.ConnectionStateAvailable), nil
}

func (sc scope) findConnection(r store.Reader, id string) (*resource.DXConnection, error) {
	if c, ok := store.DXConnections.Get(r, id); ok && sc.owns(c.Meta) {
		return c, nil
	}
	return nil, invalid("Could not find Connection with ID %s", id)
}

// DescribeConnections lists connections.
func (s *Service) DescribeConnections(ctx context.Context, in *api.DescribeConnectionsInput) (*api.Connections, error) {
	sc, view := scopeOf(ctx), s.db.View()
	out := &api.Connections{Connections: []*api.Connection{}}
	if in.ConnectionId != nil {
		c, err := sc.findConnection(view, *in.ConnectionId)
		if err != nil {
			return nil, err
		}
		out.Connections = append(out.Connections, showConnection(c, api.ConnectionStateAvailable))
		return out, nil
	}
	for c := range store.DXConnections.Scan(view) {
		if sc.owns(c.Meta) {
			out.Connections = append(out.Connections, showConnection(c, api.ConnectionStateAvailable))
		}
	}
	return out, nil
}

// DeleteConnection removes a connection that has no virtual interfaces.
func (s *Service) DeleteConnection(ctx context.Context, in *api.DeleteConnectionInput) (*api.Connection, error) {
	var c *resource.DXConnection
	_, err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if c, err = scopeOf(ctx).findConnection(tx, *in.ConnectionId); err != nil {
			return err
		}
		for v := range store.VirtualInterfaces.Scan(tx) {
			if v.Connection == c.ID {
				return invalid("Connection %s has virtual interface %s and cannot be deleted.", c.ID, v.ID)
			}
		}
		store.DXConnections.Delete(tx, c.ID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showConnection(c, api.ConnectionStateDeleted), nil
}

func showConnection(c *resource.DXConnection, state string) *api.Connection {
	return &api.Connection{
		OwnerAccount: &c.Account, ConnectionId: &c.ID, ConnectionName: &c.Name, ConnectionState: &state, Region: &c.Region,
		Location: &c.Location, Bandwidth: &c.Bandwidth, ProviderName: optional(c.Provider), JumboFrameCapable: wire.Ptr(true),
		HasLogicalRedundancy: wire.Ptr(api.HasLogicalRedundancyNo), MacSecCapable: wire.Ptr(false), Tags: showTags(c.Tags),
	}
}

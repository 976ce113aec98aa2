package apigatewayv2

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	v1 "github.com/isthmus-net/isthmus/internal/service/apigateway"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigatewayv2"
)

// CreateVpcLink makes a link into subnets of one VPC, under security groups of
// that VPC. Neither can be changed later.
func (s *Service) CreateVpcLink(ctx context.Context, in *api.CreateVpcLinkInput) (*api.CreateVpcLinkOutput, error) {
	if err := v1.CheckTags(in.Tags); err != nil {
		return nil, err
	}
	l := &resource.VPCLinkV2{
		Meta: newMeta(ctx, in.Tags), Name: wire.Val(in.Name),
		Subnets: unique(in.SubnetIds), Groups: unique(in.SecurityGroupIds),
		Status: resource.VPCLinkPending, StatusMessage: "VPC link is provisioning ENIs",
	}
	if err := checkLinkName(l.Name); err != nil {
		return nil, err
	}
	err := s.update(ctx, func(tx *store.Tx) error {
		if err := placeLink(ctx, tx, l); err != nil {
			return err
		}
		l.ID = newID(6, func(id string) bool {
			_, first := store.VPCLinksV1.Get(tx, id)
			_, second := store.VPCLinksV2.Get(tx, id)
			return !first && !second
		})
		store.VPCLinksV2.Put(tx, l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return (*api.CreateVpcLinkOutput)(showVPCLink(l)), nil
}

// maxSubnets is AWS's limit of subnets per link.
const maxSubnets = 10

// placeLink checks a link's subnets and groups and sets its VPC.
func placeLink(ctx context.Context, r store.Reader, l *resource.VPCLinkV2) error {
	if len(l.Subnets) == 0 {
		return badRequest("At least one subnet id should be provided.")
	}
	if len(l.Subnets) > maxSubnets {
		return badRequest("A VPC link can have at most %d subnets.", maxSubnets)
	}
	l.VPC = ""
	for _, id := range l.Subnets {
		sn, ok := store.Subnets.Get(r, id)
		if !ok || !owned(ctx, sn.Meta) {
			return badRequest("The subnet ID '%s' does not exist", id)
		}
		if l.VPC != "" && l.VPC != sn.VPC {
			return badRequest("All subnets of a VPC link should be in the same VPC: subnet '%s' is in '%s', not in '%s'", id, sn.VPC, l.VPC)
		}
		l.VPC = sn.VPC
	}
	for _, id := range l.Groups {
		g, ok := store.SecurityGroups.Get(r, id)
		if !ok || !owned(ctx, g.Meta) {
			return badRequest("The security group '%s' does not exist", id)
		}
		if g.VPC != l.VPC {
			return badRequest("The security group '%s' does not exist in VPC '%s'", id, l.VPC)
		}
	}
	return nil
}

func checkLinkName(name string) error {
	if n := len(name); n < 1 || n > 128 || strings.TrimSpace(name) == "" {
		return badRequest("Name should have 1 to 128 characters.")
	}
	return nil
}

// unique returns a list without repetitions, in its order.
func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// GetVpcLink shows a link.
func (s *Service) GetVpcLink(ctx context.Context, in *api.GetVpcLinkInput) (*api.GetVpcLinkOutput, error) {
	l, err := findVPCLink(ctx, s.db.View(), in.VpcLinkId)
	if err != nil {
		return nil, err
	}
	return (*api.GetVpcLinkOutput)(showVPCLink(l)), nil
}

// GetVpcLinks lists the caller's links.
func (s *Service) GetVpcLinks(ctx context.Context, in *api.GetVpcLinksInput) (*api.GetVpcLinksOutput, error) {
	var mine []*resource.VPCLinkV2
	for l := range store.VPCLinksV2.Scan(s.db.View()) {
		if owned(ctx, l.Meta) {
			mine = append(mine, l)
		}
	}
	rows, next, err := page(mine, (*resource.VPCLinkV2).Key, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &api.GetVpcLinksOutput{NextToken: next, Items: []*api.VpcLink{}}
	for _, l := range rows {
		out.Items = append(out.Items, showVPCLink(l))
	}
	return out, nil
}

// UpdateVpcLink renames a link.
func (s *Service) UpdateVpcLink(ctx context.Context, in *api.UpdateVpcLinkInput) (*api.UpdateVpcLinkOutput, error) {
	var l *resource.VPCLinkV2
	err := s.update(ctx, func(tx *store.Tx) (err error) {
		if l, err = findVPCLink(ctx, tx, in.VpcLinkId); err != nil {
			return err
		}
		change(&l.Name, in.Name)
		if err := checkLinkName(l.Name); err != nil {
			return err
		}
		store.VPCLinksV2.Put(tx, l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return (*api.UpdateVpcLinkOutput)(showVPCLink(l)), nil
}

// DeleteVpcLink begins the removal of a link that nothing refers to by its id,
// and no program uses.
func (s *Service) DeleteVpcLink(ctx context.Context, in *api.DeleteVpcLinkInput) (*api.DeleteVpcLinkOutput, error) {
	err := s.update(ctx, func(tx *store.Tx) error {
		l, err := findVPCLink(ctx, tx, in.VpcLinkId)
		if err != nil {
			return err
		}
		if refs := references(tx, l.ID); len(refs) > 0 {
			return badRequest("Cannot delete vpc link. Vpc link '%s', is referenced in [%s] in format of [Method:Resource].", l.ID, strings.Join(refs, ", "))
		}
		if refs := v1.DeployedReferences(tx, l.ID); len(refs) > 0 {
			return badRequest("Cannot delete vpc link. Vpc link '%s', is referenced in [%s] in format of [RESTApiId:Method:Resource:Stage].", l.ID, strings.Join(refs, ", "))
		}
		if programs := users(tx, l.ID); len(programs) > 0 {
			return badRequest("Cannot delete vpc link. Vpc link '%s', is used by [%s] in format of [Instance].", l.ID, strings.Join(programs, ", "))
		}
		l.Status, l.StatusMessage = resource.VPCLinkDeleting, "VPC link is deleting ENIs"
		store.VPCLinksV2.Put(tx, l)
		return nil
	})
	return &api.DeleteVpcLinkOutput{}, err
}

// references lists where HTTP APIs refer to a link by its id: method and route
// of what leads to an integration with the link; method and id of an
// integration that no route leads to. Deployed stages don't count: one that
// has lost its last route keeps the deployment that it had.
func references(r store.Reader, link string) []string {
	var refs []string
	for i := range store.HTTPIntegrations.Scan(r) {
		if i.ConnectionType != "VPC_LINK" || i.ConnectionID != link {
			continue
		}
		used := false
		for route := range store.HTTPRoutes.ScanPrefix(r, i.API+"/") {
			if route.Integration == i.ID {
				method, _, ok := strings.Cut(route.RouteKey, " ")
				if !ok { // $default
					method = "ANY"
				}
				refs = append(refs, fmt.Sprintf("%s:%s", method, route.ID))
				used = true
			}
		}
		if !used {
			refs = append(refs, fmt.Sprintf("%s:%s", i.Method, i.ID))
		}
	}
	return refs
}

// users lists the programs that "isthmus run" has started behind a link.
func users(r store.Reader, link string) (ids []string) {
	for i := range store.Instances.Scan(r) {
		if i.Link == link {
			ids = append(ids, i.ID)
		}
	}
	return ids
}

func findVPCLink(ctx context.Context, r store.Reader, id *string) (*resource.VPCLinkV2, error) {
	l, ok := store.VPCLinksV2.Get(r, wire.Val(id))
	if !ok || !owned(ctx, l.Meta) {
		return nil, notFound("Invalid VpcLink identifier specified %s", wire.Val(id))
	}
	return l, nil
}

// showVPCLink is a link on the wire.
func showVPCLink(l *resource.VPCLinkV2) *api.VpcLink {
	groups := l.Groups
	if groups == nil {
		groups = []string{}
	}
	return &api.VpcLink{
		CreatedDate:          &l.Created,
		Name:                 &l.Name,
		SecurityGroupIds:     groups,
		SubnetIds:            l.Subnets,
		Tags:                 full(l.Tags),
		VpcLinkId:            &l.ID,
		VpcLinkStatus:        wire.Ptr(string(l.Status)),
		VpcLinkStatusMessage: optional(l.StatusMessage),
		VpcLinkVersion:       wire.Ptr("V2"),
	}
}

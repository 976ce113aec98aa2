package apigateway

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

// CreateVpcLink makes a link to one Network Load Balancer. A balancer that
// can't be linked makes a link that has failed, and not an error, as on AWS.
func (s *Service) CreateVpcLink(ctx context.Context, in *api.CreateVpcLinkInput) (*api.VpcLink, error) {
	l := &resource.VPCLinkV1{
		Meta: newMeta(ctx, in.Tags), Name: wire.Val(in.Name), Description: wire.Val(in.Description), TargetARNs: in.TargetArns,
	}
	if strings.TrimSpace(l.Name) == "" {
		return nil, errNoName
	}
	if err := CheckTags(in.Tags); err != nil {
		return nil, err
	}
	switch len(in.TargetArns) {
	case 0:
		return nil, badRequest("No target arn specified for vpc link.")
	case 1:
	default:
		return nil, badRequest("More than one target arn specified for vpc link.")
	}
	if !wellFormed(in.TargetArns[0]) {
		return nil, badRequest("Invalid ARN. ARN is not well formed %s", in.TargetArns[0])
	}
	err := s.update(ctx, func(tx *store.Tx) error {
		for l.ID = ""; l.ID == ""; {
			l.ID = NewID(6)
			_, v1 := store.VPCLinksV1.Get(tx, l.ID)
			_, v2 := store.VPCLinksV2.Get(tx, l.ID)
			if v1 || v2 {
				l.ID = ""
			}
		}
		l.Status, l.StatusMessage = resource.VPCLinkPending, "Your vpc link is being provisioned"
		if why := cannotLink(tx, l); why != "" {
			l.Status, l.StatusMessage = resource.VPCLinkFailed, why
		}
		store.VPCLinksV1.Put(tx, l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showVPCLink(l, false), nil
}

var errNoName = badRequest("Name cannot be empty")

// wellFormed says whether s has the six parts of an ARN.
func wellFormed(s string) bool {
	p := strings.SplitN(s, ":", 6)
	return len(p) == 6 && p[0] == "arn" && p[1] != "" && p[2] != "" && p[5] != ""
}

// cannotLink says why a link can't lead to its target; empty if it can.
func cannotLink(r store.Reader, l *resource.VPCLinkV1) string {
	arn := l.TargetARNs[0]
	p := strings.SplitN(arn, ":", 6)
	if p[2] != "elasticloadbalancing" || !strings.HasPrefix(p[5], "loadbalancer/net/") {
		return "NLB ARN is malformed"
	}
	lb, ok := store.LoadBalancers.Get(r, arn)
	if !ok || lb.Account != l.Account || lb.Region != l.Region {
		return fmt.Sprintf("NLB %s does not exist", arn)
	}
	for svc := range store.EndpointServices.Scan(r) {
		if slices.Contains(svc.LoadBalancers, arn) {
			return "NLB is already associated with another VPC Endpoint Service"
		}
	}
	// The service of a link that was just made may not exist yet.
	for other := range store.VPCLinksV1.Scan(r) {
		if other.ID != l.ID && other.Status == resource.VPCLinkPending && slices.Contains(other.TargetARNs, arn) {
			return "NLB is already associated with another VPC Endpoint Service"
		}
	}
	return ""
}

// GetVpcLink shows a link.
func (s *Service) GetVpcLink(ctx context.Context, in *api.GetVpcLinkInput) (*api.VpcLink, error) {
	l, err := findVPCLink(ctx, s.db.View(), in.VpcLinkId)
	if err != nil {
		return nil, err
	}
	return showVPCLink(l, true), nil
}

// GetVpcLinks lists the caller's links.
func (s *Service) GetVpcLinks(ctx context.Context, in *api.GetVpcLinksInput) (*api.GetVpcLinksOutput, error) {
	var mine []*resource.VPCLinkV1
	for l := range store.VPCLinksV1.Scan(s.db.View()) {
		if owned(ctx, l.Meta) {
			mine = append(mine, l)
		}
	}
	rows, next, err := Page(mine, (*resource.VPCLinkV1).Key, in.Limit, in.Position)
	if err != nil {
		return nil, err
	}
	out := &api.GetVpcLinksOutput{Position: next, Items: []*api.VpcLink{}}
	for _, l := range rows {
		out.Items = append(out.Items, showVPCLink(l, false))
	}
	return out, nil
}

// UpdateVpcLink changes a link's name and description.
func (s *Service) UpdateVpcLink(ctx context.Context, in *api.UpdateVpcLinkInput) (*api.VpcLink, error) {
	var l *resource.VPCLinkV1
	err := s.update(ctx, func(tx *store.Tx) (err error) {
		if l, err = findVPCLink(ctx, tx, in.VpcLinkId); err != nil {
			return err
		}
		for _, op := range in.PatchOperations {
			if strings.HasPrefix(wire.Val(op.Path), "/targetArns") {
				return badRequest("Target arns are not allowed to be changed/added.")
			}
		}
		err = applyPatch(in.PatchOperations, listStyle,
			setString("/name", &l.Name),
			setString("/description", &l.Description),
		)
		if err != nil {
			return err
		}
		if strings.TrimSpace(l.Name) == "" {
			return errNoName
		}
		store.VPCLinksV1.Put(tx, l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showVPCLink(l, true), nil
}

// DeleteVpcLink begins the removal of a link that no deployed stage refers to
// by its id. References by way of a stage variable don't count.
func (s *Service) DeleteVpcLink(ctx context.Context, in *api.DeleteVpcLinkInput) (*api.DeleteVpcLinkOutput, error) {
	err := s.update(ctx, func(tx *store.Tx) error {
		l, err := findVPCLink(ctx, tx, in.VpcLinkId)
		if err != nil {
			return err
		}
		if refs := DeployedReferences(tx, l.ID); len(refs) > 0 {
			return badRequest("Cannot delete vpc link. Vpc link '%s', is referenced in [%s] in format of [RESTApiId:Method:Resource:Stage].",
				l.ID, strings.Join(refs, ", "))
		}
		l.Status, l.StatusMessage = resource.VPCLinkDeleting, "Your vpc link is being deleted"
		store.VPCLinksV1.Put(tx, l)
		return nil
	})
	return &api.DeleteVpcLinkOutput{}, err
}

// DeployedReferences lists where deployed stages of REST APIs refer to a VPC
// link by its id: API, method, resource and stage, joined by colons.
func DeployedReferences(r store.Reader, link string) []string {
	var refs []string
	for st := range store.RestStages.Scan(r) {
		d, ok := store.RestDeployments.Get(r, st.API+"/"+st.Deployment)
		if !ok {
			continue
		}
		for _, res := range d.Resources {
			for _, method := range sortedKeys(res.Methods) {
				i := res.Methods[method].Integration
				if i != nil && i.ConnectionType == "VPC_LINK" && i.ConnectionID == link {
					refs = append(refs, fmt.Sprintf("%s:%s:%s:%s", st.API, method, res.ID, st.Name))
				}
			}
		}
	}
	return refs
}

func findVPCLink(ctx context.Context, r store.Reader, id *string) (*resource.VPCLinkV1, error) {
	l, ok := store.VPCLinksV1.Get(r, wire.Val(id))
	if !ok || !owned(ctx, l.Meta) {
		return nil, notFound("Invalid Vpc Link identifier specified")
	}
	return l, nil
}

// showVPCLink is a link on the wire. Only some answers show its tags.
func showVPCLink(l *resource.VPCLinkV1, withTags bool) *api.VpcLink {
	out := &api.VpcLink{
		Id:            &l.ID,
		Name:          &l.Name,
		Description:   optional(l.Description),
		TargetArns:    l.TargetARNs,
		Status:        wire.Ptr(string(l.Status)),
		StatusMessage: optional(l.StatusMessage),
	}
	if withTags {
		if out.Tags = l.Tags; out.Tags == nil {
			out.Tags = map[string]string{}
		}
	}
	return out
}

package apigateway

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

var errNoResource = notFound("Invalid Resource identifier specified")

// CreateResource adds a path segment below a resource.
func (s *Service) CreateResource(ctx context.Context, in *api.CreateResourceInput) (*api.Resource, error) {
	var row *resource.RestResource
	err := s.update(ctx, func(tx *store.Tx) error {
		a, err := findAPI(ctx, tx, in.RestApiId)
		if err != nil {
			return err
		}
		if _, ok := store.RestResources.Get(tx, a.ID+"/"+wire.Val(in.ParentId)); !ok {
			return errNoResource
		}
		row = &resource.RestResource{API: a.ID, Parent: *in.ParentId, PathPart: wire.Val(in.PathPart)}
		for row.ID == "" {
			row.ID = NewID(6)
			if _, taken := store.RestResources.Get(tx, row.Key()); taken {
				row.ID = ""
			}
		}
		return placeResource(tx, row)
	})
	if err != nil {
		return nil, err
	}
	return showResource(row, nil), nil
}

// GetResource shows a resource.
func (s *Service) GetResource(ctx context.Context, in *api.GetResourceInput) (*api.Resource, error) {
	row, err := findResource(ctx, s.db.View(), in.RestApiId, in.ResourceId)
	if err != nil {
		return nil, err
	}
	return showResource(row, in.Embed), nil
}

// GetResources lists an API's resources by path.
func (s *Service) GetResources(ctx context.Context, in *api.GetResourcesInput) (*api.GetResourcesOutput, error) {
	view := s.db.View()
	a, err := findAPI(ctx, view, in.RestApiId)
	if err != nil {
		return nil, err
	}
	rows, next, err := Page(store.RestResources.ListPrefix(view, a.ID+"/"),
		func(r *resource.RestResource) string { return r.Path }, in.Limit, in.Position)
	if err != nil {
		return nil, err
	}
	out := &api.GetResourcesOutput{Position: next, Items: []*api.Resource{}}
	for _, r := range rows {
		out.Items = append(out.Items, showResource(r, in.Embed))
	}
	return out, nil
}

// UpdateResource renames a resource or moves it below another one.
func (s *Service) UpdateResource(ctx context.Context, in *api.UpdateResourceInput) (*api.Resource, error) {
	var row *resource.RestResource
	err := s.update(ctx, func(tx *store.Tx) (err error) {
		if row, err = findResource(ctx, tx, in.RestApiId, in.ResourceId); err != nil {
			return err
		}
		err = applyPatch(in.PatchOperations, listStyle,
			setString("/parentId", &row.Parent),
			setString("/pathPart", &row.PathPart),
		)
		if err != nil {
			return err
		}
		if row.Path == "/" {
			return badRequest("Root resource cannot be updated")
		}
		return placeResource(tx, row)
	})
	if err != nil {
		return nil, err
	}
	return showResource(row, nil), nil
}

// DeleteResource removes a resource and all below it.
func (s *Service) DeleteResource(ctx context.Context, in *api.DeleteResourceInput) (*api.DeleteResourceOutput, error) {
	err := s.update(ctx, func(tx *store.Tx) error {
		row, err := findResource(ctx, tx, in.RestApiId, in.ResourceId)
		if err != nil {
			return err
		}
		if row.Path == "/" {
			return badRequest("Root resource cannot be deleted")
		}
		for _, r := range store.RestResources.ListPrefix(tx, row.API+"/") {
			if r.ID == row.ID || strings.HasPrefix(r.Path, row.Path+"/") {
				store.RestResources.Delete(tx, r.Key())
			}
		}
		return nil
	})
	return &api.DeleteResourceOutput{}, err
}

// findResource returns a resource of the caller's API. To most operations an
// unknown API is an unknown resource.
func findResource(ctx context.Context, r store.Reader, apiID, id *string) (*resource.RestResource, error) {
	a, ok := store.RestAPIs.Get(r, wire.Val(apiID))
	if !ok || !owned(ctx, a.Meta) {
		return nil, errNoResource
	}
	row, ok := store.RestResources.Get(r, a.ID+"/"+wire.Val(id))
	if !ok {
		return nil, errNoResource
	}
	return row, nil
}

var pathPart = regexp.MustCompile(`^([a-zA-Z0-9._:-]+|\{[a-zA-Z0-9._:-]+\+?\})$`)

func isVariable(part string) bool { return strings.HasPrefix(part, "{") }
func isGreedy(part string) bool   { return strings.HasSuffix(part, "+}") }

// placeResource checks a resource's place in the tree, writes it, and corrects
// the paths of it and of what is below it.
func placeResource(tx *store.Tx, row *resource.RestResource) error {
	if !pathPart.MatchString(row.PathPart) {
		return badRequest("Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the beginning and the end.")
	}
	tree := map[string]*resource.RestResource{}
	for _, r := range store.RestResources.ListPrefix(tx, row.API+"/") {
		tree[r.ID] = r
	}
	tree[row.ID] = row
	parent := tree[row.Parent]
	if parent == nil {
		return errNoResource
	}
	for up := parent; up != nil; up = tree[up.Parent] {
		if up == row {
			return badRequest("Resources cannot be cyclical.")
		}
	}
	if isGreedy(parent.PathPart) {
		return badRequest("Cannot create a child of a resource with a greedy path variable: %s", parent.PathPart)
	}
	for _, r := range tree {
		switch {
		case r == row:
		case r.Parent == row.ID && isGreedy(row.PathPart):
			return badRequest("Cannot create a child of a resource with a greedy path variable: %s", row.PathPart)
		case r.Parent != row.Parent:
		case r.PathPart == row.PathPart:
			return conflict("Another resource with the same parent already has this name: %s", row.PathPart)
		case isVariable(r.PathPart) && isVariable(row.PathPart):
			return badRequest("A sibling (%s) of this resource already has a variable path part -- only one is allowed", r.PathPart)
		}
	}
	var correct func(r *resource.RestResource)
	correct = func(r *resource.RestResource) {
		r.Path = strings.TrimSuffix(tree[r.Parent].Path, "/") + "/" + r.PathPart
		store.RestResources.Put(tx, r)
		for _, child := range tree {
			if child.Parent == r.ID {
				correct(child)
			}
		}
	}
	correct(row)
	return nil
}

// showResource is a resource on the wire; embed may ask for its methods in full.
func showResource(r *resource.RestResource, embed []string) *api.Resource {
	out := &api.Resource{Id: &r.ID, ParentId: optional(r.Parent), PathPart: optional(r.PathPart), Path: &r.Path}
	for name, m := range r.Methods {
		if out.ResourceMethods == nil {
			out.ResourceMethods = map[string]*api.Method{}
		}
		out.ResourceMethods[name] = &api.Method{}
		if slices.Contains(embed, "methods") {
			out.ResourceMethods[name] = showMethod(name, m)
		}
	}
	return out
}

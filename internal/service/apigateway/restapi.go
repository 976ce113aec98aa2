package apigateway

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/policy"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

// CreateRestApi makes an API with its root resource.
func (s *Service) CreateRestApi(ctx context.Context, in *api.CreateRestApiInput) (*api.RestApi, error) {
	if in.Description != nil && *in.Description == "" {
		return nil, badRequest("Description cannot be an empty string")
	}
	if in.CloneFrom != nil {
		return nil, badRequest("cloneFrom is not supported")
	}
	if err := CheckTags(in.Tags); err != nil {
		return nil, err
	}
	a := &resource.RestAPI{
		Meta:                      newMeta(ctx, in.Tags),
		Name:                      wire.Val(in.Name),
		Description:               wire.Val(in.Description),
		Version:                   wire.Val(in.Version),
		APIKeySource:              "HEADER",
		EndpointType:              "EDGE",
		BinaryMediaTypes:          in.BinaryMediaTypes,
		MinimumCompressionSize:    in.MinimumCompressionSize,
		DisableExecuteAPIEndpoint: wire.Val(in.DisableExecuteApiEndpoint),
	}
	if in.ApiKeySource != nil {
		a.APIKeySource = *in.ApiKeySource
	}
	if e := in.EndpointConfiguration; e != nil {
		switch len(e.Types) {
		case 0:
		case 1:
			a.EndpointType = e.Types[0]
		default:
			return nil, badRequest("Cannot create an api with multiple Endpoint Types.")
		}
		a.VPCEndpoints = e.VpcEndpointIds
		a.IPAddressType = wire.Val(e.IpAddressType)
	}
	if a.IPAddressType == "" {
		a.IPAddressType = defaultIPAddressType(a.EndpointType)
	}
	err := s.update(ctx, func(tx *store.Tx) error {
		a.ID = freeAPIID(tx)
		a.RootResource = NewID(10)
		var err error
		if a.Policy, err = normalizePolicy(wire.Val(in.Policy), &a.Meta, a.ID); err != nil {
			return err
		}
		if err := checkRestAPI(a); err != nil {
			return err
		}
		store.RestAPIs.Put(tx, a)
		store.RestResources.Put(tx, &resource.RestResource{API: a.ID, ID: a.RootResource, Path: "/"})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showRestAPI(a, false), nil
}

// freeAPIID returns an id that no API of either version has.
func freeAPIID(tx *store.Tx) string {
	for {
		id := NewID(10)
		_, rest := store.RestAPIs.Get(tx, id)
		_, http := store.HTTPAPIs.Get(tx, id)
		if !rest && !http {
			return id
		}
	}
}

func defaultIPAddressType(endpointType string) string {
	if endpointType == "PRIVATE" {
		return "dualstack"
	}
	return "ipv4"
}

func checkRestAPI(a *resource.RestAPI) error {
	if strings.TrimSpace(a.Name) == "" {
		return badRequest("Name cannot be empty")
	}
	if n := a.MinimumCompressionSize; n != nil && (*n < 0 || *n > 10485760) {
		return errCompression
	}
	if a.EndpointType == "PRIVATE" && a.IPAddressType != "dualstack" {
		return badRequest("Only dualstack ipAddressType is supported for Private APIs.")
	}
	if a.EndpointType != "PRIVATE" && len(a.VPCEndpoints) > 0 {
		return badRequest("VPC endpoint ids are only supported for PRIVATE APIs")
	}
	return nil
}

var errCompression = badRequest("Invalid minimum compression size, must be between 0 and 10485760")

// GetRestApi shows an API.
func (s *Service) GetRestApi(ctx context.Context, in *api.GetRestApiInput) (*api.RestApi, error) {
	a, err := findAPI(ctx, s.db.View(), in.RestApiId)
	if err != nil {
		return nil, err
	}
	return showRestAPI(a, true), nil
}

// GetRestApis lists the caller's APIs.
func (s *Service) GetRestApis(ctx context.Context, in *api.GetRestApisInput) (*api.GetRestApisOutput, error) {
	var mine []*resource.RestAPI
	for a := range store.RestAPIs.Scan(s.db.View()) {
		if owned(ctx, a.Meta) {
			mine = append(mine, a)
		}
	}
	items, next, err := Page(mine, (*resource.RestAPI).Key, in.Limit, in.Position)
	if err != nil {
		return nil, err
	}
	out := &api.GetRestApisOutput{Position: next, Items: []*api.RestApi{}}
	for _, a := range items {
		out.Items = append(out.Items, showRestAPI(a, false))
	}
	return out, nil
}

// UpdateRestApi changes an API's own settings.
func (s *Service) UpdateRestApi(ctx context.Context, in *api.UpdateRestApiInput) (*api.RestApi, error) {
	var a *resource.RestAPI
	err := s.update(ctx, func(tx *store.Tx) (err error) {
		if a, err = findAPI(ctx, tx, in.RestApiId); err != nil {
			return err
		}
		err = applyPatch(in.PatchOperations, shortStyle,
			setString("/name", &a.Name),
			setString("/description", &a.Description, "remove"),
			setString("/version", &a.Version),
			setString("/apiKeySource", &a.APIKeySource),
			setBool("/disableExecuteApiEndpoint", &a.DisableExecuteAPIEndpoint),
			setMember("/binaryMediaTypes/*", &a.BinaryMediaTypes),
			setWith("/endpointConfiguration/types/*", setEndpointType(a)),
			setMember("/endpointConfiguration/vpcEndpointIds", &a.VPCEndpoints),
			setString("/endpointConfiguration/ipAddressType", &a.IPAddressType),
			setWith("/minimumCompressionSize", func(v string) error { return setCompression(a, v) }),
			patchField{"/policy", anyOp, func(op, _, v string) (err error) {
				if op == "remove" {
					v = ""
				}
				a.Policy, err = normalizePolicy(v, &a.Meta, a.ID)
				return err
			}},
		)
		if err != nil {
			return err
		}
		if err := checkRestAPI(a); err != nil {
			return err
		}
		store.RestAPIs.Put(tx, a)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showRestAPI(a, true), nil
}

// DeleteRestApi removes an API and all that belongs to it.
func (s *Service) DeleteRestApi(ctx context.Context, in *api.DeleteRestApiInput) (*api.DeleteRestApiOutput, error) {
	err := s.update(ctx, func(tx *store.Tx) error {
		a, err := findAPI(ctx, tx, in.RestApiId)
		if err != nil {
			return err
		}
		for _, r := range store.RestResources.ListPrefix(tx, a.ID+"/") {
			store.RestResources.Delete(tx, r.Key())
		}
		for _, d := range store.RestDeployments.ListPrefix(tx, a.ID+"/") {
			store.RestDeployments.Delete(tx, d.Key())
		}
		for _, st := range store.RestStages.ListPrefix(tx, a.ID+"/") {
			store.RestStages.Delete(tx, st.Key())
		}
		store.RestAPIs.Delete(tx, a.ID)
		return nil
	})
	return &api.DeleteRestApiOutput{}, err
}

// findAPI returns the caller's API.
func findAPI(ctx context.Context, r store.Reader, id *string) (*resource.RestAPI, error) {
	a, ok := store.RestAPIs.Get(r, wire.Val(id))
	if !ok || !owned(ctx, a.Meta) {
		return nil, notFound("Invalid API identifier specified %s:%s", wire.CallerFrom(ctx).Account, wire.Val(id))
	}
	return a, nil
}

func setEndpointType(a *resource.RestAPI) func(string) error {
	return func(v string) error {
		if !slices.Contains([]string{"EDGE", "REGIONAL", "PRIVATE"}, v) {
			return badRequest("Invalid endpoint type specified: %s", v)
		}
		if a.IPAddressType == defaultIPAddressType(a.EndpointType) {
			a.IPAddressType = defaultIPAddressType(v)
		}
		if a.EndpointType == "PRIVATE" && v == "EDGE" {
			return badRequest("A private API can't be changed to an edge-optimized one.")
		}
		if v != "PRIVATE" {
			a.VPCEndpoints = nil
		}
		a.EndpointType = v
		return nil
	}
}

func setCompression(a *resource.RestAPI, v string) error {
	if v == "" {
		a.MinimumCompressionSize = nil
		return nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return errCompression
	}
	a.MinimumCompressionSize = &n
	return nil
}

// normalizePolicy checks a resource policy and completes the short form of its
// resources, "execute-api:/stage/METHOD/path", to this API's ARN.
func normalizePolicy(document string, m *resource.Meta, id string) (string, error) {
	if document == "" {
		return "", nil
	}
	invalid := badRequest("Invalid policy document. Please check the policy syntax and ensure that Principals are valid.")
	var buf bytes.Buffer
	if err := json.Compact(&buf, []byte(document)); err != nil {
		return "", invalid
	}
	arn := "arn:aws:execute-api:" + m.Region + ":" + m.Account + ":" + id + "/"
	complete := strings.ReplaceAll(buf.String(), `"execute-api:/`, `"`+arn)
	if _, err := policy.Parse([]byte(complete), policy.Options{MaxSize: maxPolicy}); err != nil {
		return "", invalid
	}
	return complete, nil
}

// maxPolicy is AWS's limit of a resource policy, in bytes.
const maxPolicy = 8192

// escapePolicy is how API Gateway shows a policy: escaped as the inside of a
// JSON string. Clients undo that.
func escapePolicy(policy string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `/`, `\/`).Replace(policy)
}

// showRestAPI is an API on the wire. Some answers show an empty set of tags.
func showRestAPI(a *resource.RestAPI, withTags bool) *api.RestApi {
	out := &api.RestApi{
		Id:                     &a.ID,
		ApiStatus:              wire.Ptr("AVAILABLE"),
		Name:                   &a.Name,
		Description:            optional(a.Description),
		CreatedDate:            &a.Created,
		Version:                optional(a.Version),
		BinaryMediaTypes:       a.BinaryMediaTypes,
		MinimumCompressionSize: a.MinimumCompressionSize,
		ApiKeySource:           &a.APIKeySource,
		EndpointConfiguration: &api.EndpointConfiguration{
			Types: []string{a.EndpointType}, VpcEndpointIds: a.VPCEndpoints, IpAddressType: &a.IPAddressType,
		},
		Policy:                    optional(escapePolicy(a.Policy)),
		Tags:                      a.Tags,
		DisableExecuteApiEndpoint: &a.DisableExecuteAPIEndpoint,
		RootResourceId:            &a.RootResource,
	}
	if len(out.BinaryMediaTypes) == 0 {
		out.BinaryMediaTypes = nil
	}
	if len(out.Tags) == 0 {
		out.Tags = nil
		if withTags {
			out.Tags = map[string]string{}
		}
	}
	return out
}

package apigateway

import (
	"context"
	"reflect"
	"regexp"
	"time"

	"github.com/isthmus-net/isthmus/internal/gateway/accesslog"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

// CreateStage makes a stage that serves a deployment.
func (s *Service) CreateStage(ctx context.Context, in *api.CreateStageInput) (*api.Stage, error) {
	if in.CanarySettings != nil {
		return nil, errCanary
	}
	if err := CheckTags(in.Tags); err != nil {
		return nil, err
	}
	if err := checkVariables(in.Variables); err != nil {
		return nil, err
	}
	var st *resource.RestStage
	err := s.update(ctx, func(tx *store.Tx) error {
		a, err := findAPI(ctx, tx, in.RestApiId)
		if err != nil {
			return err
		}
		st = &resource.RestStage{
			Meta: newMeta(ctx, in.Tags), API: a.ID, Name: wire.Val(in.StageName),
			Description: wire.Val(in.Description), Variables: in.Variables,
			CacheClusterEnabled: wire.Val(in.CacheClusterEnabled), CacheClusterSize: wire.Val(in.CacheClusterSize),
			DocumentationVersion: wire.Val(in.DocumentationVersion), TracingEnabled: wire.Val(in.TracingEnabled),
		}
		st.Updated = st.Created
		if err := checkStageName(st.Name); err != nil {
			return err
		}
		if _, taken := store.RestStages.Get(tx, st.Key()); taken {
			return conflict("Stage already exists")
		}
		if err := setDeployment(tx, st)(wire.Val(in.DeploymentId)); err != nil {
			return err
		}
		store.RestStages.Put(tx, st)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showStage(st), nil
}

// GetStage shows a stage.
func (s *Service) GetStage(ctx context.Context, in *api.GetStageInput) (*api.Stage, error) {
	st, err := findStage(ctx, s.db.View(), in.RestApiId, in.StageName)
	if err != nil {
		return nil, err
	}
	return showStage(st), nil
}

// GetStages lists an API's stages, of one deployment if that is given.
func (s *Service) GetStages(ctx context.Context, in *api.GetStagesInput) (*api.GetStagesOutput, error) {
	view := s.db.View()
	a, err := findAPI(ctx, view, in.RestApiId)
	if err != nil {
		return nil, err
	}
	out := &api.GetStagesOutput{Item: []*api.Stage{}}
	for st := range store.RestStages.ScanPrefix(view, a.ID+"/") {
		if in.DeploymentId == nil || st.Deployment == *in.DeploymentId {
			out.Item = append(out.Item, showStage(st))
		}
	}
	return out, nil
}

// UpdateStage changes a stage: its deployment, variables and settings.
func (s *Service) UpdateStage(ctx context.Context, in *api.UpdateStageInput) (*api.Stage, error) {
	var st *resource.RestStage
	err := s.update(ctx, func(tx *store.Tx) (err error) {
		if st, err = findStage(ctx, tx, in.RestApiId, in.StageName); err != nil {
			return err
		}
		before := st.AccessLog
		for _, op := range in.PatchOperations {
			changed, err := patchMethodSetting(st, op)
			if err == nil && !changed {
				err = patchStage(tx, st, op)
			}
			if err != nil {
				return err
			}
		}
		if err := checkVariables(st.Variables); err != nil {
			return err
		}
		if !reflect.DeepEqual(st.AccessLog, before) {
			if err := CheckAccessLog(ctx, st.AccessLog, s.accessLogs, accesslog.CheckREST); err != nil {
				return err
			}
		}
		st.Updated = time.Now().UTC().Truncate(time.Second)
		store.RestStages.Put(tx, st)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showStage(st), nil
}

// patchStage carries out one operation on a stage's own settings.
func patchStage(tx *store.Tx, st *resource.RestStage, op *api.PatchOperation) error {
	log := resource.AccessLog{}
	if st.AccessLog != nil {
		log = *st.AccessLog
	}
	err := applyPatch([]*api.PatchOperation{op}, stageStyle,
		setWith("/deploymentId", setDeployment(tx, st)),
		setString("/description", &st.Description),
		setString("/clientCertificateId", &st.ClientCertificate),
		setString("/documentationVersion", &st.DocumentationVersion),
		setBool("/cacheClusterEnabled", &st.CacheClusterEnabled),
		setString("/cacheClusterSize", &st.CacheClusterSize),
		setBool("/tracingEnabled", &st.TracingEnabled),
		setEntry("/variables/*", &st.Variables, asIs, ""),
		setString("/accessLogSettings/destinationArn", &log.Destination, "add"),
		setString("/accessLogSettings/format", &log.Format, "add"),
		patchField{"/accessLogSettings", []string{"remove"}, func(_, _, _ string) error {
			log = resource.AccessLog{}
			return nil
		}},
		// Cleared by clients that never set them.
		patchField{"/canarySettings", []string{"remove"}, func(_, _, _ string) error { return nil }},
	)
	st.AccessLog = nil
	if log != (resource.AccessLog{}) {
		st.AccessLog = &log
	}
	return err
}

// DeleteStage removes a stage.
func (s *Service) DeleteStage(ctx context.Context, in *api.DeleteStageInput) (*api.DeleteStageOutput, error) {
	err := s.update(ctx, func(tx *store.Tx) error {
		st, err := findStage(ctx, tx, in.RestApiId, in.StageName)
		if err != nil {
			return err
		}
		store.RestStages.Delete(tx, st.Key())
		return nil
	})
	return &api.DeleteStageOutput{}, err
}

func findStage(ctx context.Context, r store.Reader, apiID, name *string) (*resource.RestStage, error) {
	a, err := findAPI(ctx, r, apiID)
	if err != nil {
		return nil, err
	}
	if st, ok := store.RestStages.Get(r, a.ID+"/"+wire.Val(name)); ok {
		return st, nil
	}
	return nil, notFound("Invalid stage identifier specified")
}

func setDeployment(r store.Reader, st *resource.RestStage) func(string) error {
	return func(id string) error {
		if _, ok := store.RestDeployments.Get(r, st.API+"/"+id); !ok {
			return badRequest("Deployment id does not exist")
		}
		st.Deployment = id
		return nil
	}
}

var (
	stageName     = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)
	variableName  = regexp.MustCompile(`^[a-zA-Z0-9_]+$`)
	variableValue = regexp.MustCompile(`^[a-zA-Z0-9._~:/?#&=,-]{0,512}$`)
)

func checkStageName(name string) error {
	if !stageName.MatchString(name) {
		return badRequest("Stage name only allows a-zA-Z0-9_")
	}
	return nil
}

func checkVariables(variables map[string]string) error {
	for _, name := range sortedKeys(variables) {
		if !variableName.MatchString(name) {
			return badRequest("Stage variable names only allow a-zA-Z0-9_: %s", name)
		}
		if !variableValue.MatchString(variables[name]) {
			return badRequest("Stage variable values only allow up to 512 of a-zA-Z0-9-._~:/?#&=,: %s", name)
		}
	}
	return nil
}

// showStage is a stage on the wire.
func showStage(st *resource.RestStage) *api.Stage {
	out := &api.Stage{
		DeploymentId:         &st.Deployment,
		StageName:            &st.Name,
		Description:          optional(st.Description),
		ClientCertificateId:  optional(st.ClientCertificate),
		DocumentationVersion: optional(st.DocumentationVersion),
		CacheClusterEnabled:  &st.CacheClusterEnabled,
		CacheClusterSize:     optional(st.CacheClusterSize),
		CacheClusterStatus:   wire.Ptr("NOT_AVAILABLE"),
		MethodSettings:       map[string]*api.MethodSetting{},
		Variables:            st.Variables,
		TracingEnabled:       &st.TracingEnabled,
		CreatedDate:          &st.Created,
		LastUpdatedDate:      &st.Updated,
	}
	if st.CacheClusterEnabled {
		out.CacheClusterStatus = wire.Ptr("AVAILABLE")
	}
	if len(st.Tags) > 0 {
		out.Tags = st.Tags
	}
	if l := st.AccessLog; l != nil {
		out.AccessLogSettings = &api.AccessLogSettings{Format: optional(l.Format), DestinationArn: optional(l.Destination)}
	}
	for key, m := range st.MethodSettings {
		out.MethodSettings[key] = showMethodSetting(m)
	}
	return out
}

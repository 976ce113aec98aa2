package apigatewayv2

import (
	"context"
	"regexp"

	"github.com/isthmus-net/isthmus/internal/gateway/accesslog"
	"github.com/isthmus-net/isthmus/internal/resource"
	v1 "github.com/isthmus-net/isthmus/internal/service/apigateway"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigatewayv2"
)

// CreateStage makes a stage.
func (s *Service) CreateStage(ctx context.Context, in *api.CreateStageInput) (*api.CreateStageOutput, error) {
	if err := v1.CheckTags(in.Tags); err != nil {
		return nil, err
	}
	st := &resource.HTTPStage{Meta: newMeta(ctx, in.Tags), Name: wire.Val(in.StageName)}
	if !stageName.MatchString(st.Name) {
		return nil, badRequest("Stage name only allows a-zA-Z0-9_- or $default")
	}
	st, err := s.writeStage(ctx, in.ApiId, func(tx *store.Tx, a *resource.HTTPAPI) (*resource.HTTPStage, error) {
		st := *st
		st.API = a.ID
		if _, taken := store.HTTPStages.Get(tx, st.Key()); taken {
			return nil, conflict("Stage already exists")
		}
		return &st, nil
	}, &api.UpdateStageInput{
		AccessLogSettings: in.AccessLogSettings, AutoDeploy: in.AutoDeploy, ClientCertificateId: in.ClientCertificateId,
		DefaultRouteSettings: in.DefaultRouteSettings, DeploymentId: in.DeploymentId, Description: in.Description,
		RouteSettings: in.RouteSettings, StageVariables: in.StageVariables,
	})
	if err != nil {
		return nil, err
	}
	return (*api.CreateStageOutput)(showStage(st)), nil
}

// UpdateStage changes a stage.
func (s *Service) UpdateStage(ctx context.Context, in *api.UpdateStageInput) (*api.UpdateStageOutput, error) {
	st, err := s.writeStage(ctx, in.ApiId, func(tx *store.Tx, a *resource.HTTPAPI) (*resource.HTTPStage, error) {
		return findStage(tx, a.ID, in.StageName)
	}, in)
	if err != nil {
		return nil, err
	}
	return (*api.UpdateStageOutput)(showStage(st)), nil
}

// writeStage changes the stage that get returns, and deploys the API to it
// when it begins to do that by itself.
func (s *Service) writeStage(ctx context.Context, apiID *string,
	get func(*store.Tx, *resource.HTTPAPI) (*resource.HTTPStage, error), in *api.UpdateStageInput) (*resource.HTTPStage, error) {
	var st *resource.HTTPStage
	err := s.update(ctx, func(tx *store.Tx) error {
		a, err := findAPI(ctx, tx, apiID)
		if err != nil {
			return err
		}
		if st, err = get(tx, a); err != nil {
			return err
		}
		was := st.AutoDeploy
		if err := changeStage(tx, st, in); err != nil {
			return err
		}
		if in.AccessLogSettings != nil {
			if err := s.checkAccessLog(ctx, st.AccessLog); err != nil {
				return err
			}
		}
		store.HTTPStages.Put(tx, st)
		if st.AutoDeploy && !was {
			autoDeploy(ctx, tx, a)
			st, _ = store.HTTPStages.Get(tx, st.Key())
		}
		return nil
	})
	return st, err
}

// checkAccessLog checks what an access log is to become. It needs both a
// destination and a format.
func (s *Service) checkAccessLog(ctx context.Context, log *resource.AccessLog) error {
	if log != nil && (log.Destination == "" || log.Format == "") {
		return badRequest("Access Log value missing. Expected destinationArn and format.")
	}
	return v1.CheckAccessLog(ctx, log, s.accessLogs, accesslog.CheckHTTP)
}

// changeStage sets what is given. Maps are merged; an empty value of a
// variable removes it.
func changeStage(r store.Reader, st *resource.HTTPStage, in *api.UpdateStageInput) error {
	change(&st.Description, in.Description)
	change(&st.ClientCertificate, in.ClientCertificateId)
	change(&st.AutoDeploy, in.AutoDeploy)
	if l := in.AccessLogSettings; l != nil {
		st.AccessLog = nil
		if log := (resource.AccessLog{Format: wire.Val(l.Format), Destination: wire.Val(l.DestinationArn)}); log != (resource.AccessLog{}) {
			st.AccessLog = &log
		}
	}
	if in.DefaultRouteSettings != nil {
		changeRouteSettings(&st.DefaultRouteSettings, in.DefaultRouteSettings)
	}
	for key, settings := range in.RouteSettings {
		if st.RouteSettings == nil {
			st.RouteSettings = map[string]*resource.HTTPRouteSettings{}
		}
		if st.RouteSettings[key] == nil {
			st.RouteSettings[key] = &resource.HTTPRouteSettings{}
		}
		changeRouteSettings(st.RouteSettings[key], settings)
	}
	merge(&st.Variables, in.StageVariables)
	if err := checkVariables(st.Variables); err != nil {
		return err
	}
	if id := wire.Val(in.DeploymentId); id != "" {
		if st.AutoDeploy {
			return badRequest("Deployment ID cannot be set because stage '%s' has AutoDeploy enabled", st.Name)
		}
		d, err := findDeployment(r, st.API, in.DeploymentId)
		if err != nil {
			return err
		}
		serve(st, d)
	}
	st.Updated = now()
	return nil
}

func changeRouteSettings(to *resource.HTTPRouteSettings, in *api.RouteSettings) {
	set(&to.DataTraceEnabled, in.DataTraceEnabled)
	set(&to.DetailedMetricsEnabled, in.DetailedMetricsEnabled)
	set(&to.LoggingLevel, in.LoggingLevel)
	set(&to.ThrottlingBurstLimit, in.ThrottlingBurstLimit)
	set(&to.ThrottlingRateLimit, in.ThrottlingRateLimit)
}

func set[T any](field **T, value *T) {
	if value != nil {
		*field = value
	}
}

// GetStage shows a stage.
func (s *Service) GetStage(ctx context.Context, in *api.GetStageInput) (*api.GetStageOutput, error) {
	view := s.db.View()
	if _, err := findAPI(ctx, view, in.ApiId); err != nil {
		return nil, err
	}
	st, err := findStage(view, *in.ApiId, in.StageName)
	if err != nil {
		return nil, err
	}
	return (*api.GetStageOutput)(showStage(st)), nil
}

// GetStages lists an API's stages.
func (s *Service) GetStages(ctx context.Context, in *api.GetStagesInput) (*api.GetStagesOutput, error) {
	view := s.db.View()
	a, err := findAPI(ctx, view, in.ApiId)
	if err != nil {
		return nil, err
	}
	rows, next, err := page(store.HTTPStages.ListPrefix(view, a.ID+"/"), (*resource.HTTPStage).Key, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &api.GetStagesOutput{NextToken: next, Items: []*api.Stage{}}
	for _, st := range rows {
		out.Items = append(out.Items, showStage(st))
	}
	return out, nil
}

// DeleteAccessLogSettings ends a stage's access log.
func (s *Service) DeleteAccessLogSettings(ctx context.Context, in *api.DeleteAccessLogSettingsInput) (*api.DeleteAccessLogSettingsOutput, error) {
	err := s.editStage(ctx, in.ApiId, in.StageName, func(st *resource.HTTPStage) error {
		st.AccessLog = nil
		return nil
	})
	return &api.DeleteAccessLogSettingsOutput{}, err
}

// DeleteRouteSettings makes a route of a stage use the stage's default settings.
func (s *Service) DeleteRouteSettings(ctx context.Context, in *api.DeleteRouteSettingsInput) (*api.DeleteRouteSettingsOutput, error) {
	err := s.editStage(ctx, in.ApiId, in.StageName, func(st *resource.HTTPStage) error {
		if st.RouteSettings[wire.Val(in.RouteKey)] == nil {
			return notFound("Invalid route key specified %s", wire.Val(in.RouteKey))
		}
		delete(st.RouteSettings, *in.RouteKey)
		return nil
	})
	return &api.DeleteRouteSettingsOutput{}, err
}

// editStage edits a stage that there is.
func (s *Service) editStage(ctx context.Context, apiID, name *string, edit func(*resource.HTTPStage) error) error {
	return s.update(ctx, func(tx *store.Tx) error {
		a, err := findAPI(ctx, tx, apiID)
		if err != nil {
			return err
		}
		st, err := findStage(tx, a.ID, name)
		if err != nil {
			return err
		}
		if err := edit(st); err != nil {
			return err
		}
		st.Updated = now()
		store.HTTPStages.Put(tx, st)
		return nil
	})
}

// DeleteStage removes a stage.
func (s *Service) DeleteStage(ctx context.Context, in *api.DeleteStageInput) (*api.DeleteStageOutput, error) {
	err := s.update(ctx, func(tx *store.Tx) error {
		a, err := findAPI(ctx, tx, in.ApiId)
		if err != nil {
			return err
		}
		st, err := findStage(tx, a.ID, in.StageName)
		if err != nil {
			return err
		}
		store.HTTPStages.Delete(tx, st.Key())
		return nil
	})
	return &api.DeleteStageOutput{}, err
}

func findStage(r store.Reader, apiID string, name *string) (*resource.HTTPStage, error) {
	if st, ok := store.HTTPStages.Get(r, apiID+"/"+wire.Val(name)); ok {
		return st, nil
	}
	return nil, notFound("Invalid stage identifier specified")
}

var (
	stageName     = regexp.MustCompile(`^([a-zA-Z0-9_-]{1,128}|\$default)$`)
	variableName  = regexp.MustCompile(`^[a-zA-Z0-9_]+$`)
	variableValue = regexp.MustCompile(`^[a-zA-Z0-9._~:/?#&=,-]{1,512}$`)
)

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
func showStage(st *resource.HTTPStage) *api.Stage {
	out := &api.Stage{
		ApiGatewayManaged:           flag(st.Managed),
		AutoDeploy:                  flag(st.AutoDeploy),
		ClientCertificateId:         optional(st.ClientCertificate),
		CreatedDate:                 &st.Created,
		DefaultRouteSettings:        showRouteSettings(&st.DefaultRouteSettings),
		DeploymentId:                optional(st.Deployment),
		Description:                 optional(st.Description),
		LastDeploymentStatusMessage: optional(st.LastDeploymentMessage),
		LastUpdatedDate:             &st.Updated,
		RouteSettings:               map[string]*api.RouteSettings{},
		StageName:                   &st.Name,
		StageVariables:              full(st.Variables),
		Tags:                        full(st.Tags),
	}
	if out.DefaultRouteSettings.DetailedMetricsEnabled == nil {
		out.DefaultRouteSettings.DetailedMetricsEnabled = wire.Ptr(false)
	}
	if l := st.AccessLog; l != nil {
		out.AccessLogSettings = &api.AccessLogSettings{Format: optional(l.Format), DestinationArn: optional(l.Destination)}
	}
	for key, settings := range st.RouteSettings {
		out.RouteSettings[key] = showRouteSettings(settings)
	}
	return out
}

func showRouteSettings(s *resource.HTTPRouteSettings) *api.RouteSettings {
	return &api.RouteSettings{
		DataTraceEnabled: s.DataTraceEnabled, DetailedMetricsEnabled: s.DetailedMetricsEnabled, LoggingLevel: s.LoggingLevel,
		ThrottlingBurstLimit: s.ThrottlingBurstLimit, ThrottlingRateLimit: s.ThrottlingRateLimit,
	}
}

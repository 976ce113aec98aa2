package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	resttypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	httptypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

	"github.com/isthmus-net/isthmus/bench/internal/report"
	"github.com/isthmus-net/isthmus/test/machine"
)

// gap is between two calls of an API that does not lead through the new link
// yet.
const gap = time.Millisecond

// patience is for what takes milliseconds if it works at all.
const patience = 10 * time.Second

// subject is an API that exists, and stays the same but for the link it leads
// through.
type subject struct {
	version string
	url     string
	rest    string // what answers while no new link is there
	create  func(context.Context) (string, error)
	lead    func(ctx context.Context, link string) error
	leave   func(context.Context) error // leads the API away from any new link
	remove  func(ctx context.Context, link string) error
	gone    func(ctx context.Context, link string) (bool, string, error)
}

// links measures, for either version, the time from the request for a link to
// the first answer through it, and from the request for its removal until it
// is gone. At the end nothing may be left of any of them.
func links(ctx context.Context, m *machine.Machine, r *report.Report, p plan) error {
	subjects, err := subjects(ctx, m)
	if err != nil {
		return err
	}
	before, err := census(ctx, m)
	if err != nil {
		return err
	}
	for range p.links {
		for _, s := range subjects {
			if err := s.measure(ctx, m.Client(), r); err != nil {
				return fmt.Errorf("%s: %w", s.version, err)
			}
		}
	}
	return machine.Until(ctx, patience, func() (bool, string, error) {
		after, err := census(ctx, m)
		return after == before, fmt.Sprintf("links that were deleted have left something: before them was\n%s\nand after them\n%s", before, after), err
	})
}

func (s *subject) measure(ctx context.Context, client *http.Client, r *report.Report) error {
	if status, body, err := call(ctx, client, s.url); err != nil || s.answered(status, body) {
		return fmt.Errorf("before there is a link the API answers %d %q, %v", status, body, err)
	}
	begin := time.Now()
	link, err := s.create(ctx)
	if err != nil {
		return err
	}
	if err := s.lead(ctx, link); err != nil {
		return err
	}
	for {
		status, body, err := call(ctx, client, s.url)
		if err != nil {
			return err
		}
		if s.answered(status, body) {
			break
		}
		if time.Since(begin) > patience {
			return fmt.Errorf("the API answers %d %q", status, body)
		}
		time.Sleep(gap)
	}
	r.Add(s.version, report.Ours, "ms_to_first_200", "ms", ms(time.Since(begin)))

	if err := s.leave(ctx); err != nil {
		return err
	}
	begin = time.Now()
	if err := s.remove(ctx, link); err != nil {
		return err
	}
	if err := machine.Until(ctx, patience, func() (bool, string, error) { return s.gone(ctx, link) }); err != nil {
		return err
	}
	r.Add(s.version, report.Ours, "ms_to_gone", "ms", ms(time.Since(begin)))
	return nil
}

// answered says whether an answer came through a new link.
func (s *subject) answered(status int, body string) bool {
	return status == http.StatusOK && body != s.rest
}

func call(ctx context.Context, client *http.Client, url string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func subjects(ctx context.Context, m *machine.Machine) ([]*subject, error) {
	var all []*subject
	for _, make := range []func(context.Context, *machine.Machine) (*subject, error){v1, v2} {
		s, err := make(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("set up: %w", err)
		}
		all = append(all, s)
	}
	return all, nil
}

// v1 is a REST API whose stage variable names the link. While there is none, it
// names one that does not exist.
func v1(ctx context.Context, m *machine.Machine) (*subject, error) {
	site, err := m.Site(ctx, m.AWS("111111111111"), machine.SiteOptions{})
	if err != nil {
		return nil, err
	}
	const absent = "absent"
	id, err := site.REST(ctx, absent)
	if err != nil {
		return nil, err
	}
	c := site.AWS.REST
	lead := func(ctx context.Context, link string) error {
		_, err := c.UpdateStage(ctx, &apigateway.UpdateStageInput{
			RestApiId: &id, StageName: aws.String("prod"),
			PatchOperations: []resttypes.PatchOperation{{
				Op: resttypes.OpReplace, Path: aws.String("/variables/link"), Value: &link,
			}},
		})
		return err
	}
	return &subject{
		version: "v1",
		url:     fmt.Sprintf("http://%s.execute-api.localhost:8080/prod/pets", id),
		create:  site.LinkV1,
		lead:    lead,
		leave:   func(ctx context.Context) error { return lead(ctx, absent) },
		remove: func(ctx context.Context, link string) error {
			_, err := c.DeleteVpcLink(ctx, &apigateway.DeleteVpcLinkInput{VpcLinkId: &link})
			return err
		},
		gone: func(ctx context.Context, link string) (bool, string, error) {
			l, err := c.GetVpcLink(ctx, &apigateway.GetVpcLinkInput{VpcLinkId: &link})
			if _, ok := errors.AsType[*resttypes.NotFoundException](err); ok {
				return true, "", nil
			}
			if err != nil {
				return false, "", err
			}
			return false, fmt.Sprint("the link is ", l.Status), nil
		},
	}, nil
}

// v2 is an HTTP API whose integration names the link. While there is no new
// one, it leads through a link that stays, and whose address the backend sees.
func v2(ctx context.Context, m *machine.Machine) (*subject, error) {
	site, err := m.Site(ctx, m.AWS("222222222222"), machine.SiteOptions{PreserveClient: true})
	if err != nil {
		return nil, err
	}
	resting, err := site.LinkV2(ctx)
	if err != nil {
		return nil, err
	}
	if err := site.WaitV2(ctx, resting); err != nil {
		return nil, err
	}
	id, integration, err := site.HTTP(ctx, resting)
	if err != nil {
		return nil, err
	}
	url := fmt.Sprintf("http://%s.execute-api.localhost:8080/pets", id)
	var rest string
	if err := machine.Until(ctx, patience, func() (bool, string, error) {
		status, body, err := call(ctx, m.Client(), url)
		rest = body
		return status == http.StatusOK, fmt.Sprint(status, " ", body), err
	}); err != nil {
		return nil, err
	}
	c := site.AWS.HTTP
	lead := func(ctx context.Context, link string) error {
		_, err := c.UpdateIntegration(ctx, &apigatewayv2.UpdateIntegrationInput{ApiId: &id, IntegrationId: &integration, ConnectionId: &link})
		return err
	}
	return &subject{
		version: "v2",
		url:     url,
		rest:    rest,
		create:  func(ctx context.Context) (string, error) { return site.LinkV2(ctx) },
		lead:    lead,
		leave:   func(ctx context.Context) error { return lead(ctx, resting) },
		remove: func(ctx context.Context, link string) error {
			_, err := c.DeleteVpcLink(ctx, &apigatewayv2.DeleteVpcLinkInput{VpcLinkId: &link})
			return err
		},
		gone: func(ctx context.Context, link string) (bool, string, error) {
			l, err := c.GetVpcLink(ctx, &apigatewayv2.GetVpcLinkInput{VpcLinkId: &link})
			if _, ok := errors.AsType[*httptypes.NotFoundException](err); ok {
				return true, "", nil
			}
			if err != nil {
				return false, "", err
			}
			return false, fmt.Sprint("the link is ", l.VpcLinkStatus), nil
		},
	}, nil
}

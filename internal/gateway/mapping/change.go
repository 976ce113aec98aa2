package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Action is what an HTTP API's mapping does with its target.
type Action string

// The actions.
const (
	Append    Action = "append"
	Overwrite Action = "overwrite"
	Remove    Action = "remove"
)

// Place is what an HTTP API's mapping changes.
type Place string

// The places.
const (
	Header     Place = "header"
	Query      Place = "querystring"
	Path       Place = "path"
	StatusCode Place = "statuscode"
)

// Change is one compiled mapping of an HTTP API, such as "append:header.x".
type Change struct {
	Action Action
	Place  Place
	Name   string // of the header or query parameter
	Source Source
	// Status is the value of an overwritten status code.
	Status int
}

// ParseRequestChanges compiles the requestParameters of an HTTP API's
// integration, in a fixed order.
func ParseRequestChanges(parameters map[string]string) ([]Change, error) {
	return parseChanges(parameters, func(c Change) bool {
		switch c.Place {
		case Header, Query:
			return c.Name != ""
		case Path:
			return c.Action == Overwrite && c.Name == ""
		}
		return false
	})
}

// ParseResponseChanges compiles the responseParameters of an HTTP API's
// integration for one status code.
func ParseResponseChanges(parameters map[string]string) ([]Change, error) {
	return parseChanges(parameters, func(c Change) bool {
		switch c.Place {
		case Header:
			return c.Name != ""
		case StatusCode:
			return c.Action == Overwrite && c.Name == ""
		}
		return false
	})
}

func parseChanges(parameters map[string]string, allowed func(Change) bool) ([]Change, error) {
	var changes []Change
	for _, key := range slices.Sorted(maps.Keys(parameters)) {
		value := parameters[key]
		action, target, _ := strings.Cut(key, ":")
		place, name, _ := strings.Cut(target, ".")
		c := Change{Action: Action(action), Place: Place(place), Name: name}
		if (c.Action != Append && c.Action != Overwrite && c.Action != Remove) || !allowed(c) {
			return nil, fmt.Errorf("parse mapping %q: not a place that can be changed", key)
		}
		var err error
		if c.Place == Header {
			if err := checkHeaderName(name); err != nil {
				return nil, fmt.Errorf("parse mapping %q: %w", key, err)
			}
			if reservedHTTP(name) {
				return nil, fmt.Errorf("parse mapping %q: the header is reserved", key)
			}
		}
		switch {
		case c.Place == StatusCode:
			if c.Status, err = strconv.Atoi(value); err != nil || c.Status < 100 || c.Status > 599 {
				return nil, fmt.Errorf("parse mapping %q: %q is not a status code", key, value)
			}
		case c.Action != Remove:
			if c.Source, err = ParseHTTP(value); err != nil {
				return nil, err
			}
		}
		changes = append(changes, c)
	}
	return changes, nil
}

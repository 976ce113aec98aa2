package ec2

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// fields are the names that a Describe operation can filter by, each with the
// values that an item has for it.
type fields[T any] map[string]func(T) []string

// listing is how the items of a Describe operation are filtered and paged.
type listing[T any] struct {
	id     func(T) *string
	tags   func(T) []*ec2.Tag // nil if the items have no tags
	fields fields[T]
}

// apply returns the items that pass all filters, and of them the page that
// follows token, with the token of the next page. Items must be sorted by id.
func (l listing[T]) apply(items []T, filters []*ec2.Filter, max *int64, token *string) ([]T, *string, error) {
	if max != nil && *max < 1 { // the model bounds it for some operations only
		return nil, nil, invalidValue("Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than 0.", *max)
	}
	for _, f := range filters {
		values, err := l.values(wire.Val(f.Name))
		if err != nil {
			return nil, nil, err
		}
		items = slices.DeleteFunc(slices.Clone(items), func(item T) bool {
			return !anyMatch(f.Values, values(item))
		})
	}
	if token != nil {
		after, err := base64.RawURLEncoding.DecodeString(*token)
		if err != nil {
			return nil, nil, wire.Errorf(400, "InvalidNextToken", "The token '%s' is invalid", *token)
		}
		for len(items) > 0 && *l.id(items[0]) <= string(after) {
			items = items[1:]
		}
	}
	if max == nil || int64(len(items)) <= *max {
		return items, nil, nil
	}
	items = items[:*max]
	next := base64.RawURLEncoding.EncodeToString([]byte(*l.id(items[len(items)-1])))
	return items, &next, nil
}

// values returns how to get what a filter of this name looks at.
func (l listing[T]) values(name string) (func(T) []string, error) {
	if get, ok := l.fields[name]; ok {
		return get, nil
	}
	if l.tags != nil {
		if key, ok := strings.CutPrefix(name, "tag:"); ok {
			return func(item T) []string {
				for _, t := range l.tags(item) {
					if *t.Key == key {
						return []string{*t.Value}
					}
				}
				return nil
			}, nil
		}
		if name == "tag-key" {
			return func(item T) []string {
				var keys []string
				for _, t := range l.tags(item) {
					keys = append(keys, *t.Key)
				}
				return keys
			}, nil
		}
	}
	return nil, invalidValue("The filter '%s' is invalid", name)
}

func anyMatch(patterns, values []string) bool {
	for _, p := range patterns {
		for _, v := range values {
			if glob(p, v) {
				return true
			}
		}
	}
	return false
}

// glob says whether a value matches a filter's pattern, in which * stands for
// any characters, ? for one, and a backslash takes away the meaning of the
// character after it.
func glob(pattern, value string) bool {
	p, v := []rune(pattern), []rune(value)
	star, mark := -1, 0 // after the last star; where its match ends so far
	i, j := 0, 0
	for j < len(v) {
		switch {
		case i < len(p) && p[i] == '*':
			i++
			star, mark = i, j
			continue
		case i < len(p) && p[i] == '?':
			i, j = i+1, j+1
			continue
		case i < len(p):
			literal, next := p[i], i+1
			if literal == '\\' && next < len(p) {
				literal, next = p[next], next+1
			}
			if literal == v[j] {
				i, j = next, j+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		mark++
		i, j = star, mark
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// What a field of a wire shape is for a filter.

func text(p *string) []string {
	if p == nil {
		return nil
	}
	return []string{*p}
}

func boolean(p *bool) []string { return []string{strconv.FormatBool(wire.Val(p))} }

func number(p *int64) []string {
	if p == nil {
		return nil
	}
	return []string{strconv.FormatInt(*p, 10)}
}

func moment(p *time.Time) []string {
	if p == nil {
		return nil
	}
	return []string{p.UTC().Format("2006-01-02T15:04:05.000Z")}
}

// each gathers what every element has.
func each[E any](list []E, get func(E) []string) []string {
	var values []string
	for _, e := range list {
		values = append(values, get(e)...)
	}
	return values
}

// always is the field of a constant value.
func always[T any](values ...string) func(T) []string {
	return func(T) []string { return values }
}

// never is a field that AWS knows and that no item of ours has.
func never[T any](T) []string { return nil }

func sortedUnique(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

package resource

import (
	"maps"
	"time"
)

// Meta is what every resource has: whose it is, where, since when, its tags.
type Meta struct {
	Account string            `json:"account"` // 12 digits
	Region  string            `json:"region"`
	Created time.Time         `json:"created"`
	Tags    map[string]string `json:"tags,omitempty"`
}

// AddTags adds tags, or replaces their values.
func (m *Meta) AddTags(tags map[string]string) {
	if m.Tags == nil {
		m.Tags = make(map[string]string, len(tags))
	}
	maps.Copy(m.Tags, tags)
}

// Metadata returns what the resource has in common with all others.
func (m *Meta) Metadata() *Meta { return m }

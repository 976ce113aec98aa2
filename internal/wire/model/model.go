// Package model is the format of the API models that AWS publishes with its
// SDKs (api-2.json), as far as a server needs it. The generator reads the
// published files and writes pruned ones in the same format; package wire
// reads those.
package model

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// A Model describes one service.
type Model struct {
	Metadata   Metadata              `json:"metadata"`
	Operations map[string]*Operation `json:"operations"`
	Shapes     map[string]*Shape     `json:"shapes"`
}

// Metadata says how a service is reached.
type Metadata struct {
	APIVersion     string `json:"apiVersion,omitempty"`
	EndpointPrefix string `json:"endpointPrefix,omitempty"`
	JSONVersion    string `json:"jsonVersion,omitempty"`
	Protocol       string `json:"protocol,omitempty"`
	SigningName    string `json:"signingName,omitempty"` // EndpointPrefix if empty
	TargetPrefix   string `json:"targetPrefix,omitempty"`
	XMLNamespace   string `json:"xmlNamespace,omitempty"`

	// ValidationCode is the error code for violations of the model's
	// constraints. Published models lack it; the generator adds it.
	ValidationCode string `json:"validationCode,omitempty"`
}

// An Operation without input and output is one without members.
type Operation struct {
	Name     string    `json:"name,omitempty"`
	HTTP     *HTTP     `json:"http,omitempty"`
	Input    *Ref      `json:"input,omitempty"`
	Output   *Ref      `json:"output,omitempty"`
	Endpoint *Endpoint `json:"endpoint,omitempty"`
}

// Endpoint is where an operation differs from its service's host.
type Endpoint struct {
	HostPrefix string `json:"hostPrefix,omitempty"` // clients write it before the host's name
}

// HTTP is the method, path template and success status of an operation.
type HTTP struct {
	Method       string `json:"method,omitempty"`
	RequestURI   string `json:"requestUri,omitempty"`
	ResponseCode int    `json:"responseCode,omitempty"` // 0: 200
}

// A Ref is the use of a shape as member, list element, map key, map value,
// input or output, with what holds for this use only.
type Ref struct {
	Shape           string `json:"shape"`
	Location        string `json:"location,omitempty"` // uri, querystring, header, headers, statusCode; empty: body
	LocationName    string `json:"locationName,omitempty"`
	QueryName       string `json:"queryName,omitempty"`
	ResultWrapper   string `json:"resultWrapper,omitempty"`
	TimestampFormat string `json:"timestampFormat,omitempty"`
	Flattened       bool   `json:"flattened,omitempty"`
	JSONValue       bool   `json:"jsonvalue,omitempty"`
}

// A Shape is a named type.
type Shape struct {
	Type            string   `json:"type"`
	Members         Members  `json:"members,omitempty"`  // structure
	Required        []string `json:"required,omitempty"` // names of members
	Payload         string   `json:"payload,omitempty"`  // name of the member that is the body
	Member          *Ref     `json:"member,omitempty"`   // list
	Key             *Ref     `json:"key,omitempty"`      // map
	Value           *Ref     `json:"value,omitempty"`    // map
	Flattened       bool     `json:"flattened,omitempty"`
	Location        string   `json:"location,omitempty"` // of all members of this shape
	LocationName    string   `json:"locationName,omitempty"`
	TimestampFormat string   `json:"timestampFormat,omitempty"`
	Enum            []string `json:"enum,omitempty"`
	Min             *float64 `json:"min,omitempty"`
	Max             *float64 `json:"max,omitempty"`
	Pattern         string   `json:"pattern,omitempty"`
	Exception       bool     `json:"exception,omitempty"`
}

// A Member is a named member of a structure.
type Member struct {
	Name string
	Ref
}

// Members are in the order of the model, which is the order on the wire.
type Members []Member

// Parse reads a model.
func Parse(data []byte) (*Model, error) {
	m := new(Model)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("parse model: %w", err)
	}
	return m, nil
}

// UnmarshalJSON reads a JSON object, keeping its order.
func (ms *Members) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("parse members: not an object")
	}
	*ms = Members{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		m := Member{Name: name.(string)}
		if err := dec.Decode(&m.Ref); err != nil {
			return fmt.Errorf("parse member %s: %w", m.Name, err)
		}
		*ms = append(*ms, m)
	}
	return nil
}

// MarshalJSON writes a JSON object in the order of the members.
func (ms Members) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, m := range ms {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(m.Name)
		if err != nil {
			return nil, err
		}
		ref, err := json.Marshal(m.Ref)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), ref...)
	}
	return append(out, '}'), nil
}

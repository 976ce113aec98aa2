package wire

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
)

// awsJSON is the protocol awsJson1.0 or awsJson1.1.
type awsJSON struct{ version string }

func (awsJSON) decode(op *operation, r *request, in reflect.Value) error {
	if len(r.body) == 0 {
		return nil
	}
	v, err := parseJSON(r.body)
	if err != nil {
		return serializationError("the request body is not JSON: %v", err)
	}
	whole := slot{shape: op.in}
	if err := whole.setJSON(in, v); err != nil {
		return serializationError("%v", err)
	}
	return nil
}

func (p awsJSON) contentType() string { return "application/x-amz-json-" + p.version }

func (p awsJSON) encode(op *operation, out reflect.Value, _ string) (*response, error) {
	var body []byte
	if !op.noOut {
		var err error
		if body, err = op.out.appendJSONFields(nil, out, ""); err != nil {
			return nil, err
		}
	}
	return newResponse(http.StatusOK, p.contentType(), body), nil
}

func (p awsJSON) fail(a *api, e *Error, _ string) *response {
	return jsonError(a, e, func(_ *response, body map[string]any) {
		body["__type"] = e.Code
	}, p.contentType())
}

// jsonError writes an error whose members are JSON, or headers where the model
// says so; code puts the error's code where the protocol has it.
func jsonError(a *api, e *Error, code func(*response, map[string]any), contentType string) *response {
	resp := newResponse(e.status(), contentType, nil)
	body := map[string]any{"message": e.Message}
	for k, v := range e.Fields {
		if h := a.errorHeader(e.Code, k); h != "" {
			resp.header.Set(h, fmt.Sprint(v))
		} else {
			body[k] = v
		}
	}
	code(resp, body)
	var err error
	if resp.body, err = json.Marshal(body); err != nil { // a field that JSON cannot hold
		resp.body = []byte("{}")
	}
	return resp
}

func (a *api) errorHeader(code, member string) string {
	if a == nil {
		return ""
	}
	return a.errorHeaders[code][member]
}

func (e *Error) status() int {
	if e.Status == 0 {
		return http.StatusBadRequest
	}
	return e.Status
}

package gateway

import (
	"io"
	"strings"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// failure is an answer that the gateway gives by itself.
type failure int

const (
	noRoute failure = iota + 1 // zero is none
	forbidden
	endpointDisabled
	badRequest
	requestTimeout
	requestTooLarge
	headerTooLarge
	targetTooLong
	unsupportedMediaType
	internalError
	configurationError
	integrationUnavailable // there is no way to the backend
	integrationFailure     // the backend broke the exchange
	integrationTimeout
	authorizationMissing
	accessDenied // by a policy; the body says what
)

// reply is the status, error type and body of a failure.
type reply struct {
	status    int
	errorType string // x-amzn-ErrorType, REST only
	body      string
}

// plainText is the error type of a reply whose body is not JSON.
const plainText = "text/plain"

// The bodies are AWS's to the letter, including the space after some colons.
var restReplies = map[failure]reply{
	noRoute:                {403, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}`},
	forbidden:              {403, "ForbiddenException", `{"message":"Forbidden"}`},
	endpointDisabled:       {403, "ForbiddenException", `{"message":"Forbidden"}`},
	badRequest:             {400, "BadRequestException", `{"message": "Bad Request"}`},
	requestTimeout:         {408, "RequestTimeoutException", `{"message": "Request Timeout"}`},
	requestTooLarge:        {413, plainText, `HTTP content length exceeded 10485760 bytes.`},
	headerTooLarge:         {431, "BadRequestException", `{"message": "Request Header Fields Too Large"}`},
	targetTooLong:          {414, "RequestTooLongException", `{"message": "Request URI Too Long"}`},
	unsupportedMediaType:   {415, "BadRequestException", `{"message": "Unsupported Media Type"}`},
	internalError:          {500, "InternalServerErrorException", `{"message": "Internal server error"}`},
	configurationError:     {500, "InternalServerErrorException", `{"message": "Internal server error"}`},
	integrationUnavailable: {500, "InternalServerErrorException", `{"message": "Internal server error"}`},
	integrationFailure:     {504, "InternalServerErrorException", `{"message": "Network error communicating with endpoint"}`},
	integrationTimeout:     {504, "InternalServerErrorException", `{"message": "Endpoint request timed out"}`},
	authorizationMissing:   {403, "ForbiddenException", `{"message":"Forbidden"}`},
	accessDenied:           {403, "AccessDeniedException", ""},
}

var httpReplies = map[failure]reply{
	noRoute:                {404, "", `{"message":"Not Found"}`},
	forbidden:              {403, "", `{"message":"Forbidden"}`},
	endpointDisabled:       {404, "", `{"message":"Not Found"}`},
	badRequest:             {400, "", `{"message":"Bad Request"}`},
	requestTimeout:         {408, "", `{"message":"Request Timeout"}`},
	requestTooLarge:        {413, "", `{"message":"Request Entity Too Large"}`},
	headerTooLarge:         {431, "", `{"message":"Request Header Fields Too Large"}`},
	targetTooLong:          {414, "", `{"message":"Request URI Too Long"}`},
	unsupportedMediaType:   {415, "", `{"message":"Unsupported Media Type"}`},
	internalError:          {500, "", `{"message":"Internal Server Error"}`},
	configurationError:     {500, "", `{"message":"Internal Server Error"}`},
	integrationUnavailable: {503, "", `{"message":"Service Unavailable"}`},
	integrationFailure:     {503, "", `{"message":"Service Unavailable"}`},
	integrationTimeout:     {503, "", `{"message":"Service Unavailable"}`},
	authorizationMissing:   {403, "", `{"message":"Forbidden"}`},
	accessDenied:           {403, "", `{"message":"Forbidden"}`},
}

// responseTypes are AWS's names of failures, the types of gateway responses.
var responseTypes = map[failure]string{
	noRoute:                "MISSING_AUTHENTICATION_TOKEN",
	forbidden:              "ACCESS_DENIED",
	endpointDisabled:       "ACCESS_DENIED",
	badRequest:             "DEFAULT_4XX",
	requestTimeout:         "DEFAULT_4XX",
	requestTooLarge:        "REQUEST_TOO_LARGE",
	headerTooLarge:         "DEFAULT_4XX",
	targetTooLong:          "DEFAULT_4XX",
	unsupportedMediaType:   "UNSUPPORTED_MEDIA_TYPE",
	internalError:          "DEFAULT_5XX",
	configurationError:     "API_CONFIGURATION_ERROR",
	integrationUnavailable: "INTEGRATION_FAILURE",
	integrationFailure:     "INTEGRATION_FAILURE",
	integrationTimeout:     "INTEGRATION_TIMEOUT",
	authorizationMissing:   "ACCESS_DENIED",
	accessDenied:           "ACCESS_DENIED",
}

// message is what the body says.
func (r reply) message() string {
	if _, text, ok := strings.Cut(r.body, `"message":`); ok {
		return strings.Trim(text, ` "}`)
	}
	return r.body
}

// fail answers with a failure. The cause goes to the log.
func (x *exchange) fail(f failure, cause string) *message.Response {
	x.failure, x.cause = f, cause
	replies := restReplies
	if x.api != nil && x.api.Kind == config.HTTP {
		replies = httpReplies
	}
	r := replies[f]
	x.errorMessage = r.message()
	response := text(r.status, r.body)
	if r.errorType == plainText {
		response.Header.Set("Content-Type", plainText)
	} else if r.errorType != "" {
		response.Header.Add("x-amzn-ErrorType", r.errorType)
	}
	return response
}

// text is a response with a small body of JSON.
func text(status int, body string) *message.Response {
	r := &message.Response{
		Status: status,
		Header: message.Header{{Name: "Content-Type", Value: "application/json"}},
	}
	setBody(r, body)
	return r
}

func setBody(r *message.Response, body string) {
	r.Length = int64(len(body))
	if body != "" {
		r.Body = io.NopCloser(strings.NewReader(body))
	}
}

// failUpstream answers a failed exchange with the backend.
func (x *exchange) failUpstream(e *upstream.Error) *message.Response {
	switch e.Kind {
	case upstream.Timeout:
		return x.fail(integrationTimeout, e.Error())
	case upstream.Unavailable, upstream.TLS:
		return x.fail(integrationUnavailable, e.Error())
	}
	return x.fail(integrationFailure, e.Error())
}

package alb

import (
	"io"
	"strings"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/alb/rule"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// serverName is what AWS calls itself in answers of its own.
const serverName = "awselb/2.0"

// fail answers with a failure. The cause goes to the log.
func (x *exchange) fail(status int, cause string) *message.Response {
	x.cause = cause
	return page(status)
}

// page is the small page that AWS answers with by itself.
func page(status int) *message.Response {
	text := statusText(status)
	return own(status, "text/html", "<html>\r\n<head><title>"+text+"</title></head>\r\n<body>\r\n<center><h1>"+text+"</h1></center>\r\n</body>\r\n</html>\r\n")
}

func own(status int, mediaType, body string) *message.Response {
	r := &message.Response{
		Status: status, Length: int64(len(body)),
		Header: message.Header{{Name: "Server", Value: serverName}, {Name: "Content-Type", Value: mediaType}},
	}
	if body != "" {
		r.Body = io.NopCloser(strings.NewReader(body))
	} else if status >= 200 && status != 204 && status != 304 {
		r.Header.Add("Content-Length", "0")
	}
	return r
}

func fixedResponse(f *config.FixedResponse) *message.Response {
	mediaType := f.ContentType
	if mediaType == "" {
		mediaType = "text/plain"
	}
	return own(f.StatusCode, mediaType+"; charset=utf-8", f.MessageBody)
}

func (x *exchange) redirect(d *config.Redirect, port uint16) *message.Response {
	location, err := rule.Location(d, x.routed, port)
	if err != nil {
		return x.fail(400, "request: "+err.Error())
	}
	x.location = location
	r := page(d.StatusCode)
	r.Header.Add("Location", location)
	return r
}

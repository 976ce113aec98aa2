package rule

import (
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// maxLocation bounds what a request can make of a redirect that names a part
// of it many times.
const maxLocation = 16 << 10

// ErrLongLocation says that a redirect's location would be too long.
var ErrLongLocation = errors.New("the location of the redirect is too long")

// Location is where a redirect sends a request. The port is always written,
// as AWS does.
func Location(d *config.Redirect, r *message.Request, port uint16) (string, error) {
	protocol := "HTTP"
	if r.Secure {
		protocol = "HTTPS"
	}
	host := Hostname(r.Host)
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	fill := strings.NewReplacer(
		"#{protocol}", protocol,
		"#{host}", host,
		"#{port}", strconv.Itoa(int(port)),
		"#{path}", strings.TrimPrefix(r.Path, "/"),
		"#{query}", r.Query,
	).Replace
	location := strings.ToLower(fill(d.Protocol)) + "://" + joinPort(fill(d.Host), fill(d.Port)) + fill(d.Path)
	if query := fill(d.Query); query != "" {
		location += "?" + query
	}
	if len(location) > maxLocation {
		return "", ErrLongLocation
	}
	return location, nil
}

func joinPort(host, port string) string {
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

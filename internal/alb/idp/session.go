package idp

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Session is what a client's cookies hold: who has logged in, and until when
// that is good.
type Session struct {
	Provider string          `json:"p"` // Login.ID
	Subject  string          `json:"s"`
	Claims   json.RawMessage `json:"c"` // of the user info endpoint: an object
	Access   string          `json:"a"` // token
	Refresh  string          `json:"r,omitempty"`
	// AccessEnds is when the access token ends, and Ends when the session does,
	// in seconds since 1970. AccessEnds is 0 if the provider has not said it.
	AccessEnds int64 `json:"x,omitempty"`
	Ends       int64 `json:"e"`
}

// stale says whether the claims are to be asked for again.
func (s *Session) stale(now time.Time) bool {
	return s.Refresh != "" && s.AccessEnds != 0 && now.Unix() >= s.AccessEnds
}

// Limits of sessions. Browsers keep cookies of 4 kB, with their names and
// attributes; a client's field Cookie may have 16 KiB here.
const (
	maxClaims = 11 << 10 // of claims and access token, as AWS
	maxShards = 4
	shardSize = 3900 // with the name
)

// errLarge is a session that does not go into cookies.
var errLarge = errors.New("the session is too large for cookies")

// shards cut a sealed text into the values of cookies with a name. The first
// begins with their number.
func shards(name, sealed string) ([]string, error) {
	size := shardSize - len(name)
	n := (len(sealed) + 1 + size - 1) / size
	if n > maxShards {
		return nil, errLarge
	}
	text := strconv.Itoa(n) + sealed
	var out []string
	for len(text) > size {
		out, text = append(out, text[:size]), text[size:]
	}
	return append(out, text), nil
}

// join puts the values of cookies together; value finds the one with a number.
// It is empty if there is none.
func join(value func(i int) (string, bool)) (string, error) {
	first, ok := value(0)
	if !ok {
		return "", nil
	}
	if first == "" || first[0] < '1' || first[0] > '0'+maxShards {
		return "", errForeign
	}
	var b strings.Builder
	b.WriteString(first[1:])
	for i := 1; i < int(first[0]-'0'); i++ {
		next, ok := value(i)
		if !ok {
			return "", errors.New("a part of it is missing")
		}
		b.WriteString(next)
	}
	return b.String(), nil
}

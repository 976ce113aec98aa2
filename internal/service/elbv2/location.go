package elbv2

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// locationPath is where the parts of trust stores can be read, in the place of
// AWS's presigned URLs of S3. Nothing there is secret.
const locationPath = "/_isthmus/trust-store/"

// bundleName is the part of a trust store that has its certificates. Revocation
// lists are named by their IDs.
const bundleName = "bundle"

func (s *Service) location(arn, part string) string {
	return s.options.URL + locationPath + url.PathEscape(arn) + "/" + part
}

// Locations answers what Location fields point to. All else goes to next.
func Locations(db *store.DB, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, ok := strings.CutPrefix(r.URL.Path, locationPath)
		if !ok || r.Method != http.MethodGet {
			next.ServeHTTP(w, r)
			return
		}
		i := strings.LastIndexByte(rest, '/')
		t, ok := store.TrustStores.Get(db.View(), rest[:max(0, i)])
		if !ok {
			http.NotFound(w, r)
			return
		}
		content, ok := part(t, rest[i+1:])
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(content)
	})
}

func part(t *resource.TrustStore, name string) ([]byte, bool) {
	if name == bundleName {
		return []byte(t.Bundle), true
	}
	for _, r := range t.Revocations {
		if strconv.FormatInt(r.ID, 10) == name {
			return r.Content, true
		}
	}
	return nil, false
}

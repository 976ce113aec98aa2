package apigateway

import (
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

// settingNames are the ends of the patch paths of method settings.
var settingNames = []string{
	"metrics/enabled", "logging/dataTrace", "logging/loglevel", "throttling/burstLimit", "throttling/rateLimit",
	"caching/ttlInSeconds", "caching/enabled", "caching/dataEncrypted",
	"caching/requireAuthorizationForCacheControl", "caching/unauthorizedCacheControlHeaderStrategy",
}

// patchMethodSetting carries out an operation on the settings of some of a
// stage's methods: "/{resource}/{method}/{setting}" with "*/*" for all
// methods, and "~1" or not for the slashes of the resource's path. Removing
// "/{resource}/{method}" removes all settings of the method. It says whether
// the operation was one.
func patchMethodSetting(st *resource.RestStage, o *api.PatchOperation) (bool, error) {
	path := strings.TrimPrefix(wire.Val(o.Path), "/")
	if wire.Val(o.Op) == "remove" {
		key := settingKey(path)
		_, ok := st.MethodSettings[key]
		delete(st.MethodSettings, key)
		return ok, nil
	}
	i := slices.IndexFunc(settingNames, func(n string) bool { return strings.HasSuffix(path, "/"+n) })
	if i < 0 || wire.Val(o.Op) != "replace" {
		return false, nil
	}
	name := settingNames[i]
	key := settingKey(strings.TrimSuffix(path, "/"+name))
	method := key[strings.LastIndexByte(key, '/')+1:]
	if key != "*/*" && (method == "ANY" || !slices.Contains(httpMethods, method)) {
		return false, nil
	}
	m := st.MethodSettings[key]
	if m == nil {
		m = defaultMethodSetting()
	}
	if err := setMethodSetting(m, name, wire.Val(o.Value)); err != nil {
		return true, err
	}
	if st.MethodSettings == nil {
		st.MethodSettings = map[string]*resource.RestMethodSetting{}
	}
	st.MethodSettings[key] = m
	return true, nil
}

// settingKey is the name of "{resource}/{method}" in a stage's settings: the
// path without its first slash.
func settingKey(path string) string { return strings.TrimPrefix(unescape(path), "/") }

func defaultMethodSetting() *resource.RestMethodSetting {
	return &resource.RestMethodSetting{
		LoggingLevel: "OFF", ThrottlingBurstLimit: 5000, ThrottlingRateLimit: 10000, CacheTTLSeconds: 300,
		CacheControlNeedsAuth: true, UnauthorizedCacheControl: "SUCCEED_WITH_RESPONSE_HEADER",
	}
}

func setMethodSetting(m *resource.RestMethodSetting, name, value string) (err error) {
	switch name {
	case "metrics/enabled":
		m.MetricsEnabled = isTrue(value)
	case "logging/dataTrace":
		m.DataTraceEnabled = isTrue(value)
	case "logging/loglevel":
		if !slices.Contains([]string{"OFF", "ERROR", "INFO"}, value) {
			return badRequest("Invalid logging level specified: %s. Must be one of: [OFF, ERROR, INFO]", value)
		}
		m.LoggingLevel = value
	case "throttling/burstLimit":
		m.ThrottlingBurstLimit, err = strconv.ParseInt(value, 10, 32)
	case "throttling/rateLimit":
		m.ThrottlingRateLimit, err = strconv.ParseFloat(value, 64)
	case "caching/enabled":
		m.CachingEnabled = isTrue(value)
	case "caching/ttlInSeconds":
		m.CacheTTLSeconds, err = strconv.ParseInt(value, 10, 32)
		if err == nil && (m.CacheTTLSeconds < 0 || m.CacheTTLSeconds > 3600) {
			return badRequest("Invalid cache TTL specified: %s. Must be between 0 and 3600", value)
		}
	case "caching/dataEncrypted":
		m.CacheDataEncrypted = isTrue(value)
	case "caching/requireAuthorizationForCacheControl":
		m.CacheControlNeedsAuth = isTrue(value)
	case "caching/unauthorizedCacheControlHeaderStrategy":
		if !slices.Contains([]string{"FAIL_WITH_403", "SUCCEED_WITH_RESPONSE_HEADER", "SUCCEED_WITHOUT_RESPONSE_HEADER"}, value) {
			return badRequest("Invalid unauthorized cache control header strategy specified: %s", value)
		}
		m.UnauthorizedCacheControl = value
	}
	if err != nil {
		return badRequest("Invalid number specified for %s: %s", name, value)
	}
	return nil
}

// stageStyle is how stages refuse an operation.
func stageStyle(fields []patchField, op, path string) error {
	for _, f := range fields {
		if _, ok := f.match(path); ok {
			return badRequest("Invalid patch operation specified. Must be one of: [%s]", strings.Join(f.ops, ", "))
		}
	}
	var paths []string
	for _, f := range fields {
		paths = append(paths, f.path)
	}
	for _, n := range settingNames {
		paths = append(paths, "/{resourcePath}/{httpMethod}/"+n, "/*/*/"+n)
	}
	return badRequest("Invalid method setting path: %s. Must be one of: [%s]", path, strings.Join(paths, ", "))
}

// showMethodSetting is a method's settings on the wire.
func showMethodSetting(m *resource.RestMethodSetting) *api.MethodSetting {
	return &api.MethodSetting{
		MetricsEnabled:                         &m.MetricsEnabled,
		LoggingLevel:                           &m.LoggingLevel,
		DataTraceEnabled:                       &m.DataTraceEnabled,
		ThrottlingBurstLimit:                   &m.ThrottlingBurstLimit,
		ThrottlingRateLimit:                    &m.ThrottlingRateLimit,
		CachingEnabled:                         &m.CachingEnabled,
		CacheTtlInSeconds:                      &m.CacheTTLSeconds,
		CacheDataEncrypted:                     &m.CacheDataEncrypted,
		RequireAuthorizationForCacheControl:    &m.CacheControlNeedsAuth,
		UnauthorizedCacheControlHeaderStrategy: &m.UnauthorizedCacheControl,
	}
}

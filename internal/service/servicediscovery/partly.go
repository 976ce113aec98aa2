package servicediscovery

// Partly says what of the supported operations is refused, or has no effect.
var Partly = map[string]string{
	"CreatePrivateDnsNamespace": "without a hosted zone of Route 53",
	"CreateService":             "no health checks by Route 53 (HealthCheckConfig)",
	"UpdateService":             "no health checks by Route 53 (HealthCheckConfig)",
	"RegisterInstance":          "no alias records",
}

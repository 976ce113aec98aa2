package elbv2

import (
	"errors"

	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
)

// invalid is AWS's error for a parameter that is malformed or missing.
func invalid(format string, args ...any) error {
	return wire.Errorf(400, "ValidationError", format, args...)
}

// unsupported is AWS's error for a combination of settings that cannot be
// had; here also for what Isthmus does not have.
func unsupported(format string, args ...any) error {
	return wire.Errorf(400, "InvalidConfigurationRequest", format, args...)
}

var (
	errNoBalancer   = wire.Errorf(400, "LoadBalancerNotFound", "One or more load balancers not found")
	errNoGroup      = wire.Errorf(400, "TargetGroupNotFound", "One or more target groups not found")
	errNoRule       = wire.Errorf(400, "RuleNotFound", "One or more rules not found")
	errNoTrustStore = wire.Errorf(400, "TrustStoreNotFound", "One or more trust stores not found")
	errNoListener   = wire.Errorf(400, "ListenerNotFound", "One or more listeners not found")
)

// networkError turns an error of package vpc, which speaks as the EC2 API
// does, into this API's.
func networkError(err error) error {
	var e *wire.Error
	switch {
	case !errors.As(err, &e):
		return err
	case e == vpc.ErrNoAddress:
		return wire.Errorf(400, "InvalidSubnet", "%s", e.Message)
	case e.Code == "InvalidSubnetID.NotFound":
		return wire.Errorf(400, "SubnetNotFound", "%s", e.Message)
	case e.Code == "InvalidGroup.NotFound":
		return wire.Errorf(400, "InvalidSecurityGroup", "%s", e.Message)
	default:
		return unsupported("%s", e.Message)
	}
}

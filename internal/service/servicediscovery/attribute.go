package servicediscovery

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	api "github.com/isthmus-net/isthmus/internal/wire/servicediscovery"
)

// Limits of the attributes of an instance.
const (
	maxCustomAttributes = 30
	maxAttributeSize    = 5000 // characters of all keys and values
)

// readAttributes checks the attributes of an instance of a service, and adds
// the address of the EC2 instance if one is named.
func (sc scope) readAttributes(r store.Reader, s *resource.CloudMapService, given map[string]string) (map[string]string, error) {
	attributes := maps.Clone(given)
	size, custom := 0, 0
	for k, v := range attributes {
		size += len(k) + len(v)
		if !strings.HasPrefix(k, "AWS_") {
			custom++
		}
	}
	switch {
	case custom > maxCustomAttributes:
		return nil, invalid("An instance can have at most %d custom attributes.", maxCustomAttributes)
	case size > maxAttributeSize:
		return nil, invalid("The attributes of an instance can have at most %d characters in all.", maxAttributeSize)
	}
	for _, k := range slices.Sorted(maps.Keys(attributes)) {
		if err := checkAttribute(s, k, attributes[k]); err != nil {
			return nil, err
		}
	}
	if err := checkRecords(s, attributes); err != nil {
		return nil, err
	}
	return attributes, sc.addAddress(r, s, attributes)
}

// checkAttribute checks the value of an attribute that has a meaning.
func checkAttribute(s *resource.CloudMapService, name, value string) error {
	ok := true
	switch name {
	case resource.AttributeInstanceIPv4:
		a, err := netip.ParseAddr(value)
		ok = err == nil && a.Is4()
	case resource.AttributeInstanceIPv6:
		a, err := netip.ParseAddr(value)
		ok = err == nil && a.Is6() && a.Zone() == ""
	case resource.AttributeInstancePort:
		port, err := strconv.ParseUint(value, 10, 16)
		ok = err == nil && port > 0
	case resource.AttributeInstanceName:
		ok = validDomain(strings.TrimSuffix(value, "."))
	case resource.AttributeInitHealth:
		if !s.CustomHealth {
			return invalid("%s needs a service with a HealthCheckCustomConfig.", name)
		}
		ok = value == api.CustomHealthStatusHealthy || value == api.CustomHealthStatusUnhealthy
	case resource.AttributeAlias:
		return invalid("Alias records (%s) are not supported.", name)
	}
	if !ok {
		return invalid("The value '%s' of the attribute %s is not valid.", value, name)
	}
	return nil
}

// checkRecords checks that the attributes are there of which a service's DNS
// records are made.
func checkRecords(s *resource.CloudMapService, attributes map[string]string) error {
	missing := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(n string) bool { _, ok := attributes[n]; return ok })
	}
	need := func(record string, names ...string) error {
		if missing(names...) {
			return invalid("The %s record of the service %s needs the attribute %s.", record, s.ID, strings.Join(names, " or "))
		}
		return nil
	}
	for _, kind := range recordTypes(s.DNS) {
		var err error
		switch kind {
		case api.RecordTypeA:
			err = need(kind, resource.AttributeInstanceIPv4)
		case api.RecordTypeAaaa:
			err = need(kind, resource.AttributeInstanceIPv6)
		case api.RecordTypeCname:
			err = need(kind, resource.AttributeInstanceName)
		case api.RecordTypeSrv:
			if err = need(kind, resource.AttributeInstancePort); err == nil {
				err = need(kind, resource.AttributeInstanceIPv4, resource.AttributeInstanceIPv6)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addAddress gives an EC2 instance its address.
func (sc scope) addAddress(r store.Reader, s *resource.CloudMapService, attributes map[string]string) error {
	id, ok := attributes[resource.AttributeEC2Instance]
	if !ok {
		return nil
	}
	if s.DNS != nil {
		return invalid("%s is for services without DNS records only.", resource.AttributeEC2Instance)
	}
	for k := range attributes {
		if k != resource.AttributeEC2Instance && k != resource.AttributeInitHealth {
			return invalid("If %s is specified, %s is the only other attribute that can be.", resource.AttributeEC2Instance, resource.AttributeInitHealth)
		}
	}
	i, ok := store.Instances.Get(r, id)
	if !ok || !sc.owns(i.Meta) {
		return invalid("The EC2 instance %s does not exist.", id)
	}
	n, ok := store.NetworkInterfaces.Get(r, i.Interface)
	if !ok || len(n.Addresses) == 0 {
		return invalid("The EC2 instance %s has no address.", id)
	}
	attributes[resource.AttributeInstanceIPv4] = n.Addresses[0].String()
	return nil
}

package elbv2

import (
	"context"
	"slices"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// maxCertificates is AWS's quota of a load balancer, without the default ones.
const maxCertificates = 25

func certificateNotFound(arn string) error {
	return wire.Errorf(400, "CertificateNotFound", "Certificate '%s' not found", arn)
}

// checkCertificate says whether a certificate can be shown by a listener of
// the scope.
func (s scope) checkCertificate(r store.Reader, arn string) error {
	c, ok := store.Certificates.Get(r, arn)
	if !ok || c.Account != s.account || c.Region != s.region {
		return certificateNotFound(arn)
	}
	return nil
}

// certificateARNs reads a list of certificates to add or to remove.
func certificateARNs(list []*api.Certificate) (arns []string, err error) {
	for _, c := range list {
		switch {
		case wire.Val(c.CertificateArn) == "":
			return nil, invalid("A certificate ARN must be specified")
		case c.IsDefault != nil:
			return nil, invalid("'IsDefault' cannot be set when certificates are added or removed")
		}
		arns = append(arns, *c.CertificateArn)
	}
	if len(arns) == 0 {
		return nil, invalid("A certificate must be specified")
	}
	return arns, nil
}

func (s scope) findSecureListener(r store.Reader, arn string) (*resource.Listener, error) {
	l, err := s.findListener(r, arn)
	if err == nil && l.TLS == nil {
		return nil, unsupported("A certificate cannot be specified for listeners without TLS")
	}
	return l, err
}

// AddListenerCertificates adds certificates that a listener shows to clients
// which name a host that they hold for.
func (s *Service) AddListenerCertificates(ctx context.Context, in *api.AddListenerCertificatesInput) (*api.AddListenerCertificatesOutput, error) {
	sc := scopeOf(ctx)
	arns, err := certificateARNs(in.Certificates)
	if err != nil {
		return nil, err
	}
	_, err = s.db.Update(ctx, func(tx *store.Tx) error {
		l, err := sc.findSecureListener(tx, wire.Val(in.ListenerArn))
		if err != nil {
			return err
		}
		for _, arn := range arns {
			if err := sc.checkCertificate(tx, arn); err != nil {
				return err
			}
			if !slices.Contains(l.TLS.Certificates, arn) {
				l.TLS.Certificates = append(l.TLS.Certificates, arn)
			}
		}
		slices.Sort(l.TLS.Certificates)
		store.Listeners.Put(tx, l)
		n := 0
		for _, other := range listeners(tx, l.LoadBalancer) {
			if other.TLS != nil {
				n += len(other.TLS.Certificates)
			}
		}
		if n > maxCertificates {
			return wire.Errorf(400, "TooManyCertificates", "A load balancer can have at most %d certificates besides the default ones", maxCertificates)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &api.AddListenerCertificatesOutput{}
	for _, arn := range arns {
		out.Certificates = append(out.Certificates, &api.Certificate{CertificateArn: &arn, IsDefault: wire.Ptr(false)})
	}
	return out, nil
}

// RemoveListenerCertificates removes certificates, those that a listener has
// and that are not its default one.
func (s *Service) RemoveListenerCertificates(ctx context.Context, in *api.RemoveListenerCertificatesInput) (*api.RemoveListenerCertificatesOutput, error) {
	arns, err := certificateARNs(in.Certificates)
	if err != nil {
		return nil, err
	}
	_, err = s.db.Update(ctx, func(tx *store.Tx) error {
		l, err := scopeOf(ctx).findSecureListener(tx, wire.Val(in.ListenerArn))
		if err != nil {
			return err
		}
		for _, arn := range arns {
			i := slices.Index(l.TLS.Certificates, arn)
			switch {
			case i >= 0:
				l.TLS.Certificates = slices.Delete(l.TLS.Certificates, i, i+1)
			case arn == l.TLS.Certificate:
				return wire.Errorf(400, "OperationNotPermitted", "Default certificate '%s' cannot be removed", arn)
			}
		}
		store.Listeners.Put(tx, l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.RemoveListenerCertificatesOutput{}, nil
}

// DescribeListenerCertificates lists the certificates of a listener, the
// default one first.
func (s *Service) DescribeListenerCertificates(ctx context.Context, in *api.DescribeListenerCertificatesInput) (*api.DescribeListenerCertificatesOutput, error) {
	l, err := scopeOf(ctx).findListener(s.db.View(), wire.Val(in.ListenerArn))
	if err != nil {
		return nil, err
	}
	all := []*api.Certificate{}
	for i, arn := range l.TLS.All() {
		all = append(all, &api.Certificate{CertificateArn: &arn, IsDefault: wire.Ptr(i == 0)})
	}
	// The default one may be among the others, too.
	key := func(c *api.Certificate) string {
		if *c.IsDefault {
			return ""
		}
		return *c.CertificateArn
	}
	shown, next, err := page(all, key, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	return &api.DescribeListenerCertificatesOutput{Certificates: shown, NextMarker: next}, nil
}

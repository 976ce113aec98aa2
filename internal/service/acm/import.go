package acm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/authority"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/acm"
)

// ImportCertificate takes a certificate with its key, in the place of an
// imported one if that is named.
func (s *Service) ImportCertificate(ctx context.Context, in *api.ImportCertificateInput) (*api.ImportCertificateOutput, error) {
	sc := scopeOf(ctx)
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	wanted, err := readCertificate(in)
	if err != nil {
		return nil, err
	}
	if wire.Val(in.CertificateArn) != "" && len(tags) > 0 {
		return nil, invalid("Tagging is not permitted on re-import.")
	}
	wanted.Meta = resource.Meta{Account: sc.account, Region: sc.region, Created: now(), Tags: tags}
	wanted.Issued = wanted.Created
	_, err = s.db.Update(ctx, func(tx *store.Tx) error {
		if wire.Val(in.CertificateArn) != "" {
			old, err := sc.find(tx, *in.CertificateArn)
			if err != nil {
				return err
			}
			if old.Type != resource.ImportedCertificate {
				return invalid("The certificate %s was not imported and cannot be reimported.", old.ARN)
			}
			wanted.ARN, wanted.Meta = old.ARN, old.Meta
		}
		return sc.put(tx, wanted)
	})
	if err != nil {
		return nil, err
	}
	return &api.ImportCertificateOutput{CertificateArn: &wanted.ARN}, nil
}

// readCertificate checks that certificate, chain and key belong together.
func readCertificate(in *api.ImportCertificateInput) (*resource.Certificate, error) {
	blocks, err := certificates(in.Certificate)
	switch {
	case err != nil || len(blocks) == 0:
		return nil, invalid("Unable to parse certificate. Please ensure the certificate is in PEM format.")
	case len(blocks) > 1:
		return nil, invalid("The certificate field contains more than one certificate. You can specify only one certificate in this field.")
	}
	leaf := blocks[0]
	chain, err := certificates(in.CertificateChain)
	if err != nil {
		return nil, invalid("Unable to parse certificate chain. Please ensure the certificate chain is in PEM format.")
	}
	for i, below := 0, leaf; i < len(chain); i++ {
		if below.CheckSignatureFrom(chain[i]) != nil {
			return nil, invalid("Unable to validate certificate chain. The certificate chain must start with the immediate signing certificate, "+
				"followed by any intermediaries in order. The index within the chain of the invalid certificate is: %d", i)
		}
		below = chain[i]
	}
	key, err := privateKey(in.PrivateKey)
	if err != nil {
		return nil, err
	}
	if public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(key.Public()) {
		return nil, invalid("The private key does not match the certificate.")
	}
	algorithm := algorithmOf(leaf.PublicKey)
	switch {
	case algorithm == "":
		return nil, invalid("The private key is not supported.")
	case now().After(leaf.NotAfter):
		return nil, invalid("The certificate has expired.")
	case now().Before(leaf.NotBefore):
		return nil, invalid("The certificate is not valid until %s.", leaf.NotBefore.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	private, err := authority.EncodeKey(key)
	if err != nil {
		return nil, invalid("The private key is not supported.")
	}
	c := &resource.Certificate{
		Type: resource.ImportedCertificate, KeyAlgorithm: algorithm, NotAfter: leaf.NotAfter.UTC(),
		Certificate: encode(leaf), PrivateKey: private, Names: leaf.DNSNames,
	}
	for _, x := range chain {
		c.Chain += encode(x)
	}
	if c.Domain = leaf.Subject.CommonName; c.Domain == "" && len(c.Names) > 0 {
		c.Domain = c.Names[0]
	}
	return c, nil
}

func encode(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// certificates reads PEM that holds nothing else.
func certificates(data []byte) (all []*x509.Certificate, err error) {
	for data = bytes.TrimSpace(data); len(data) > 0; data = bytes.TrimSpace(data) {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil || block.Type != "CERTIFICATE" {
			return nil, invalid("not a certificate")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// privateKey reads PEM: PKCS #1, SEC 1 or PKCS #8, not encrypted.
func privateKey(data []byte) (crypto.Signer, error) {
	unsupported := invalid("The private key is not supported.")
	block, rest := pem.Decode(data)
	// OpenSSL may write the curve's parameters before the key.
	if block != nil && block.Type == "EC PARAMETERS" {
		block, rest = pem.Decode(rest)
	}
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, invalid("Unable to parse private key. Please ensure the private key is in PEM format.")
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, invalid("The private key must not be encrypted.")
	}
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, unsupported
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, unsupported
	}
	return signer, nil
}

// algorithmOf is the algorithm of a key as AWS names it; empty if it is one
// that cannot be imported.
func algorithmOf(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); bits {
		case 1024, 2048, 3072, 4096:
			return "RSA_" + strconv.Itoa(bits)
		}
	case *ecdsa.PublicKey:
		switch k.Curve.Params().Name {
		case "P-256":
			return "EC_prime256v1"
		case "P-384":
			return "EC_secp384r1"
		case "P-521":
			return "EC_secp521r1"
		}
	}
	return ""
}

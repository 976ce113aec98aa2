// Package sslpolicy holds the predefined security policies of Elastic Load
// Balancing, and what crypto/tls makes of them. What it can't do is left out:
// CBC with SHA-384, and AES-256-CBC with SHA-256 (crypto/tls has neither), and
// the order of suites, which it chooses itself. Policies for FIPS 140-3 are not
// here: they promise a validated module.
package sslpolicy

import (
	"crypto/tls"
	"slices"
)

// Default is the policy of listeners for which none was named.
const Default = "ELBSecurityPolicy-2016-08"

// Policy is one security policy.
type Policy struct {
	Name      string
	Protocols []string // as AWS writes them: "TLSv1", "TLSv1.1", …
	Ciphers   []string // as OpenSSL names them, in order
	postQ     bool     // hybrid post-quantum key exchange
}

// The kinds of cipher suites that policies are made of.
const (
	tls13  = 1 << iota
	gcm    // ECDHE, AES-GCM
	cbc    // ECDHE, AES-CBC with SHA-2
	sha1   // ECDHE, AES-CBC with SHA-1
	rsa    // without forward secrecy, SHA-2
	rsa1   // without forward secrecy, SHA-1
	des3   // without forward secrecy, triple DES
	legacy = gcm | cbc | sha1 | rsa | rsa1
)

// suite is a cipher suite. What crypto/tls does not have has no id.
type suite struct {
	name string
	kind int
	id   uint16
}

// suites in AWS's order.
var suites = []suite{
	{"TLS_AES_128_GCM_SHA256", tls13, tls.TLS_AES_128_GCM_SHA256},
	{"TLS_AES_256_GCM_SHA384", tls13, tls.TLS_AES_256_GCM_SHA384},
	{"TLS_CHACHA20_POLY1305_SHA256", tls13, tls.TLS_CHACHA20_POLY1305_SHA256},
	{"ECDHE-ECDSA-AES128-GCM-SHA256", gcm, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	{"ECDHE-RSA-AES128-GCM-SHA256", gcm, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
	{"ECDHE-ECDSA-AES128-SHA256", cbc, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256},
	{"ECDHE-RSA-AES128-SHA256", cbc, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256},
	{"ECDHE-ECDSA-AES128-SHA", sha1, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA},
	{"ECDHE-RSA-AES128-SHA", sha1, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA},
	{"ECDHE-ECDSA-AES256-GCM-SHA384", gcm, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
	{"ECDHE-RSA-AES256-GCM-SHA384", gcm, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384},
	{"ECDHE-ECDSA-AES256-SHA384", cbc, 0},
	{"ECDHE-RSA-AES256-SHA384", cbc, 0},
	{"ECDHE-RSA-AES256-SHA", sha1, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA},
	{"ECDHE-ECDSA-AES256-SHA", sha1, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA},
	{"AES128-GCM-SHA256", rsa, tls.TLS_RSA_WITH_AES_128_GCM_SHA256},
	{"AES128-SHA256", rsa, tls.TLS_RSA_WITH_AES_128_CBC_SHA256},
	{"AES128-SHA", rsa1, tls.TLS_RSA_WITH_AES_128_CBC_SHA},
	{"AES256-GCM-SHA384", rsa, tls.TLS_RSA_WITH_AES_256_GCM_SHA384},
	{"AES256-SHA256", rsa, 0},
	{"AES256-SHA", rsa1, tls.TLS_RSA_WITH_AES_256_CBC_SHA},
	{"DES-CBC3-SHA", des3, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA},
}

var versions = []struct {
	name string
	id   uint16
}{{"TLSv1", tls.VersionTLS10}, {"TLSv1.1", tls.VersionTLS11}, {"TLSv1.2", tls.VersionTLS12}, {"TLSv1.3", tls.VersionTLS13}}

func policy(name string, first, last uint16, kinds int) Policy {
	p := Policy{Name: name}
	for _, v := range versions {
		if v.id >= first && v.id <= last {
			p.Protocols = append(p.Protocols, v.name)
		}
	}
	for _, s := range suites {
		if kinds&s.kind != 0 {
			p.Ciphers = append(p.Ciphers, s.name)
		}
	}
	return p
}

func postQuantum(p Policy) Policy {
	p.postQ = true
	return p
}

const (
	v10, v11, v12, v13 = tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13
	prefix             = "ELBSecurityPolicy-"
)

// All are the policies of Application Load Balancers, by "Security policies for
// your Application Load Balancer" in the user guide and DescribeSSLPolicies.
var All = []Policy{
	policy(Default, v10, v12, legacy),
	policy(prefix+"TLS13-1-2-2021-06", v12, v13, tls13|gcm|cbc),
	policy(prefix+"TLS13-1-2-Res-2021-06", v12, v13, tls13|gcm),
	policy(prefix+"TLS13-1-2-Ext1-2021-06", v12, v13, tls13|gcm|cbc|rsa),
	policy(prefix+"TLS13-1-2-Ext2-2021-06", v12, v13, tls13|legacy),
	policy(prefix+"TLS13-1-1-2021-06", v11, v13, tls13|legacy),
	policy(prefix+"TLS13-1-0-2021-06", v10, v13, tls13|legacy),
	policy(prefix+"TLS13-1-3-2021-06", v13, v13, tls13),
	policy(prefix+"TLS-1-2-2017-01", v12, v12, gcm|cbc|rsa),
	policy(prefix+"TLS-1-1-2017-01", v11, v12, legacy),
	policy(prefix+"TLS-1-2-Ext-2018-06", v12, v12, legacy),
	policy(prefix+"FS-2018-06", v10, v12, gcm|cbc|sha1),
	policy(prefix+"2015-05", v10, v12, legacy),
	policy(prefix+"TLS-1-0-2015-04", v10, v12, legacy|des3),
	policy(prefix+"FS-1-2-Res-2019-08", v12, v12, gcm|cbc),
	policy(prefix+"FS-1-1-2019-08", v11, v12, gcm|cbc|sha1),
	policy(prefix+"FS-1-2-2019-08", v12, v12, gcm|cbc|sha1),
	policy(prefix+"FS-1-2-Res-2020-10", v12, v12, gcm),
	postQuantum(policy(prefix+"TLS13-1-3-PQ-2025-09", v13, v13, tls13)),
	postQuantum(policy(prefix+"TLS13-1-2-PQ-2025-09", v12, v13, tls13|gcm|cbc)),
	postQuantum(policy(prefix+"TLS13-1-2-Res-PQ-2025-09", v12, v13, tls13|gcm)),
	postQuantum(policy(prefix+"TLS13-1-2-Ext1-PQ-2025-09", v12, v13, tls13|gcm|cbc|rsa)),
	postQuantum(policy(prefix+"TLS13-1-2-Ext2-PQ-2025-09", v12, v13, tls13|legacy)),
	postQuantum(policy(prefix+"TLS13-1-0-PQ-2025-09", v10, v13, tls13|legacy)),
}

// Find is the policy with a name.
func Find(name string) (Policy, bool) {
	if i := slices.IndexFunc(All, func(p Policy) bool { return p.Name == name }); i >= 0 {
		return All[i], true
	}
	return Policy{}, false
}

// Apply sets versions, cipher suites and key exchanges of a server.
func (p Policy) Apply(c *tls.Config) {
	for _, v := range versions {
		if slices.Contains(p.Protocols, v.name) {
			if c.MinVersion == 0 {
				c.MinVersion = v.id
			}
			c.MaxVersion = v.id
		}
	}
	c.CipherSuites = []uint16{} // nil would be the library's own choice
	for _, s := range suites {
		if s.id != 0 && s.kind != tls13 && slices.Contains(p.Ciphers, s.name) {
			c.CipherSuites = append(c.CipherSuites, s.id)
		}
	}
	c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	if p.postQ {
		c.CurvePreferences = append([]tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024}, c.CurvePreferences...)
	}
}

// Version is the name of a version of TLS, as in X-Amzn-Tls-Version.
func Version(id uint16) string {
	for _, v := range versions {
		if v.id == id {
			return v.name
		}
	}
	return ""
}

// Cipher is the name of a cipher suite, as in X-Amzn-Tls-Cipher-Suite.
func Cipher(id uint16) string {
	for _, s := range suites {
		if s.id == id {
			return s.name
		}
	}
	return tls.CipherSuiteName(id)
}

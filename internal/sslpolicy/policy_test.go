package sslpolicy

import (
	"crypto/tls"
	"slices"
	"testing"
)

func TestPolicies(t *testing.T) {
	for _, want := range []struct {
		name         string
		protocols    []string
		first        string // cipher
		n, supported int
		min, max     uint16
	}{
		{"ELBSecurityPolicy-2016-08", []string{"TLSv1", "TLSv1.1", "TLSv1.2"}, "ECDHE-ECDSA-AES128-GCM-SHA256", 18, 15, tls.VersionTLS10, tls.VersionTLS12},
		{"ELBSecurityPolicy-TLS13-1-2-2021-06", []string{"TLSv1.2", "TLSv1.3"}, "TLS_AES_128_GCM_SHA256", 11, 6, tls.VersionTLS12, tls.VersionTLS13},
		{"ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", []string{"TLSv1.2", "TLSv1.3"}, "TLS_AES_128_GCM_SHA256", 15, 9, tls.VersionTLS12, tls.VersionTLS13},
		{"ELBSecurityPolicy-TLS13-1-3-2021-06", []string{"TLSv1.3"}, "TLS_AES_128_GCM_SHA256", 3, 0, tls.VersionTLS13, tls.VersionTLS13},
		{"ELBSecurityPolicy-FS-1-2-Res-2020-10", []string{"TLSv1.2"}, "ECDHE-ECDSA-AES128-GCM-SHA256", 4, 4, tls.VersionTLS12, tls.VersionTLS12},
		{"ELBSecurityPolicy-TLS-1-0-2015-04", []string{"TLSv1", "TLSv1.1", "TLSv1.2"}, "ECDHE-ECDSA-AES128-GCM-SHA256", 19, 16, tls.VersionTLS10, tls.VersionTLS12},
	} {
		p, ok := Find(want.name)
		if !ok {
			t.Fatal(want.name)
		}
		var c tls.Config
		p.Apply(&c)
		if !slices.Equal(p.Protocols, want.protocols) || p.Ciphers[0] != want.first || len(p.Ciphers) != want.n || c.CipherSuites == nil ||
			len(c.CipherSuites) != want.supported || c.MinVersion != want.min || c.MaxVersion != want.max {
			t.Errorf("%+v: %x, %x to %x", p, c.CipherSuites, c.MinVersion, c.MaxVersion)
		}
		if slices.Contains(c.CurvePreferences, tls.X25519MLKEM768) {
			t.Errorf("%s allows post-quantum key exchange", p.Name)
		}
	}
	seen := map[string]bool{}
	for _, p := range All {
		if seen[p.Name] {
			t.Errorf("%s is there twice", p.Name)
		}
		seen[p.Name] = true
	}
	p, _ := Find("ELBSecurityPolicy-TLS13-1-3-PQ-2025-09")
	var c tls.Config
	if p.Apply(&c); !slices.Contains(c.CurvePreferences, tls.X25519MLKEM768) {
		t.Error("no post-quantum key exchange")
	}
	if _, ok := Find("ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04"); ok {
		t.Error("a policy for FIPS is there")
	}
	if Version(tls.VersionTLS12) != "TLSv1.2" || Cipher(tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) != "ECDHE-RSA-AES256-GCM-SHA384" || Cipher(tls.TLS_AES_128_GCM_SHA256) != "TLS_AES_128_GCM_SHA256" {
		t.Error("names")
	}
}

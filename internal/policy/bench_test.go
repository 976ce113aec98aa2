package policy

import (
	"strings"
	"testing"
)

func BenchmarkParse(b *testing.B) {
	b.SetBytes(int64(len(privateAPI)))
	for b.Loop() {
		if _, err := Parse([]byte(privateAPI), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEvaluate decides about a call of a private API: three statements.
func BenchmarkEvaluate(b *testing.B) {
	p := mustParse(b, privateAPI)
	req := invoke("DELETE", keys{"aws:SourceVpce": {"vpce-2"}, "aws:VpcSourceIp": {"10.0.1.9"}})
	b.ReportAllocs()
	for b.Loop() {
		if !p.Evaluate(req).Allowed() {
			b.Fatal("denied")
		}
	}
}

// BenchmarkMatchWorst matches what makes other matchers go through all ways.
func BenchmarkMatchWorst(b *testing.B) {
	p, err := compile(strings.Repeat("*a", 100)+"b", syntax{wildcards: true})
	if err != nil {
		b.Fatal(err)
	}
	s := strings.Repeat("a", 1000)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		if match(p.tokens, s) {
			b.Fatal("matches")
		}
	}
}

package ec2

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
	"pgregory.net/rapid"
)

func TestGlob(t *testing.T) {
	tests := []struct {
		pattern, value string
		want           bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "anything", true},
		{"a*c", "abbbc", true},
		{"a*c", "abbbcd", false},
		{"*b*b*", "abcbd", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"?", "ü", true},
		{`a\*`, "a*", true},
		{`a\*`, "ab", false},
		{`a\?b`, "a?b", true},
		{`a\\*`, `a\x`, true},
		{`a\`, `a\`, true},
		{"[a]", "a", false},
		{"Test", "test", false},
	}
	for _, tt := range tests {
		if got := glob(tt.pattern, tt.value); got != tt.want {
			t.Errorf("glob(%q, %q) = %v", tt.pattern, tt.value, got)
		}
	}
}

// TestGlobProperty compares glob with path.Match, which means the same by
// these characters.
func TestGlobProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.SampledFrom([]rune(`ab*?`)), 0, 8, -1).Draw(t, "pattern")
		value := rapid.StringOfN(rapid.SampledFrom([]rune(`ab`)), 0, 10, -1).Draw(t, "value")
		want, err := path.Match(pattern, value)
		if err != nil {
			t.Fatal(err)
		}
		if got := glob(pattern, value); got != want {
			t.Fatalf("glob(%q, %q) = %v", pattern, value, got)
		}
	})
}

func TestListing(t *testing.T) {
	var items []*ec2.Vpc
	for i := range 10 {
		items = append(items, &ec2.Vpc{
			VpcId: wire.Ptr(fmt.Sprintf("vpc-%d", i)), IsDefault: wire.Ptr(i == 3),
			Tags: []*ec2.Tag{{Key: wire.Ptr("Name"), Value: wire.Ptr(fmt.Sprintf("net-%d", i%2))}, {Key: wire.Ptr(fmt.Sprintf("k%d", i)), Value: wire.Ptr("")}},
		})
	}
	tests := []struct {
		filters []*ec2.Filter
		want    string // the last characters of the ids; "!" for an error
	}{
		{nil, "0123456789"},
		{filters("vpc-id", "vpc-4"), "4"},
		{[]*ec2.Filter{{Name: wire.Ptr("vpc-id"), Values: []string{"vpc-4", "vpc-7", "x"}}}, "47"},
		{filters("vpc-id", "vpc-?", "tag:Name", "net-1"), "13579"},
		{filters("tag:Name", "*-0", "isDefault", "false"), "02468"},
		{filters("is-default", "true"), "3"},
		{filters("tag-key", "k5"), "5"},
		{filters("tag:k5", ""), "5"},
		{filters("tag:name", "net-1"), ""},
		{filters("cidr", "10.0.0.0/8"), ""},
		{[]*ec2.Filter{{Name: wire.Ptr("vpc-id")}}, ""},
		{filters("VpcId", "vpc-4"), "!"},
		{[]*ec2.Filter{{}}, "!"},
	}
	for _, tt := range tests {
		got, _, err := vpcListing.apply(items, tt.filters, nil, nil)
		if tt.want == "!" {
			wantError(t, "filter", err, "InvalidParameterValue", fmt.Sprintf("The filter '%s' is invalid", wire.Val(tt.filters[0].Name)))
			continue
		}
		var ids strings.Builder
		for _, v := range got {
			ids.WriteString(strings.TrimPrefix(*v.VpcId, "vpc-"))
		}
		if err != nil || ids.String() != tt.want {
			t.Errorf("%v: got %s, %v; want %s", tt.filters, ids.String(), err, tt.want)
		}
	}
	if len(items) != 10 || *items[3].VpcId != "vpc-3" {
		t.Error("the items themselves were changed")
	}
}

// TestPages checks that pages of any size, with filters, together are the list.
func TestPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(t, "items")
		max := rapid.Int64Range(1, 13).Draw(t, "max")
		var items, paged []*ec2.Vpc
		for i := range n {
			items = append(items, &ec2.Vpc{VpcId: wire.Ptr(fmt.Sprintf("vpc-%02d", i)), IsDefault: wire.Ptr(i%3 == 0)})
		}
		only := filters("is-default", "false")
		whole, _, _ := vpcListing.apply(items, only, nil, nil)
		var token *string
		for {
			page, next, err := vpcListing.apply(items, only, &max, token)
			if err != nil || int64(len(page)) > max {
				t.Fatalf("page of %d, at most %d: %v", len(page), max, err)
			}
			paged = append(paged, page...)
			if token = next; token == nil {
				break
			}
			if int64(len(page)) != max {
				t.Fatalf("page of %d before the last, want %d", len(page), max)
			}
		}
		if !slices.Equal(paged, whole) {
			t.Fatalf("got %d items in pages, want %d", len(paged), len(whole))
		}
	})
	for _, max := range []int64{0, -1, math.MinInt64} {
		_, _, err := vpcListing.apply([]*ec2.Vpc{{}}, nil, &max, nil)
		wantError(t, fmt.Sprintf("pages of %d", max), err, "InvalidParameterValue", "")
	}
	_, _, err := vpcListing.apply([]*ec2.Vpc{}, nil, nil, wire.Ptr("%"))
	wantError(t, "token", err, "InvalidNextToken", "")
}

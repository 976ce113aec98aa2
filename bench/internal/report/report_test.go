package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func filled() *Report {
	r := New("b")
	for _, f := range []float64{3, 1, 2} {
		r.Add("c", "peer", "rr", "1/s", 2*f)
		r.Add("c", "peer", "crr", "1/s", f)
		r.Add("c", Ours, "rr", "1/s", f)
	}
	r.Add("c", Ours, "crr", "1/s", 4)
	r.Add("c", Ours, "crr", "1/s", 5)
	return r
}

func TestLines(t *testing.T) {
	want := []Line{
		{"b", "c", "peer", "rr", "1/s", 4, 2, 2, 6, 3},
		{"b", "c", Ours, "rr", "1/s", 2, 1, 1, 3, 3},
		{"b", "c", "peer", "crr", "1/s", 2, 1, 1, 3, 3},
		{"b", "c", Ours, "crr", "1/s", 4.5, 4, 4, 5, 2},
	}
	if got := filled().Lines(); !slices.Equal(got, want) {
		t.Errorf("Lines = %v, want %v", got, want)
	}
}

func TestQuartile(t *testing.T) {
	r := New("b")
	for _, f := range []float64{9, 1, 5, 3, 7, 2, 8, 4, 6} {
		r.Add("c", Ours, "rr", "1/s", f)
	}
	if got := r.Lines()[0].Quartile; got != 3 {
		t.Errorf("a quarter of 1 to 9 are below or at %v, want 3", got)
	}
}

func TestPrint(t *testing.T) {
	var b strings.Builder
	if err := filled().Print(&b); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); !strings.Contains(got, "0.50 of it") || !strings.Contains(got, "2.25 of it") {
		t.Errorf("table has not the ratios 0.50 and 2.25:\n%s", got)
	}
}

func TestFinish(t *testing.T) {
	path := filepath.Join(t.TempDir(), "figures")
	t.Setenv("JSON", path)
	r := filled()
	if err := r.Finish(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []Line
	for line := range strings.Lines(string(b)) {
		var l Line
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		got = append(got, l)
	}
	if !slices.Equal(got, r.Lines()) {
		t.Errorf("file holds %v, want %v", got, r.Lines())
	}
}

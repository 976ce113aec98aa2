// Package report prints what a benchmark measured: a table for people, and
// JSON lines for programs.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
)

// Ours is the subject that all others are compared with.
const Ours = "isthmus"

// Line is one metric of one subject: the median and the extremes of its runs,
// and what a quarter of them are below or at.
type Line struct {
	Bench    string  `json:"bench"`
	Case     string  `json:"case"`
	Subject  string  `json:"subject"`
	Metric   string  `json:"metric"`
	Unit     string  `json:"unit"`
	Median   float64 `json:"median"`
	Min      float64 `json:"min"`
	Quartile float64 `json:"quartile"`
	Max      float64 `json:"max"`
	Runs     int     `json:"runs"`
}

// Report collects runs, and remembers in which order things first appeared.
type Report struct {
	bench string
	order []Line // without figures
	runs  map[Line][]float64
}

// New returns an empty report of a benchmark.
func New(bench string) *Report { return &Report{bench: bench, runs: map[Line][]float64{}} }

// Add adds the figure of one run.
func (r *Report) Add(kase, subject, metric, unit string, figure float64) {
	key := Line{Bench: r.bench, Case: kase, Subject: subject, Metric: metric, Unit: unit}
	if r.runs[key] == nil {
		r.order = append(r.order, key)
	}
	r.runs[key] = append(r.runs[key], figure)
}

// Lines returns all metrics, those that belong together beside each other.
func (r *Report) Lines() []Line {
	var lines []Line
	for _, first := range r.order {
		for _, key := range r.order {
			if key.Case != first.Case || key.Metric != first.Metric || slices.ContainsFunc(lines, key.same) {
				continue
			}
			runs := slices.Sorted(slices.Values(r.runs[key]))
			key.Median, key.Min, key.Max, key.Runs = median(runs), runs[0], runs[len(runs)-1], len(runs)
			key.Quartile = runs[(len(runs)-1)/4]
			lines = append(lines, key)
		}
	}
	return lines
}

// same says whether two lines are of the same thing.
func (l Line) same(o Line) bool {
	return l.Case == o.Case && l.Metric == o.Metric && l.Subject == o.Subject
}

func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// Print writes the table. Its last column is ours as a part of the subject's.
func (r *Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "case\tmetric\tsubject\tmedian\tmin\tmax\tunit\tours is\t")
	lines := r.Lines()
	for _, l := range lines {
		ratio := ""
		ours := slices.IndexFunc(lines, func(o Line) bool {
			return o.Case == l.Case && o.Metric == l.Metric && o.Subject == Ours
		})
		if l.Subject != Ours && ours >= 0 && l.Median != 0 {
			ratio = fmt.Sprintf("%.2f of it", lines[ours].Median/l.Median)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", l.Case, l.Metric, l.Subject,
			Figure(l.Median), Figure(l.Min), Figure(l.Max), l.Unit, ratio)
	}
	return t.Flush()
}

// Figure writes a number with about three digits that matter.
func Figure(f float64) string {
	if f < 100 {
		return fmt.Sprintf("%.2f", f)
	}
	return fmt.Sprintf("%.0f", f)
}

// Finish prints the table to standard output and, if the variable JSON names a
// file, the lines to that.
func (r *Report) Finish() error {
	if err := r.Print(os.Stdout); err != nil {
		return err
	}
	return r.WriteJSON()
}

// WriteJSON writes the lines to the file that the variable JSON names, if it
// does.
func (r *Report) WriteJSON() error {
	path := os.Getenv("JSON")
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	enc := json.NewEncoder(f)
	for _, l := range r.Lines() {
		if err := enc.Encode(l); err != nil {
			f.Close()
			return fmt.Errorf("write figures: %w", err)
		}
	}
	return f.Close()
}

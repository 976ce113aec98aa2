package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/isthmus-net/isthmus/bench/internal/report"
)

// The metrics that tables begin with.
const (
	cpuMetric   = "cpu_us"
	ratioMetric = "cpu_ratio"
	p99Metric   = "p99_us"
	// quietMetric has the name of what it is of behind.
	quietMetric = "quiet_ratio_"
	// syscallMetric is of all system calls; those of one kind have its name
	// behind.
	syscallMetric = "syscalls"
)

// titles are what the tables are about, in their order.
var titles = []struct{ metric, title string }{
	{cpuMetric, "CPU time of the proxy's processes per request, µs"},
	{ratioMetric, "CPU time per request, ours as a part of the peer's in the same round"},
	{quietMetric + cpuMetric, "CPU time per request, ours as a part of the peer's, of each the quarter of its rounds that took least"},
	{"user_us", "of which in user mode, µs"},
	{"core_us", "CPU time with ksoftirqd's per request, µs"},
	{"rps", "requests per second"},
	{"p50_us", "latency, median, µs"},
	{p99Metric, "latency, 99 %, µs"},
	{quietMetric + p99Metric, "latency, 99 %, ours as a part of the peer's, of each the quarter of its rounds that took least"},
	{"p999_us", "latency, 99.9 %, µs"},
	{syscallMetric, "system calls per request"},
	{"allocations", "objects allocated per request"},
	{"allocated_bytes", "bytes allocated per request"},
	{"idle_pss_mb", fmt.Sprintf("resident memory with %d idle connections (PSS), MB", idleConnections)},
	{"rest_pss_mb", "resident memory before, MB"},
	{"flood_p50_us", "latency of other clients under a flood, median, µs"},
	{"flood_p99_us", "latency of other clients under a flood, 99 %, µs"},
	{"flood_ratio", "of which 99 %, as a part of undisturbed"},
	{"flood_cpu", "use of a CPU during a flood, and while it begins"},
	{"flood_open", "connections of the flood at the end"},
	{"flood_closed", "connections of the flood that were closed"},
	{"flood_errors", "failed requests of other clients"},
	{"errors", "failed requests"},
}

// finish prints the tables, and writes the lines of JSON.
func finish(r *report.Report, subjects []*subject) error {
	addQuietRatios(r, subjects)
	if err := print(os.Stdout, r.Lines()); err != nil {
		return err
	}
	return r.WriteJSON()
}

// addQuietRatios adds what ours took as a part of what peers took, in the rounds in which
// the machine was quiet: of each, that which a quarter of its rounds did not exceed.
func addQuietRatios(r *report.Report, subjects []*subject) {
	lines := r.Lines()
	for _, ours := range lines {
		if ours.Metric != cpuMetric && ours.Metric != p99Metric || !isOurs(subjects, ours.Subject) {
			continue
		}
		for _, peer := range lines {
			if peer.Case == ours.Case && peer.Metric == ours.Metric && peer.Quartile > 0 && !isOurs(subjects, peer.Subject) {
				r.Add(ours.Case, ours.Subject+"/"+peer.Subject, quietMetric+ours.Metric, "", ours.Quartile/peer.Quartile)
			}
		}
	}
}

func isOurs(subjects []*subject, name string) bool {
	return slices.ContainsFunc(subjects, func(s *subject) bool { return s.name == name && s.ours })
}

// print writes a table for each metric: a row for each case, a column for each
// contestant. Cells are medians, with the least and the most of the runs.
func print(w io.Writer, lines []report.Line) error {
	all := slices.Clone(titles)
	for _, name := range calls {
		all = append(all, struct{ metric, title string }{syscallMetric + "_" + name, "of which " + name})
	}
	for _, t := range all {
		var rows, columns []string
		cells := map[[2]string]string{}
		for _, l := range lines {
			if l.Metric != t.metric {
				continue
			}
			if !slices.Contains(rows, l.Case) {
				rows = append(rows, l.Case)
			}
			if !slices.Contains(columns, l.Subject) {
				columns = append(columns, l.Subject)
			}
			cells[[2]string{l.Case, l.Subject}] = cell(l)
		}
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", t.title)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(tw, "\t%s\t\n", strings.Join(columns, "\t"))
		for _, row := range rows {
			fmt.Fprint(tw, row)
			for _, column := range columns {
				text := cells[[2]string{row, column}]
				if text == "" {
					text = "–"
				}
				fmt.Fprintf(tw, "\t%s", text)
			}
			fmt.Fprint(tw, "\t\n")
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func cell(l report.Line) string {
	if l.Runs == 1 || l.Min == l.Max {
		return report.Figure(l.Median)
	}
	return fmt.Sprintf("%s (%s…%s)", report.Figure(l.Median), report.Figure(l.Min), report.Figure(l.Max))
}

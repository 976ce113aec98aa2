package contest

import "slices"

// Result is what a load generator saw.
type Result struct {
	Requests uint64
	Seconds  float64
	Bytes    uint64
	Errors   uint64 // answers that are none, or not 2xx
	P50      float64
	P99      float64
	P999     float64 // in µs
}

// SetLatencies sorts what requests took, in µs, and sets the percentiles.
func (r *Result) SetLatencies(took []float64) {
	slices.Sort(took)
	at := func(part float64) float64 { return took[int(part*float64(len(took)-1))] }
	r.P50, r.P99, r.P999 = at(0.5), at(0.99), at(0.999)
}

package contest

// Flood is what the program flood prints, as JSON.
type Flood struct {
	Connections
	Kept, New Timing // of requests on kept connections, and with a new one each
}

// Connections are those of a flood.
type Connections struct {
	Open   int64
	Closed int64 // by the proxy
}

// Timing is what requests took from when they were due, in µs.
type Timing struct {
	Requests, Errors int
	Error            string // the first one
	P50, P99         float64
}

package http1

import "net/http"

// reasons are the reason phrases by status.
var reasons = func() (r [600]string) {
	for status := 100; status < len(r); status++ {
		r[status] = http.StatusText(status)
	}
	return r
}()

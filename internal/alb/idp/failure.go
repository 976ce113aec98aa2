package idp

// Failure is why a request does not pass.
type Failure struct {
	Status int    // of the answer
	Reason string // AWS's code, for the field error_reason of access logs
	Cause  string // "layer: cause", for the log only
}

func (f *Failure) Error() string { return f.Reason + ": " + f.Cause }

// refuse is the failure of a client that has not shown who it is.
func refuse(reason, cause string) *Failure { return &Failure{401, reason, cause} }

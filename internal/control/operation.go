package control

import (
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// submitted are the keys of the Cloud Map operations that wait to be in force.
func submitted(r store.Reader) (keys []string) {
	for o := range store.CloudMapOperations.Scan(r) {
		if o.Status == resource.OperationSubmitted {
			keys = append(keys, o.Key())
		}
	}
	return keys
}

// Operations are kept for as long as AWS keeps them, but not without limit.
const (
	operationAge   = 30 * 24 * time.Hour
	operationCount = 10000 // of all accounts
)

// succeed ends operations whose change the gateway now serves: who waits for
// the end of a deregistration may then stop the instance. Old ones are
// forgotten on this occasion.
func succeed(keys []string, at time.Time) func(tx *store.Tx) error {
	return func(tx *store.Tx) error {
		for _, key := range keys {
			if o, ok := store.CloudMapOperations.Get(tx, key); ok && o.Status == resource.OperationSubmitted {
				o.Status, o.Updated = resource.OperationSuccess, at
				store.CloudMapOperations.Put(tx, o)
			}
		}
		for _, key := range forgettable(tx, at, operationCount) {
			store.CloudMapOperations.Delete(tx, key)
		}
		return nil
	}
}

// forgettable are the keys of operations that are over and too old, or too
// many. Keys of one account are sorted by time.
func forgettable(r store.Reader, at time.Time, limit int) (keys []string) {
	count := 0
	for o := range store.CloudMapOperations.Scan(r) {
		count++
		if o.Status == resource.OperationSuccess && at.Sub(o.Created) > operationAge {
			keys = append(keys, o.Key())
		}
	}
	for o := range store.CloudMapOperations.Scan(r) {
		if count-len(keys) <= limit {
			break
		}
		if o.Status == resource.OperationSuccess && at.Sub(o.Created) <= operationAge {
			keys = append(keys, o.Key())
		}
	}
	return keys
}

package server

import "sync"

// ballast is memory that is counted and never touched, and so is none that the
// process would have: the garbage collector runs when the heap, with it, has
// doubled. A proxy's heap is a few megabytes, and it would otherwise be collected
// dozens of times a second, each time for next to nothing; what this costs is as
// much garbage as the ballast is large.
var ballast = sync.OnceValue(func() []byte { return make([]byte, 32<<20) })

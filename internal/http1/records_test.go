package http1

import (
	"slices"
	"testing"
)

func TestRecords(t *testing.T) {
	record := func(length int) []byte {
		return append([]byte{23, 3, 3, byte(length >> 8), byte(length)}, make([]byte, length)...)
	}
	stream := slices.Concat(record(1), record(0), record(300), record(5))
	borders := map[int]bool{0: true, 6: true, 11: true, 316: true, 326: true}
	for _, size := range []int{1, 2, 4, 5, 6, 7, 100, len(stream)} {
		var r records
		for at := 0; at < len(stream); {
			next := min(len(stream), at+size)
			r.pass(stream[at:next])
			if at = next; r.within() == borders[at] {
				t.Errorf("pieces of %d: within a record behind %d bytes: %v", size, at, r.within())
			}
		}
	}
}

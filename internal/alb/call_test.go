package alb

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

func TestCallTimeout(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"1S": time.Second, "250m": 250 * time.Millisecond, "3H": 3 * time.Hour, "2M": 2 * time.Minute, "7u": 7 * time.Microsecond,
		"99999999n": 99999999, "99999999H": 1<<63 - 1 - (1<<63-1)%time.Hour,
	} {
		if got, ok := callTimeout(s); !ok || got != want {
			t.Errorf("%s: %v, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "S", "1", "1x", "-1S", "+1S", "1.5S", "123456789S"} {
		if got, ok := callTimeout(s); ok {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestCallStatus(t *testing.T) {
	reset := func(code uint32) error { return fmt.Errorf("read: %w", upstream.Reset{Code: code}) }
	for _, c := range []struct {
		err  error
		late bool
		want int
	}{
		{errors.New("the connection was lost"), false, 14}, {errDeregistered, true, 14},
		{reset(7), false, 14}, {reset(8), false, 1}, {reset(8), true, 4}, {reset(11), false, 8}, {reset(12), false, 7}, {reset(0), false, 13}, {reset(2), true, 13},
	} {
		if got := callStatus(c.err, c.late); got != c.want {
			t.Errorf("%v, %v: %d", c.err, c.late, got)
		}
	}
}

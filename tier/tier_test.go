package tier_test

import (
	"testing"

	"github.com/seed4d217819/ebb/tier"
)

func TestRowBytesCountAllHeads(t *testing.T) {
	l := tier.Layout{Heads: 3, KeyBytes: 34, ValueBytes: 18}
	if got := l.RowBytes(); got != 3*(34+18) {
		t.Errorf("row of %d bytes; want %d", got, 3*(34+18))
	}
	if k, v := l.Piece(tier.Keys), l.Piece(tier.Values); k != 34 || v != 18 {
		t.Errorf("pieces of %d and %d bytes; want 34, 18", k, v)
	}
}

func TestRunsReadAsHalfOpenIntervals(t *testing.T) {
	r := tier.Run{Start: 3, N: 4}
	if r.End() != 7 || r.String() != "[3,7)" {
		t.Errorf("%v ends at %d; want [3,7), 7", r, r.End())
	}
	if got := tier.Keys.String() + tier.Values.String(); got != "KV" {
		t.Errorf("parts are called %q; want KV", got)
	}
}

package generate

import (
	"slices"
	"testing"
)

func TestLookupGuessesWhatFollowedBefore(t *testing.T) {
	for _, tt := range []struct {
		name     string
		ids      []int32
		n, ngram int
		eos      []int32
		want     []int32
	}{
		{"after the last two", []int32{1, 2, 3, 9, 2, 4, 1, 2}, 2, 2, nil, []int32{3, 9}},
		{"after the last one", []int32{1, 2, 3, 9, 2, 4, 7, 2}, 2, 2, nil, []int32{3, 9}},
		{"of several the first", []int32{5, 6, 5, 7, 5}, 1, 2, nil, []int32{6}},
		{"as much as there is", []int32{5, 6, 7, 5}, 10, 2, nil, []int32{6, 7, 5}},
		{"overlapping", []int32{5, 5, 5}, 10, 2, nil, []int32{5}},
		{"no more than an n-gram", []int32{1, 2, 3, 4, 9, 2, 3, 1, 2, 3}, 1, 3, nil, []int32{4}},
		{"before an end token", []int32{1, 2, 3, 0, 4, 1}, 10, 2, []int32{8, 0}, []int32{2, 3}},
		{"no guess where an end token came", []int32{1, 0, 3, 1, 5, 1}, 10, 2, []int32{0}, nil},
		{"nothing like it", []int32{1, 2, 3}, 10, 2, nil, nil},
		{"one token", []int32{1}, 10, 2, nil, nil},
		{"none wanted", []int32{1, 1, 1}, 0, 2, nil, nil},
	} {
		if got := lookup(tt.ids, tt.n, tt.ngram, tt.eos); !slices.Equal(got, tt.want) {
			t.Errorf("%s: guess %v, want %v", tt.name, got, tt.want)
		}
	}
}

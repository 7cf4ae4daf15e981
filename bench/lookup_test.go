package bench

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPromptHasItsTokensTwiceAndBeginsAThirdTime(t *testing.T) {
	for _, tt := range []struct {
		name       string
		first, ids []int32
		want       []int32
		rest       int
	}{
		{name: "one token", ids: []int32{7}, want: []int32{7, 7}, rest: 1},
		{name: "some, after a first one", first: []int32{1}, ids: []int32{2, 3, 4, 5, 6}, want: []int32{1, 2, 3, 4, 5, 6, 2, 3, 4, 5, 6, 2}, rest: 4},
	} {
		prompt, rest := quoting(tt.first, tt.ids)
		if diff := cmp.Diff(prompt, tt.want); diff != "" || rest != tt.rest {
			t.Errorf("%s: %d tokens missing, want %d; prompt (-got +want):\n%s", tt.name, rest, tt.rest, diff)
		}
	}
}

func TestFirstDifferenceOfTexts(t *testing.T) {
	for _, tt := range []struct {
		a, b []int32
		want int
	}{
		{nil, nil, -1},
		{[]int32{1, 2}, []int32{1, 2}, -1},
		{[]int32{1, 2}, []int32{1, 3}, 1},
		{[]int32{1, 2}, []int32{1}, 1},
		{nil, []int32{1}, 0},
	} {
		if got := firstDifference(tt.a, tt.b); got != tt.want {
			t.Errorf("%v and %v: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

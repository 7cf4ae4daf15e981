package sample

import (
	"fmt"
	"iter"
	"math"
)

// blockSize is the number of scores that share a peak.
const blockSize = 256

// view is the scores of one token, with what lets filters look at few of them: most lie far below what matters, or are -Inf
// since an earlier filter. There are two ways to find the others: blocks, and once there are few a list.
type view struct {
	scores []float32
	top    float32   // the greatest score
	peaks  []float32 // the greatest score of each block; of no meaning once there is a list
	listed bool
	list   []int // places in order; among them all whose score is above -Inf

	// Scratch of the filters.
	weights histogram
	order   []int
	items   []item
}

// filter is a processor of this package that needs nothing but scores.
type filter interface {
	Processor
	filter(v *view) error
}

// process runs a filter by itself.
func process(f filter, own **view, scores []float32) error {
	if *own == nil {
		*own = new(view)
	}
	if err := (*own).read(scores); err != nil {
		return err
	}
	return f.filter(*own)
}

// read looks at all scores. NaN, +Inf and no score above -Inf are errors.
func (v *view) read(scores []float32) error {
	if len(scores) > maxScores {
		return fmt.Errorf("sample: %d scores: want at most %d", len(scores), maxScores)
	}
	v.scores, v.top, v.peaks, v.listed = scores, negInf, v.peaks[:0], false
	for first := 0; first < len(scores); first += blockSize {
		_, peak, err := greatest(scores[first:min(first+blockSize, len(scores))], first)
		if err != nil {
			return err
		}
		v.peaks = append(v.peaks, peak)
		v.top = max(v.top, peak)
	}
	if v.top == negInf {
		return ErrNoToken
	}
	return nil
}

// runs yields runs of scores, each with the place of its first, that hold all that are above -Inf and at least least. The
// scores may be changed.
func (v *view) runs(least float32) iter.Seq2[int, []float32] {
	return func(yield func(int, []float32) bool) {
		if v.listed {
			for _, i := range v.list {
				if x := v.scores[i]; x >= least && x > negInf && !yield(i, v.scores[i:i+1]) {
					return
				}
			}
			return
		}
		for b, peak := range v.peaks {
			if peak >= least && peak > negInf && !yield(v.block(b)) {
				return
			}
		}
	}
}

// block returns the place of a block's first score, and its scores.
func (v *view) block(b int) (first int, scores []float32) {
	first = b * blockSize
	return first, v.scores[first:min(first+blockSize, len(v.scores))]
}

// cut forbids the tokens whose score is below least, which is not above the top.
func (v *view) cut(least float32) {
	if v.listed {
		for _, i := range v.list {
			if v.scores[i] < least {
				v.scores[i] = negInf
			}
		}
		v.settle()
		return
	}
	// While few are left they are listed.
	v.list, v.listed = v.list[:0], true
	most := max(fewScores, len(v.scores)/16)
	for b, peak := range v.peaks {
		first, scores := v.block(b)
		switch {
		case peak < least:
			copy(scores, forbidden[:])
			v.peaks[b] = negInf
		case v.listed && peak > negInf:
			v.list = cutAndList(v.list, first, scores, least)
			v.listed = len(v.list) <= most
		case peak > negInf:
			cutAll(scores, least)
		}
	}
}

// fewScores is how many scores are always few. More are, where they are a 16th of all at most.
const fewScores = 2048

// cutAndList sets scores below least to -Inf, and appends the places of the others to list.
func cutAndList(list []int, first int, scores []float32, least float32) []int {
	for i := 0; i < len(scores); {
		if x := scores[i:]; len(x) >= 8 && allBelow((*[8]float32)(x), least) {
			*(*[8]float32)(x) = [8]float32(forbidden[:8])
			i += 8
			continue
		}
		for end := min(i+8, len(scores)); i < end; i++ {
			if scores[i] < least {
				scores[i] = negInf
			} else {
				list = append(list, first+i)
			}
		}
	}
	return list
}

func allBelow(x *[8]float32, least float32) bool {
	return x[0] < least && x[1] < least && x[2] < least && x[3] < least &&
		x[4] < least && x[5] < least && x[6] < least && x[7] < least
}

// cutAll sets scores below least to -Inf.
func cutAll(scores []float32, least float32) {
	for i, x := range scores {
		bits := math.Float32bits(x) // as integers there is no branch to be guessed
		if x < least {
			bits = 0xFF800000 // -Inf
		}
		scores[i] = math.Float32frombits(bits)
	}
}

// settle takes note that scores were set to -Inf.
func (v *view) settle() {
	v.top = negInf
	if !v.listed {
		for b, peak := range v.peaks {
			if peak > negInf {
				_, scores := v.block(b)
				_, v.peaks[b], _ = greatest(scores, 0) // no NaN: they were read
				v.top = max(v.top, v.peaks[b])
			}
		}
		return
	}
	left := v.list[:0]
	for _, i := range v.list {
		if x := v.scores[i]; x > negInf {
			left = append(left, i)
			v.top = max(v.top, x)
		}
	}
	v.list = left
}

// scale multiplies all scores. It is an error if the greatest is no number then.
func (v *view) scale(factor float32) error {
	v.change(func(x float32) float32 { return x * factor })
	switch {
	case v.top > math.MaxFloat32:
		return badScore(v.keepers(1)[0], v.top)
	case v.top == negInf:
		return ErrNoToken
	}
	return nil
}

// change makes all scores above -Inf f of themselves. f keeps their order.
func (v *view) change(f func(float32) float32) {
	for _, scores := range v.runs(negInf) {
		for i, x := range scores {
			scores[i] = f(x)
		}
	}
	v.top = f(v.top)
	if !v.listed {
		for b, peak := range v.peaks {
			v.peaks[b] = f(peak)
		}
	}
}

// kth returns the k-th greatest score, -Inf where there are fewer.
func (v *view) kth(k int) float32 {
	if k == 1 {
		return v.top
	}
	if best := v.keepers(k); len(best) == k {
		return v.scores[best[0]]
	}
	return negInf
}

// keepers returns the places of the k greatest scores, the lowest among equals; the worst is the first.
func (v *view) keepers(k int) []int {
	h := heap{kept: v.order[:0], scores: v.scores}
	if v.listed {
		for i, x := range v.runs(negInf) {
			h.take(i, x, k)
		}
	} else {
		for b, peak := range v.peaks {
			if peak > negInf && (len(h.kept) < k || peak > v.scores[h.kept[0]]) {
				first, scores := v.block(b)
				h.take(first, scores, k)
			}
		}
	}
	v.order = h.kept
	return h.kept
}

// keepBest forbids all but the k tokens with the greatest scores, the lowest among equals.
func (v *view) keepBest(k int) {
	kept := v.keepers(k)
	if len(kept) < k {
		return
	}
	least, last := v.scores[kept[0]], kept[0] // the worst is the last of those that are equal to it
	v.cut(least)
	for first, scores := range v.runs(least) {
		for i, x := range scores {
			if x == least && first+i > last {
				scores[i] = negInf
			}
		}
	}
	v.settle()
}

// least returns the least score whose exponential, relative to the top's, is at least weight; +Inf if there is none.
func (v *view) least(weight float64) float32 {
	if weight > 1 {
		return float32(math.Inf(1))
	}
	x := float32(float64(v.top) + math.Log(weight))
	for x > negInf && exp(below(x, v.top)) >= weight {
		x = math.Nextafter32(x, negInf)
	}
	for x < v.top && exp(below(x, v.top)) < weight {
		x = math.Nextafter32(x, v.top)
	}
	return x
}

// forbidden is a block of -Inf.
var forbidden = func() (block [blockSize]float32) {
	for i := range block {
		block[i] = negInf
	}
	return block
}()

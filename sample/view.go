package sample

import (
	"fmt"
	"iter"
	"math"
)

// blockSize is how many scores share a peak.
const blockSize = 256

// view is the scores of one token, and an index that lets filters read few of them: most scores lie
// far below what matters, or an earlier filter has set them to -Inf. The index is the peak of each
// block, and a list once few scores are left. With it top-k 50 followed by top-p takes about 1/200
// of the time of their definitions, which sort the vocabulary (BenchmarkToken and
// BenchmarkTokenPlain, usual).
type view struct {
	scores []float32
	top    float32   // the greatest score
	peaks  []float32 // the greatest score of each block; not kept up to date once there is a list
	listed bool
	list   []int // indices in ascending order, of all scores above -Inf and perhaps of others

	// Scratch of the filters.
	weights histogram
	order   []int
	items   []item
}

// filter is a processor of this package that needs only scores.
type filter interface {
	Processor
	filter(v *view) error
}

// process runs a filter alone, on a view of its own.
func process(f filter, own **view, scores []float32) error {
	if *own == nil {
		*own = new(view)
	}
	if err := (*own).read(scores); err != nil {
		return err
	}
	return f.filter(*own)
}

// read reads all scores. NaN, +Inf and scores that are all -Inf are errors.
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

// runs yields runs of scores, each with the index of its first score. They include all scores that
// are above -Inf and not below least, and perhaps others. The caller may change them.
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

// block returns the index of a block's first score, and the block's scores.
func (v *view) block(b int) (first int, scores []float32) {
	first = b * blockSize
	return first, v.scores[first:min(first+blockSize, len(v.scores))]
}

// cut forbids the tokens whose score is below least. least is at most the top.
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
	// List what is left, until it is too much.
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

// fewScores is up to how many scores are listed in any case. More are listed if they are at most a
// 16th of all.
const fewScores = 2048

// cutAndList sets scores below least to -Inf, and appends the indices of the others to list.
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
		bits := math.Float32bits(x) // with integers the compiler avoids a branch that could not be predicted
		if x < least {
			bits = 0xFF800000 // -Inf
		}
		scores[i] = math.Float32frombits(bits)
	}
}

// settle brings the index up to date after scores were set to -Inf.
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

// scale multiplies all scores. It is an error if the greatest score then overflows.
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

// change replaces each score above -Inf by f of it. f must keep their order.
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

// kth returns the k-th greatest score, or -Inf if there are fewer.
func (v *view) kth(k int) float32 {
	if k == 1 {
		return v.top
	}
	if best := v.keepers(k); len(best) == k {
		return v.scores[best[0]]
	}
	return negInf
}

// keepers returns the indices of the k greatest scores, of equal ones the lowest. The worst of them
// comes first, the others in no order.
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

// keepBest forbids all but the k tokens with the greatest scores, of equal ones those with the
// lowest ids.
func (v *view) keepBest(k int) {
	kept := v.keepers(k)
	if len(kept) < k {
		return
	}
	least, last := v.scores[kept[0]], kept[0] // of the scores that equal the worst, it is the last one kept
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

// least returns the least score whose exponential is at least weight times that of the top, or +Inf
// if there is none.
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

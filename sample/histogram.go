package sample

import "math"

// histogram computes the softmax of scores without an exponential for each score. Its buckets are
// 1/128 wide and begin at the greatest score. Each counts its scores and sums how far below its
// upper edge they lie. The sum of their exponentials follows from both, with a relative error of
// about 1e-7 in a full bucket and 8e-6 at worst; it is exact for a single score.
//
// A token by top-p takes about 1/100 of the time of the definition, which sorts the vocabulary
// (BenchmarkToken and BenchmarkTokenPlain, top-p); drawing from all tokens, which sorts nothing,
// about a tenth (all).
type histogram struct {
	top     float32
	buckets [numBuckets]uint64
}

const (
	bucketsPerUnit = 128
	numBuckets     = 1 << 14 // 128 units, and e^-104 is zero already

	// A bucket is one number: the count of its scores from bit countShift on, and below that the
	// sum of their depths, in 65536ths of the bucket's width.
	depthBits  = 16
	countShift = 40
	maxScores  = 1<<(64-countShift) - 1
)

// depth returns how far x lies below top in 65536ths of a bucket, in the lowest bits of a
// float64's. All products are exact.
func depth(x float32, top float64) uint64 {
	const toInteger = 3 << 51 // a float64 near it has its integer part in the lowest bits
	return math.Float64bits((top-float64(x))*(bucketsPerUnit<<depthBits) + toInteger)
}

// bucket returns the bucket of x, or numBuckets if x lies below the last one.
func (h *histogram) bucket(x float32) int {
	if !(below(x, h.top) < numBuckets/bucketsPerUnit) {
		return numBuckets
	}
	return int(depth(x, float64(h.top)) << 16 >> (16 + depthBits)) // without the exponent; 1.5·2^52 has no other bit so low
}

// least returns the least score that falls in bucket b or in one before it.
func (h *histogram) least(b int) float32 {
	x := float32(float64(h.top) - float64(b+1)/bucketsPerUnit)
	for x < h.top && h.bucket(x) > b {
		x = math.Nextafter32(x, h.top)
	}
	for x > -math.MaxFloat32 && h.bucket(x) <= b {
		x = math.Nextafter32(x, negInf)
	}
	return math.Nextafter32(x, h.top)
}

// fill counts the scores of v, and forgets those before.
func (h *histogram) fill(v *view) {
	h.top = v.top
	clear(h.buckets[:])
	least := h.least(numBuckets - 1)
	for _, scores := range v.runs(least) {
		h.add(scores, least)
	}
}

// add counts the scores that are not below least.
func (h *histogram) add(scores []float32, least float32) {
	// Copies in registers: the compiler cannot know that counting changes neither.
	buckets, top := &h.buckets, float64(h.top)
	for ; len(scores) >= 4; scores = scores[4:] {
		x := (*[4]float32)(scores)
		if x[0] < least || x[1] < least || x[2] < least || x[3] < least {
			for _, x := range x {
				if x >= least {
					count(buckets, depth(x, top))
				}
			}
			continue
		}
		count(buckets, depth(x[0], top))
		count(buckets, depth(x[1], top))
		count(buckets, depth(x[2], top))
		count(buckets, depth(x[3], top))
	}
	for _, x := range scores {
		if x >= least {
			count(buckets, depth(x, top))
		}
	}
}

func count(buckets *[numBuckets]uint64, depth uint64) {
	buckets[depth>>depthBits%numBuckets] += depth%(1<<depthBits) + 1<<countShift
}

func (h *histogram) count(b int) int { return int(h.buckets[b] >> countShift) }

// weight returns the sum of the exponentials of the scores in bucket b, relative to the top's.
func (h *histogram) weight(b int) float64 {
	if h.buckets[b] == 0 {
		return 0
	}
	n := float64(h.count(b))
	// The exponential of a mean is less than the mean of the exponentials, by about half the
	// variance of the scores. That is a twelfth of the squared width if they are spread evenly, and
	// nothing for a single score.
	const spread = 1.0 / (24 * bucketsPerUnit * bucketsPerUnit)
	return float64(exp(h.mean(b)) * (n + float64((n-1)*spread)))
}

// mean returns how far below the top the scores in bucket b lie on average.
func (h *histogram) mean(b int) float64 {
	depths := float64(h.buckets[b] % (1 << countShift))
	return (float64(b) + depths/float64(h.count(b)<<depthBits)) / bucketsPerUnit
}

// total returns the sum of all weights.
func (h *histogram) total() (sum float64) {
	for b, bucket := range &h.buckets {
		if bucket != 0 {
			sum += h.weight(b)
		}
	}
	return sum
}

// entropy returns the entropy of the distribution in nats. total is the sum of all weights.
func (h *histogram) entropy(total float64) float64 {
	depths := 0.0
	for b, bucket := range &h.buckets {
		if bucket != 0 {
			depths += float64(h.weight(b) * h.mean(b))
		}
	}
	return math.Log(total) + depths/total
}

// places appends to dst the indices of v's scores that fall in bucket b.
func (h *histogram) places(dst []int, v *view, b int) []int {
	least := h.least(b)
	for first, scores := range v.runs(least) {
		for i, x := range scores {
			if x >= least && h.bucket(x) == b {
				dst = append(dst, first+i)
			}
		}
	}
	return dst
}

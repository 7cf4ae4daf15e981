package rehearsal

import (
	"slices"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/plan"
)

// sample is the part of a model that is rehearsed.
type sample struct {
	layers  []int        // of the model
	kv      []plan.Layer // theirs
	full    int          // how many of them keep the whole context
	depth   int          // tokens that attention reads, beyond the seed
	weights int64        // bytes of the layers that a step reads
}

// sample chooses as many layers as make up sampleBytes with the K/V that they read. A few layers with
// more K/V than that are rehearsed at a smaller depth.
func (o Options) sample(header *gguf.File, r plan.Request) (s sample, err error) {
	layers, others := layerBytes(header, len(r.Layers))
	largest := slices.Max(append(layers, 0))
	row, state := int64(0), int64(0)
	for _, l := range r.Layers {
		row, state = max(row, l.RowBytes), max(state, l.StateBytes)
	}
	largest += state * statesOfSequence * int64(min(o.Beams*o.Sequences, mostBatch))
	budget := min(sampleBytes, o.Memory/2-others) // a CPU's kernels want a copy of weights in another order
	if budget < largest+row*kv.Block {
		return s, ErrTooLarge
	}
	s.depth = max(kv.Block, o.Depth)
	if least := kinds * (largest + row*kv.Block); mixed(r.Layers) && least <= o.Memory/2-others {
		budget = max(budget, least)
	}
	few := min(fewLayers, budget/(largest+row*kv.Block)) // of which the K/V may be cut
	s.layers = choose(r.Layers, int(min(int64(len(r.Layers)), max(few, budget/(largest+row*int64(s.depth))))))
	n := len(s.layers)
	s.depth = int(min(int64(s.depth), (budget/int64(n)-largest)/row))
	whole, read := model.ExpertBytes(header)
	for _, l := range s.layers {
		s.kv = append(s.kv, r.Layers[l])
		s.weights += layers[l] - whole[l] + read[l]
		if full(r.Layers[l]) {
			s.full++
		}
	}
	return s, nil
}

// statesOfSequence is how many states a step has of a sequence: the one that it reads and the one that it
// writes.
const statesOfSequence = 2

// kinds is how many layers make up a sample with one of each kind.
const kinds = 2

// full reports whether a layer keeps the whole context.
func full(l plan.Layer) bool { return l.Window == 0 && !l.Shares && !l.NoRows }

// recurrent reports whether a layer carries a state.
func recurrent(l plan.Layer) bool { return l.StateBytes > 0 }

// mixed reports whether some layers are recurrent and others keep the whole context.
func mixed(layers []plan.Layer) bool {
	return slices.ContainsFunc(layers, full) && slices.ContainsFunc(layers, recurrent)
}

// choose returns n layers in order, or those that do not share K/V if these are fewer and not all are
// wanted. Of those that see the whole context and those that do not, with windows or states, it takes as
// many as there are of each in the model, but four that see all of it, if there are, and if that leaves
// one of the others. Copies are rehearsed with those.
func choose(layers []plan.Layer, n int) (chosen []int) {
	if n == len(layers) {
		for l := range layers {
			chosen = append(chosen, l)
		}
		return chosen
	}
	var deep, others []int // those that see the whole context, and those that do not
	for l, layer := range layers {
		switch {
		case layer.Shares:
		case full(layer):
			deep = append(deep, l)
		default:
			others = append(others, l)
		}
	}
	n = min(n, len(deep)+len(others))
	most := n
	if len(others) > 0 {
		most = max(1, n-1)
	}
	share := (n*len(deep) + len(deep) + len(others) - 1) / (len(deep) + len(others))
	some := min(len(deep), most, max(share, fewLayers))
	some = max(some, n-len(others))
	chosen = slices.Concat(deep[:some], others[:n-some])
	slices.Sort(chosen)
	return chosen
}

// reads returns how many bytes of K/V a step reads at some depth.
func (s sample) reads(depth int) (bytes int64) {
	for _, l := range s.kv {
		seen := depth
		if l.Window > 0 {
			seen = min(depth, l.Window)
		}
		if l.Shares { // then all layers are there
			l = s.kv[l.Of]
		}
		bytes += l.RowBytes * int64(seen)
	}
	return bytes
}

// streaming returns the sample with how many of its layers stream: as many as have copiesBytes, or a
// few. Only if these have many times more does it return fewer tokens, because files are read in
// pieces as large as layers have.
func (s sample) streaming() (_ sample, streamed int) {
	row := int64(1)
	for _, l := range s.kv {
		if full(l) {
			row = max(row, l.RowBytes)
		}
	}
	few := min(fewLayers, s.full)
	s.depth = int(min(int64(s.depth), max(kv.Block, 4*copiesBytes/(row*int64(max(1, few))))))
	return s, min(s.full, max(few, int(copiesBytes/(row*int64(s.depth)))))
}

package kv

import (
	"context"
	"math"
	"slices"
)

// planRings decides where the step's rows are in the rings, and stores the rows from before that lose
// their places. After an error the rings are as they were.
func (s *Step) planRings(ctx context.Context) error {
	s.ringed.begin(s.pool.config.windows, len(s.tokens))
	for i := range s.trees {
		for n, r := range s.trees[i].rings {
			if err := s.planRing(ctx, i, n, r); err != nil {
				s.eachRing(i, n, (*ring).undo)
				return err
			}
		}
	}
	s.layParts()
	return nil
}

// eachRing calls f for the rings of the trees before one, and for its own up to a number.
func (s *Step) eachRing(tree, number int, f func(*ring)) {
	for i := range s.trees[:min(tree+1, len(s.trees))] {
		for n, r := range s.trees[i].rings {
			if i < tree || n <= number {
				f(r)
			}
		}
	}
}

// failRings frees the places that the step has given.
func (s *Step) failRings() { s.eachRing(len(s.trees), 0, (*ring).fail) }

// planRing plans one ring of a tree of the step.
func (s *Step) planRing(ctx context.Context, tree, number int, r *ring) error {
	t := s.trees[tree].tree
	for {
		r.begin()
		short := s.assignChunks(tree, number, r)
		if short == 0 && !r.stores && !r.gone {
			return nil
		}
		stores := r.stores
		r.undo()
		var err error
		switch {
		case short > 0:
			err = s.pool.growRing(ctx, t, number, r.size+short)
		case stores: // all of them at once, so that it is seldom
			err = s.pool.storeRing(ctx, t, number, math.MaxInt)
		default:
			err = s.gone(tree)
		}
		if err != nil {
			return err
		}
	}
}

// assignChunks gives the rows that the step's chunks need their places, chunk by chunk. short is how
// many places are missing.
func (s *Step) assignChunks(tree, number int, r *ring) (short int) {
	if s.ringed.windows[number].shared {
		return s.assignStep(tree, number, r)
	}
	for i := range s.chunks {
		s.ringed.needs, s.ringed.cells = s.needs(s.chunks[i], tree, r.window, s.ringed.needs[:0], s.ringed.cells[:0])
		if len(s.ringed.needs) == 0 {
			continue
		}
		if short := r.assign(i, s.ringed.needs); short > 0 {
			return short
		}
		s.lookAt(r, number)
	}
	return 0
}

// assignStep is assignChunks for rings whose rows other layers share: those come to the first chunk
// when the layer that has the rows has computed the last. So all rows of the step have their places
// before the first chunk that has tokens of the tree.
func (s *Step) assignStep(tree, number int, r *ring) (short int) {
	needs := func(c Chunk) bool {
		s.ringed.needs, s.ringed.cells = s.needs(c, tree, r.window, s.ringed.needs[:0], s.ringed.cells[:0])
		return len(s.ringed.needs) > 0
	}
	first := slices.IndexFunc(s.chunks, needs)
	needs(Chunk{N: len(s.tokens)})
	if short := r.assign(first, s.ringed.needs); short > 0 {
		return short
	}
	for _, c := range s.chunks {
		if needs(c) {
			s.lookAt(r, number)
		}
	}
	return 0
}

// lookAt notes the views of the works that need rows, and the places of their tokens.
func (s *Step) lookAt(r *ring, number int) {
	views, places := len(r.views), s.ringed.places[number]
	for _, n := range s.ringed.needs {
		r.look(n)
	}
	for _, v := range r.views[views:] {
		at := v.first
		v.between(r.runs, v.old, v.old+v.n, func(first, n int) {
			for place := first; place < first+n; place++ {
				places[at] = int64(place)
				at++
			}
		})
	}
}

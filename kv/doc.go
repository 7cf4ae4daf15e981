// Package kv holds the K/V of sequences and moves layers between a device and a tier.
//
// Its nouns:
//
//   - A [Pool] is the cache of one engine: a [Policy], the placement of layers that follows from it
//     (package plan), the slots that streamed layers visit, and a count of the bytes that all of it
//     takes.
//   - A [Seq] is tokens with their cells. [Seq.Fork] returns another that shares the cells so far;
//     together they are a tree.
//   - A [Step] is one trip of new tokens through all layers. It reserves cells when it begins, and
//     the sequences grow when it is committed. A step that is closed without that leaves everything
//     as it was.
//   - A [Layer] of a step has its [Rows] where it computes when the loop over [Step.Layers] yields
//     it. Meanwhile the next ones are fetched.
//   - A [Chunk] is tokens of a step that one graph computes. A [Part] is those of one tree in it,
//     and goes from here to the graphs.
//
// Where to look:
//
//   - walk.go decides the order of fetches, computations and stores, and no other file does. Its
//     comment has a picture.
//   - transfers.go makes the copies of one step on one device: fetch, store, and fetchAhead for the
//     step to come. mover.go has the goroutines that run them.
//   - arrangement.go, chunk.go and visibility.go are the arithmetic of a step: which token is
//     where, and which cells it sees. They know no memory.
//   - windowed.go takes and returns the memory of layers with windows, whose rows lie in rings. ring.go
//     decides at which places of a ring they are, past.go knows what its tier has, ring_view.go what
//     tokens see there, and ring_step.go holds that for a step: arithmetic too. ring_plan.go plans a step
//     with it, ring_copies.go makes the copies that follow, and gone.go says what is not kept any more.
//     ring_growth.go makes rings larger for batches whose sequences see more than they have room for.
//   - step.go joins these: Begin, Layers, Commit, Close.
//   - config.go is what a user may ask for ([Options]) and what it comes to.
//   - settle.go gives trees room under the policy auto. aim.go decides how much, and which layers leave
//     their device for that; demote.go makes it so, and departure.go says it.
//   - state.go says which places have the states of a sequence, and state_memory.go gives the places their
//     memory. state_visit.go brings states to a device that has no room for all, and recurrence.go says
//     from where to where the tokens of a chunk go.
//   - memory.go takes and returns the memory of trees, spare.go keeps that of a closed one for the next,
//     and full.go says what it means that something does not fit.
//   - tree.go and seal.go keep account of cells. footprint.go says what a sequence takes.
//   - reading.go reads a sequence in turns, between which steps of others begin, and finds its rows
//     wherever they are. save.go saves what is read, in the order of the tokens, and copy.go brings it to
//     a tree of its own. restore.go makes a sequence of what was saved, and restoring.go brings its rows
//     while steps already compute.
package kv

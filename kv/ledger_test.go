package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
	"github.com/seed4d217819/ebb/tier/tiertest"
)

// uniform returns options for layers of one KV head and a value of f32 each.
func uniform(policy Policy, layers, cells int) Options {
	return Options{
		Policy: policy, Layers: slices.Repeat([]Shape{{Heads: 1, KeyDim: 1, ValueDim: 1}}, layers),
		TypeK: ggml.F32, TypeV: ggml.F32, Cells: cells, Tier: stack.New(host.NewExact, nil, -1).New,
	}
}

// ledger takes sequences through steps without a model: it writes rows straight into a layer's
// memory, reads all that each token may see, and keeps account of what that must be. Every token is
// another one, so rows are never mistaken.
type ledger struct {
	t      rapid.TB
	pool   *Pool
	last   int32
	tokens map[*Seq][]int32  // of the open sequences
	sees   map[int32][]int32 // by token: those it attends to, itself last
	value  func(token int32, layer int) float32
	during func(s *Step, layer *Layer) // called in the loop's body
	drafts func(tokens int) int        // how many of a work's tokens are guesses; nil: none
	most   int                         // places for states that steps may have needed
	files  bool                        // rows are in files: what host memory has of them changes behind steps
}

func newLedger(t rapid.TB, b *ggml.Backend, o Options) *ledger {
	t.Helper()
	p, err := NewPool(o, b)
	if err != nil {
		t.Fatal(err)
	}
	return &ledger{
		t: t, pool: p, tokens: map[*Seq][]int32{}, sees: map[int32][]int32{},
		value: func(token int32, layer int) float32 { return float32(int(token)*100 + layer) },
	}
}

// close closes what is left, sequences last.
func (l *ledger) close() {
	l.t.Helper()
	if err := l.pool.Close(); err != nil {
		l.t.Errorf("close: %v", err)
	}
	for s := range l.tokens {
		if err := s.Close(); err != nil {
			l.t.Errorf("close a sequence after its pool: %v", err)
		}
	}
}

func (l *ledger) seq() *Seq {
	s := l.pool.NewSeq()
	l.tokens[s] = nil
	return s
}

// forkOf forks a sequence that is idle.
func forkOf(t rapid.TB, s *Seq) *Seq {
	t.Helper()
	f, err := s.Fork()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (l *ledger) fork(s *Seq) *Seq {
	l.t.Helper()
	before := l.pool.Stats()
	f := forkOf(l.t, s)
	if after := l.pool.Stats(); after.DeviceBytes != before.DeviceBytes || after.StatesBytes != before.StatesBytes {
		l.t.Fatalf("a fork takes memory: %+v; want %+v", after, before)
	}
	l.tokens[f] = slices.Clone(l.tokens[s])
	return f
}

func (l *ledger) truncate(s *Seq, n int) {
	l.t.Helper()
	want := computedAfterTruncate(s, n)
	if err := s.Truncate(n); err != nil {
		l.t.Fatal(err)
	}
	l.tokens[s] = slices.Clone(l.tokens[s][:n])
	if got := len(s.tokens); got != want {
		l.t.Fatalf("truncated to %d tokens, %d of them with their state; want %d", n, got, want)
	}
}

func (l *ledger) closeSeq(s *Seq) {
	l.t.Helper()
	if err := s.Close(); err != nil {
		l.t.Fatal(err)
	}
	delete(l.tokens, s)
}

// growth is how many new tokens a sequence gets in a step.
type growth struct {
	seq *Seq
	n   int
}

// batch makes new tokens, behind those that are to be computed again.
func (l *ledger) batch(works []growth) (batch []Work) {
	for _, w := range works {
		past := l.tokens[w.seq]
		tokens := make([]int32, w.n)
		for i := range tokens {
			l.last++
			tokens[i] = l.last
			l.sees[l.last] = append(slices.Clone(past), tokens[:i+1]...)
		}
		work := Work{Seq: w.seq, Tokens: append(w.seq.Pending(), tokens...)}
		if l.drafts != nil {
			work.Drafts = min(l.drafts(len(work.Tokens)), len(work.Tokens)-1)
		}
		batch = append(batch, work)
	}
	return batch
}

// grow takes a step from Begin to Close, and fails the test if it fails.
func (l *ledger) grow(works ...growth) {
	l.t.Helper()
	if err := l.step(context.Background(), len(l.pool.config.shapes)+1, works...); err != nil {
		l.t.Fatal(err)
	}
}

var errAbandoned = errors.New("abandoned")

// step takes new tokens through the first layers, breaks out of the loop there, and commits if that
// is more than all of them.
func (l *ledger) step(ctx context.Context, layers int, works ...growth) (err error) {
	l.t.Helper()
	return l.stepOf(ctx, layers, l.batch(works))
}

// stepOf is step with tokens that have been made.
func (l *ledger) stepOf(ctx context.Context, layers int, batch []Work) (err error) {
	l.t.Helper()
	l.countPlaces(batch)
	s, err := l.pool.Begin(ctx, batch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for layer, err := range s.Layers(ctx) {
		if err != nil {
			return err
		}
		if layer.Index == layers {
			break
		}
		if err := l.compute(ctx, s, layer); err != nil {
			return err
		}
	}
	if layers <= len(l.pool.config.shapes) {
		return errAbandoned
	}
	for _, w := range batch {
		past := len(w.Seq.tokens)
		if all := l.tokens[w.Seq]; past+len(w.Tokens) > len(all) { // not only tokens that it has had before
			defer func() {
				if err == nil {
					l.tokens[w.Seq] = append(slices.Clone(all[:past]), w.Tokens...)
				}
			}()
		}
	}
	return s.Commit()
}

// again computes the tokens again whose rows are gone.
func (l *ledger) again(gone *GoneError) {
	l.t.Helper()
	if err := l.tryAgain(gone); err != nil {
		l.t.Fatal(err)
	}
}

// tryAgain is again, which may fail: forks may hold the cells that the tokens had, so that there is no
// room for others.
func (l *ledger) tryAgain(gone *GoneError) error {
	l.t.Helper()
	tokens := l.tokens[gone.Seq]
	if gone.Len != len(gone.Seq.tokens) || gone.From < 0 || gone.From >= gone.Len {
		l.t.Fatalf("%+v of %d tokens", gone, len(tokens))
	}
	l.truncate(gone.Seq, gone.From)
	return l.computeAgain(gone.Seq, tokens[gone.From:])
}

// computeAgain computes tokens that a sequence has had before, behind those that it has still to compute
// again.
func (l *ledger) computeAgain(s *Seq, tokens []int32) error {
	l.t.Helper()
	for rest := append(s.Pending(), tokens...); len(rest) > 0; {
		n := min(len(rest), l.pool.StepTokens())
		batch := []Work{{Seq: s, Tokens: rest[:n]}}
		err := l.stepOf(context.Background(), len(l.pool.config.shapes)+1, batch)
		if earlier, ok := errors.AsType[*GoneError](err); ok { // storing other rows took their place
			if err = l.tryAgain(earlier); err == nil {
				err = l.stepOf(context.Background(), len(l.pool.config.shapes)+1, batch)
			}
		}
		if err != nil {
			return fmt.Errorf("%d tokens again: %w", n, err)
		}
		rest = rest[n:]
	}
	return nil
}

// compute writes the new rows and reads all that are visible, as a graph does.
func (l *ledger) compute(ctx context.Context, s *Step, layer *Layer) error {
	if l.during != nil {
		l.during(s, layer)
	}
	if l.pool.config.shapes[layer.Index].State > 0 {
		return l.recur(ctx, s, layer)
	}
	places := s.Places(l.window(layer.Index))
	for i := range s.Chunks() {
		if err := layer.Prepare(ctx, i); err != nil {
			return err
		}
		for _, p := range layer.Parts(i, nil) {
			if err := layer.Acquire(ctx, p.Tree); err != nil {
				return err
			}
			rows := layer.Rows(p.Tree)
			for t := p.First; t < p.First+p.N && !l.pool.config.shapes[layer.Index].Shares; t++ {
				l.write(rows, layer.Index, int(places[t]), s.Tokens()[t])
			}
			l.look(s, p, rows, layer.Index)
		}
	}
	return nil
}

// window returns the window of a layer.
func (l *ledger) window(layer int) int { return l.pool.config.shapes[layer].Window }

// write sets a cell's row: the value in every element of K, its negative in V.
func (l *ledger) write(r Rows, layer, cell int, token int32) {
	v := l.value(token, layer)
	for _, part := range [...]struct {
		t *ggml.Tensor
		v float32
	}{{r.K, v}, {r.V, -v}} {
		row := make([]byte, 0, part.t.Nb(1))
		for range part.t.Ne(0) {
			row = binary.LittleEndian.AppendUint32(row, math.Float32bits(part.v))
		}
		for h := range part.t.Ne(2) {
			part.t.Set(row, h*part.t.Nb(2)+int64(cell)*part.t.Nb(1))
		}
	}
}

// look compares the rows that a part's tokens see with the account of them.
func (l *ledger) look(s *Step, p Part, rows Rows, layer int) {
	l.t.Helper()
	k, v := floats(rows.K), floats(rows.V)
	for _, f := range slices.Concat(cells(rows.K, k, p.Cells), cells(rows.V, v, p.Cells)) {
		if math.IsNaN(float64(f)) {
			l.t.Fatalf("layer %d: NaN among the cells [0,%d) that attention spans", layer, p.Cells)
		}
	}
	mask := make([]uint16, p.N*p.Cells)
	s.Mask(p, l.window(layer), mask)
	for i := range p.N {
		token := s.Tokens()[p.First+i]
		var got []float32
		for c, m := range mask[i*p.Cells:][:p.Cells] {
			if m == visible {
				got = append(got, k[c*int(rows.K.Ne(0))])
			}
			if m == visible && v[c*int(rows.V.Ne(0))] != -got[len(got)-1] {
				l.t.Fatalf("layer %d, cell %d: key and value are of different tokens", layer, c)
			}
		}
		slices.Sort(got)
		seen := l.sees[token]
		if w := l.window(layer); w > 0 {
			seen = seen[max(0, len(seen)-w):]
		}
		if want := l.values(seen, layer); !slices.Equal(got, want) {
			l.t.Fatalf("layer %d: token %d sees %v; want %v", layer, token, got, want)
		}
	}
}

func floats(t *ggml.Tensor) []float32 {
	f := make([]float32, t.Elements())
	ggml.GetSlice(t, f, 0)
	return f
}

// cells returns the elements of the first n cells of every head.
func cells(t *ggml.Tensor, all []float32, n int) (some []float32) {
	dim, capacity := int(t.Ne(0)), int(t.Ne(1))
	for h := range int(t.Ne(2)) {
		some = append(some, all[h*capacity*dim:][:n*dim]...)
	}
	return some
}

func (l *ledger) values(tokens []int32, layer int) []float32 {
	var v []float32
	layer = l.pool.placed[layer].rows
	for _, t := range tokens {
		v = append(v, l.value(t, layer))
	}
	return v
}

// kept returns the keys of a sequence in a layer as they are kept between steps, one element a
// token; of rows that are gone, what is wanted.
func (l *ledger) kept(s *Seq, layer int, want []float32) (keys []float32) {
	l.t.Helper()
	l.pool.drain()
	t := s.tree
	if t.regions == nil {
		return nil
	}
	m := tiertest.NewMemory(l.pool.config.layouts[layer], max(t.high, 1))
	if l.pool.placed[layer].ring != nowhere {
		l.readRing(t, layer, m)
	} else if r := t.regions[layer]; r != nil {
		for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
			stride := int64(t.high) * r.layout.Piece(p)
			buf := make([]byte, int64(r.layout.Heads)*stride)
			r.Read(p, 0, t.high, buf, stride)
			m.Write(p, 0, t.high, buf, stride)
		}
	} else if err := t.rows[0].Fetch(context.Background(), l.pool.placed[layer].tierLayer, tier.Run{N: t.high}, m); err != nil {
		l.t.Fatal(err)
	}
	for _, r := range cellsOf(s) {
		for c := r.Start; c < r.End(); c++ {
			if at := l.pool.placed[layer].ring; at != nowhere && t.rings[at].lacks(c) {
				keys = append(keys, want[len(keys)])
				continue
			}
			row := m.Row(c)
			key := math.Float32frombits(binary.LittleEndian.Uint32(row))
			l.uniformRow(row, key, layer, m.Layout)
			keys = append(keys, key)
		}
	}
	return keys
}

// readRing copies the rows of a windowed layer from its ring, or from its tier. Where both must have a
// row they agree.
func (l *ledger) readRing(t *tree, layer int, m *tiertest.Memory) {
	l.t.Helper()
	at := l.pool.placed[layer]
	r, rows := t.rings[at.ring], t.ringRows[layer]
	for c := range t.high {
		if !r.past.has(c) {
			continue
		}
		one := tiertest.NewMemory(m.Layout, 1)
		if err := t.past[0].Fetch(context.Background(), at.pastLayer, tier.Run{Start: r.past.at(c), N: 1}, shiftedTo{one, r.past.at(c)}); err != nil {
			l.t.Fatal(err)
		}
		copyRow(m, c, one)
	}
	for c := range t.high {
		p := r.place(c)
		if p == nowhere {
			continue
		}
		if int(r.cells[p]) != c {
			l.t.Fatalf("cell %d is at place %d, which has cell %d", c, p, r.cells[p])
		}
		kept := slices.Clone(m.Row(c))
		for _, part := range [...]tier.Part{tier.Keys, tier.Values} {
			stride := rows.layout.Piece(part)
			buf := make([]byte, int64(rows.layout.Heads)*stride)
			rows.Read(part, p, 1, buf, stride)
			m.Write(part, c, 1, buf, stride)
		}
		if !r.dirty[p] && r.past.has(c) && t.cells[c] != 0 && !slices.Equal(kept, m.Row(c)) {
			l.t.Fatalf("layer %d, cell %d: the tier has another row than the ring", layer, c)
		}
	}
	for p, c := range r.cells {
		if c != nowhere && (r.place(int(c)) != p || int(c) >= t.high || t.cells[c] == 0) {
			l.t.Fatalf("place %d has cell %d, which is free or elsewhere", p, c)
		}
	}
}

// shiftedTo is the memory of one row, as that of a cell.
type shiftedTo struct {
	*tiertest.Memory
	cell int
}

func (s shiftedTo) Write(p tier.Part, cell, n int, buf []byte, stride int64) {
	s.Memory.Write(p, cell-s.cell, n, buf, stride)
}

func (s shiftedTo) Address(p tier.Part, head, cell, n int) []byte {
	return s.Memory.Address(p, head, cell-s.cell, n)
}

// copyRow copies the only row of a memory to a cell of another.
func copyRow(to *tiertest.Memory, cell int, from *tiertest.Memory) {
	for _, p := range [...]tier.Part{tier.Keys, tier.Values} {
		stride := from.Layout.Piece(p)
		buf := make([]byte, int64(from.Layout.Heads)*stride)
		from.Read(p, 0, 1, buf, stride)
		to.Write(p, cell, 1, buf, stride)
	}
}

// uniformRow checks that all elements of a row are those of its first.
func (l *ledger) uniformRow(row []byte, key float32, layer int, layout tier.Layout) {
	for i := 0; i < len(row); i += 4 {
		want := key
		if int64(i) >= int64(layout.Heads)*layout.KeyBytes {
			want = -key
		}
		if got := math.Float32frombits(binary.LittleEndian.Uint32(row[i:])); got != want {
			l.t.Fatalf("layer %d: element %d of a row is %v; want %v", layer, i/4, got, want)
		}
	}
}

// cellsOf returns the cells of a sequence's tokens, in order.
func cellsOf(s *Seq) (runs []tier.Run) {
	if s.tree.sealed > 0 {
		runs = append(runs, tier.Run{N: s.tree.sealed})
	}
	return append(runs, s.runs...)
}

// check compares all that is kept with the account: rows, cells and bytes.
func (l *ledger) check() {
	l.t.Helper()
	holders := map[*tree][]int32{} // by cell
	seqs := map[*tree]int{}
	for s, tokens := range l.tokens {
		if !slices.Equal(s.Tokens(), tokens) || s.Len() != len(tokens) {
			l.t.Fatalf("%d tokens %v; want %v", s.Len(), s.Tokens(), tokens)
		}
		tokens = tokens[:len(s.tokens)] // those behind them have no rows
		for _, layer := range l.pool.config.keeps {
			if arriving(s) {
				break
			}
			want := l.values(tokens, layer)
			if got := l.kept(s, layer, want); !slices.Equal(got, want) {
				l.t.Fatalf("layer %d keeps %v; want %v", layer, got, want)
			}
		}
		seqs[s.tree]++
		count := make([]int32, s.tree.high)
		copy(count, holders[s.tree])
		for _, r := range cellsOf(s) {
			for c := r.Start; c < r.End(); c++ {
				count[c]++
			}
		}
		holders[s.tree] = count
	}
	for t, count := range holders {
		for c := range t.sealed {
			if int(count[c]) != len(t.seqs) {
				l.t.Fatalf("sealed cell %d is one of %d sequences; want all %d", c, count[c], len(t.seqs))
			}
			count[c] = forAll
		}
		if !slices.Equal(t.cells, count) || len(t.seqs) != seqs[t] {
			l.t.Fatalf("cells are held %v times by %d sequences; want %v by %d", t.cells, len(t.seqs), count, seqs[t])
		}
		if free := slices.Index(t.cells, 0); free >= 0 && free < t.lowest {
			l.t.Fatalf("cell %d is free, below the lowest, %d", free, t.lowest)
		}
		if t.high > 0 && t.cells[t.high-1] == 0 {
			l.t.Fatalf("cell %d is free; want it below the high mark", t.high-1)
		}
	}
	l.checkSharing()
	l.checkStates()
	l.checkBytes(slices.Collect(maps.Keys(holders)))
}

// arriving reports whether rows of a sequence are still being restored.
func arriving(s *Seq) bool {
	r := s.tree.restoring.Load()
	if r == nil {
		return false
	}
	select {
	case <-r.ended:
		return false
	default:
		return true
	}
}

// checkSharing checks that sequences share the cells of their common tokens and no others.
func (l *ledger) checkSharing() {
	l.t.Helper()
	type place struct {
		t    *tree
		cell int
	}
	owner := map[place]int32{}
	for s, tokens := range l.tokens {
		i := 0
		for _, r := range cellsOf(s) {
			for c := r.Start; c < r.End(); c++ {
				at := place{s.tree, c}
				if other, ok := owner[at]; ok && other != tokens[i] {
					l.t.Fatalf("cell %d is both token %d's and token %d's", c, other, tokens[i])
				}
				owner[at] = tokens[i]
				i++
			}
		}
	}
}

// grownRings returns the bytes by which the rings of trees are larger than others.
func grownRings(p *Pool, trees []*tree) (bytes int64) {
	if p.spare != nil {
		trees = append(slices.Clone(trees), p.spare)
	}
	for _, t := range trees {
		for layer, r := range t.ringRows {
			if r != nil {
				bytes += r.layout.RowBytes() * int64(r.cells-p.config.windows[p.placed[layer].ring].size)
			}
		}
	}
	return bytes
}

// checkBytes compares the counts of bytes with what the placement says.
func (l *ledger) checkBytes(trees []*tree) {
	l.t.Helper()
	p := l.pool
	settled := int64(0)
	for _, t := range trees {
		if t.regions != nil {
			settled++
		}
	}
	if p.spare != nil {
		settled++
	}
	slots := int64(p.devices[0].placement.Slots) * p.devices[0].placement.SlotBytes
	each := p.devices[0].placement.DeviceBytes - slots // Trees is 1
	each -= plan.SequenceStates * p.devices[0].placement.StateBytes
	got, want := p.Stats().DeviceBytes, settled*each+grownRings(p, trees)+p.Stats().StatesBytes
	if p.devices[0].copies {
		want += slots
	}
	if p.config.policy.adapts() {
		want = p.taken(p.devices[0])
		if allowed := p.config.devices[0].memory; allowed > 0 && got > allowed {
			l.t.Fatalf("%d bytes on the device; %d are allowed", got, allowed)
		}
	}
	if p.config.policy.fixed() && got != want || got > want {
		l.t.Fatalf("%d bytes on the device with %d trees; want %d (at most, if it grows)", got, settled, want)
	}
	if p.spare != nil {
		trees = append(trees, p.spare)
	}
	var tiered int64
	for _, t := range trees {
		for layer, r := range t.regions {
			if r != nil && p.placed[layer].onHost {
				cells := r.cells
				if !p.config.policy.fixed() { // memory that nothing was written to is none
					cells = plan.WholeBlocks(r.touched)
				}
				tiered += r.layout.RowBytes() * int64(cells)
			}
		}
		for rows := range t.tiers {
			tiered += rows.Usage().Host
		}
	}
	if s := p.Stats(); p.devices[0].copies && !l.files && s.HostBytes != tiered+s.SnapshotBytes+p.statesOff() {
		l.t.Fatalf("%d bytes in host memory; want %d, %d of snapshots and %d of states", s.HostBytes, tiered, s.SnapshotBytes, p.statesOff())
	}
}

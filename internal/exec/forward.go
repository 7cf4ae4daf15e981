package exec

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/trace"
)

// Forward takes the tokens of a batch through the model and returns, for each work, the logits of
// as many last tokens as it asked for: [work][row][vocab]. It reuses the memory of rows, the result
// of an earlier call. The sequences grow by their tokens. On an error they are as they were; but where
// rows behind windows were not kept, a sequence ends before the tokens that were to be computed again.
func (r *Runner) Forward(ctx context.Context, batch []kv.Work, rows [][][]float32) ([][][]float32, error) {
	if len(batch) == 0 {
		return nil, errors.New("ebb: forward of an empty batch: want at least one sequence with tokens")
	}
	for i, w := range batch {
		if err := r.check(w); err != nil {
			return nil, fmt.Errorf("ebb: work %d: %w", i, err)
		}
	}
	rows = logitRows(rows, batch, r.config.Vocab)
	r.askForSnapshots(batch)
	for {
		err := r.forward(ctx, withPending(batch), rows)
		if _, more := errors.AsType[*kv.PendingError](err); more {
			continue // each time, there is one snapshot less that cannot be read
		}
		if err != nil {
			forgetSnapshots(batch)
			return nil, err
		}
		return rows, nil
	}
}

// forward is Forward for works that begin with their pending tokens.
func (r *Runner) forward(ctx context.Context, batch []kv.Work, rows [][][]float32) error {
	tokens, whole := 0, true
	for _, w := range batch {
		tokens += len(w.Tokens)
		whole = whole && cut(w, len(w.Tokens)) == len(w.Tokens)
	}
	if whole && tokens <= r.pool.StepTokens() {
		return r.pass(ctx, batch, rows)
	}
	return r.passes(ctx, batch, rows)
}

// withPending returns the batch with the tokens before those of its works that are to be computed again, or
// as many of them as a pass takes.
func withPending(batch []kv.Work) []kv.Work {
	copied := false
	for i, w := range batch {
		pending := w.Seq.Pending()
		if len(pending) == 0 {
			continue
		}
		if w.Again > 0 && len(w.Tokens) == 0 {
			pending = pending[:min(w.Again, len(pending))]
		}
		if !copied {
			batch, copied = slices.Clone(batch), true
		}
		batch[i].Tokens = slices.Concat(pending, w.Tokens)
	}
	return batch
}

// logitRows returns rows with memory for the logits of a batch.
func logitRows(rows [][][]float32, batch []kv.Work, vocab int) [][][]float32 {
	rows = resize(rows, len(batch))
	for i, w := range batch {
		rows[i] = resize(rows[i], w.Logits)
		for j := range rows[i] {
			rows[i][j] = resize(rows[i][j], vocab)
		}
	}
	return rows
}

// resize returns s with n elements. Elements that s has had before keep their values.
func resize[E any](s []E, n int) []E {
	s = s[:cap(s)]
	if n > len(s) {
		s = append(s, make([]E, n-len(s))...)
	}
	return s[:n]
}

// passes takes a batch through the model in several steps. The states from before the first are kept
// meanwhile, so that a step that fails later costs none of them.
func (r *Runner) passes(ctx context.Context, batch []kv.Work, rows [][][]float32) error {
	before := make([]int, len(batch))
	for i, w := range batch {
		before[i] = w.Seq.Len()
		_ = w.Seq.SnapshotAt(before[i]) // of a closed sequence: the step says so
	}
	done := make([]int, len(batch)) // tokens of each work that have gone through
	for {
		pass, of := r.nextPass(batch, done)
		if len(pass) == 0 {
			return nil
		}
		var wanted [][][]float32
		for i, w := range of {
			first := max(0, batch[w].Logits-(len(batch[w].Tokens)-done[w])) // rows of the steps before
			wanted = append(wanted, rows[w][first:first+pass[i].Logits])
		}
		if err := r.pass(ctx, pass, wanted); err != nil {
			return errors.Join(err, rollBack(batch, before, done))
		}
		for i, w := range of {
			done[w] += len(pass[i].Tokens)
		}
	}
}

// PassTokens returns how many of the next tokens of a sequence one step takes, those of its
// [kv.Seq.Pending] first, which may be fewer than all of them. A prompt that is computed in passes of at most as many is divided where [Runner.Forward]
// would divide it.
func (r *Runner) PassTokens(seq *kv.Seq, tokens int) int {
	tokens = min(tokens, r.pool.StepTokens())
	if next := seq.NextSnapshot(); next > 0 {
		tokens = min(tokens, next)
	}
	return tokens
}

// StepTokens returns how many tokens one step takes at most.
func (r *Runner) StepTokens() int { return r.pool.StepTokens() }

// check reports a work that no step can take.
func (r *Runner) check(w kv.Work) error {
	if w.Seq == nil {
		return errors.New("it has no sequence")
	}
	if w.Logits < 0 || w.Logits > len(w.Tokens) {
		return fmt.Errorf("logits of %d tokens wanted of %d", w.Logits, len(w.Tokens))
	}
	for i, id := range w.Tokens {
		if id < 0 || int(id) >= r.config.Vocab {
			return fmt.Errorf("token %d is %d: the vocabulary has the ids 0 to %d", i, id, r.config.Vocab-1)
		}
	}
	return nil
}

// nextPass returns the part of the batch that the next step takes, and for each of its works the
// index in the batch. A step has a largest number of tokens, which bounds its activations.
func (r *Runner) nextPass(batch []kv.Work, done []int) (pass []kv.Work, of []int) {
	room := r.pool.StepTokens()
	for i, w := range batch {
		left := len(w.Tokens) - done[i]
		take := min(cut(w, left), room)
		if take == 0 && len(w.Tokens) > 0 {
			continue
		}
		room -= take
		wanted := max(0, w.Logits-(left-take)) // those of the last w.Logits tokens that this pass takes
		drafts := max(0, w.Drafts-(left-take))
		pass = append(pass, kv.Work{
			Seq: w.Seq, Tokens: w.Tokens[done[i] : done[i]+take], Logits: min(wanted, take), Drafts: min(drafts, max(0, take-1)),
			Before: w.Before + done[i], More: w.More + left - take,
		})
		of = append(of, i)
	}
	return pass, of
}

// rollBack undoes the steps of a batch that were taken before one failed. A sequence whose tokens were
// to be computed again may have fewer than before.
func rollBack(batch []kv.Work, before, done []int) error {
	var errs []error
	for i, w := range batch {
		if done[i] > 0 {
			errs = append(errs, w.Seq.Truncate(min(before[i], w.Seq.Len())))
		}
	}
	return errors.Join(errs...)
}

// pass takes a step. If a device has no memory for what the step computes, under the policy auto K/V
// leave it, and the step is taken again. So it is when tokens were computed again whose rows behind
// windows were not kept.
func (r *Runner) pass(ctx context.Context, batch []kv.Work, rows [][][]float32) error {
	for again := 0; ; {
		began, err := r.step(ctx, batch, rows)
		if gone, ok := errors.AsType[*kv.GoneError](err); ok && again < len(batch) {
			again++
			if err := r.computeAgain(ctx, gone); err != nil {
				return err
			}
			continue
		}
		if err == nil || !began || !errors.Is(err, ggml.ErrNoMemory) {
			return err
		}
		if yielded, failed := r.pool.Yield(ctx); !yielded {
			return errors.Join(err, failed)
		}
	}
}

// computeAgain computes the tokens of a sequence whose rows behind windows are gone, and says so. After
// an error the sequence has only the tokens before them.
func (r *Runner) computeAgain(ctx context.Context, gone *kv.GoneError) error {
	tokens := gone.Seq.Tokens()[gone.From:gone.Len] // those of Pending are in the batch
	if notify := r.options.Cache.Notify; notify != nil {
		notify(fmt.Sprintf("%d tokens are computed again: their K/V behind the windows of layers were not kept", len(tokens)))
	}
	if err := gone.Seq.Truncate(gone.From); err != nil {
		return err
	}
	batch := withPending([]kv.Work{{Seq: gone.Seq, Tokens: tokens}})
	if err := r.passes(ctx, batch, make([][][]float32, 1)); err != nil {
		return fmt.Errorf("ebb: computing %d tokens again, of which the sequence has none now: %w", len(tokens), err)
	}
	return nil
}

// step takes a batch through all layers once, and writes the logits that its works want to their
// rows. began says that an error is not one of Begin's. This is the heart of ebb.
func (r *Runner) step(ctx context.Context, batch []kv.Work, rows [][][]float32) (began bool, err error) {
	defer recoverMisuse(&err)
	step, err := r.pool.Begin(ctx, batch)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, step.Close()) }()
	defer r.trace.End(trace.Span{Track: trace.Step, Name: "step", Layer: -1, Tokens: len(step.Tokens()), Start: r.trace.Now()})
	at, err := r.embed(step) // the device where the activations are
	if err != nil {
		return true, err
	}
	for layer, err := range step.Layers(ctx) { // this layer's K/V are on its device; the next fetch is under way
		if err != nil {
			return true, err
		}
		at = r.carry(step, layer.Index, at, r.devices.layers[layer.Index])
		for i := range step.Chunks() { // prefill: many; decode: one
			if err := r.run(ctx, step, at, layer, i); err != nil {
				return true, err
			}
		}
	}
	at = r.carry(step, len(r.devices.layers), at, r.devices.output)
	if err := at.logits(step.Gather(rows)); err != nil {
		return true, err
	}
	if r.after != nil {
		if err := r.after(ctx, step, at, batch); err != nil {
			return true, err
		}
	}
	if err := r.releaseRows(len(step.Tokens())); err != nil {
		return true, err
	}
	return true, step.Commit()
}

// manyRows is the number of tokens from which on a step's rows of the model's tables are released. A
// row brings its neighbours in the file into memory, so that a long prompt brings most of a table.
const manyRows = 64

// releaseRows gives the memory of the rows back that a step of some tokens has looked up in the
// model's tables.
func (r *Runner) releaseRows(tokens int) error {
	m, ok := r.model.(model.Tables)
	if !ok || tokens < manyRows {
		return nil
	}
	return m.ReleaseRows()
}

// embed computes the first layer's input, and returns the device that has it.
func (r *Runner) embed(step *kv.Step) (*device, error) {
	if err := r.devices.begin(step); err != nil {
		return nil, err
	}
	if r.given != nil {
		r.given(r.devices.layers[0].inputs.given)
	}
	d := r.devices.input
	for i, c := range step.Chunks() {
		g, err := d.graphs.embedding(step, i)
		if err != nil {
			return nil, err
		}
		if err := d.compute(g, "embed", -1, c.N); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// carry copies a layer's input from one device to another, through host memory, and returns the
// device that has it then.
func (r *Runner) carry(step *kv.Step, layer int, from, to *device) *device {
	if from == to {
		return to
	}
	start, x := r.trace.Now(), from.inputs.x[layer%2]
	n := int64(len(step.Tokens())) * x.Nb(1)
	r.copyThroughHost(x, to.inputs.x[layer%2], n)
	r.trace.End(trace.Span{Device: to.backend.Device().Name(), Track: trace.Compute, Name: "carry", Layer: layer, Bytes: n, Start: start})
	return to
}

// run computes one layer for one chunk on the layer's device. If the chunk has tokens of several
// trees, attention goes tree by tree, as their rows arrive, unless they are in place.
func (r *Runner) run(ctx context.Context, step *kv.Step, d *device, layer *kv.Layer, chunk int) error {
	if r.closing.Load() {
		return fmt.Errorf("%w: the engine", kv.ErrClosed)
	}
	g, err := d.graphs.layer(step, layer, chunk)
	if err != nil {
		return err
	}
	if err := layer.Prepare(ctx, chunk); err != nil {
		return err
	}
	if v := d.inputs.visibilities.of(r.config.Layers[layer.Index]); v != nil {
		v.set(step, chunk)
	}
	if g.shape.inPlace {
		d.inputs.describe(step, layer, chunk, g)
	}
	for _, stage := range g.stages {
		switch stage.kind {
		case dense:
		case attention:
			tree := stage.tree
			if g.shape.inPlace {
				parts := step.Chunks()[chunk].Parts
				tree = parts[len(parts)-1].Tree
			}
			if err := layer.Acquire(ctx, tree); err != nil {
				return err
			}
		case hostAttention:
			if err := r.attendAtHost(step, d, layer, g, chunk); err != nil {
				return err
			}
			continue
		case cpuExperts:
			if err := r.computeExperts(layer.Index, g.detour); err != nil {
				return err
			}
			continue
		}
		if err := d.compute(stage.graph, "layer", layer.Index, step.Chunks()[chunk].N); err != nil {
			return err
		}
	}
	return nil
}

// logits computes a row of scores for each token whose logits are wanted.
func (d *device) logits(rows [][]float32) error {
	for first := 0; first < len(rows); first += logitBatch {
		some := rows[first:min(first+logitBatch, len(rows))]
		g, err := d.graphs.logits(first, len(some))
		if err != nil {
			return err
		}
		if err := d.compute(g, "logits", -1, len(some)); err != nil {
			return err
		}
		d.inputs.getLogits(some)
	}
	return nil
}

// recoverMisuse turns the panic of a graph that was built wrongly into an error.
func recoverMisuse(err *error) {
	switch r := recover().(type) {
	case nil:
	case *ggml.ShapeError:
		*err = errors.Join(*err, fmt.Errorf("ebb: %w", r))
	default:
		panic(r)
	}
}

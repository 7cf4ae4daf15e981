package ebb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// Request is a prompt and how to continue it.
type Request struct {
	Prompt []int32
	Config GenerationConfig

	// Context ends the generation when it is cancelled, between two steps of the batch. Others in the
	// batch go on. nil: nothing but [Batch.Remove] ends it.
	Context context.Context //nolint:containedctx // the request's, as that of an http.Request

	// Seq holds tokens that come before Prompt and are not computed again; nil: there are none. It
	// is not changed, unless Keep says so.
	Seq *kv.Seq
	// Keep appends to Seq itself and not to a fork, so that a conversation goes on from it. The sequence
	// stays the caller's, who leaves it alone until the generation has ended. However that ends, also
	// if it is cancelled, Seq then holds what was computed of Prompt and, behind a whole prompt, all
	// new tokens but the last one. If the config asks for several texts or beams, it holds the prompt
	// alone. If the generation was parked ([BatchOptions.Park]), another sequence may have taken the place
	// of Seq: [Generation.Seq]. One that ends while it waits for its rows holds fewer tokens.
	Keep bool
	// Logits are the logits that [Engine.Forward] has returned for the last token of Seq. They are
	// needed if Prompt is empty.
	Logits []float32
	// PromptLogProbs has the batch report how probable the tokens of Prompt are:
	// [Generation.PromptTokens].
	PromptLogProbs bool
}

// Completion is one of the texts that were generated from a prompt.
type Completion struct {
	IDs         []int32 // the new tokens only, including an end token
	Text        string
	Score       float64          // see [generate.Text]
	BeamIndices []int32          // see [generate.Text]; empty outside of a beam search
	Tokens      []generate.Token // the tokens of IDs, and how probable they were
	Finish      generate.Finish
}

// Complete generates as many texts from a prompt as the config's num_return_sequences. Those of a
// beam search are sorted, the best one first. If it returns an error, for example because ctx was
// cancelled, it also returns what was generated before.
func (e *Engine) Complete(ctx context.Context, prompt []int32, c GenerationConfig) (completions []Completion, err error) {
	b := e.NewBatch(BatchOptions{})
	defer func() { err = errors.Join(err, b.Close()) }()
	g, err := b.Add(Request{Prompt: prompt, Config: c})
	if err != nil {
		return nil, err
	}
	err = errors.Join(b.Run(ctx), g.Err())
	return g.Completions(), err
}

// DefaultStepTime is [BatchOptions.StepTime] where the options have none.
const DefaultStepTime = 200 * time.Millisecond

// BatchOptions say how a batch divides its steps.
type BatchOptions struct {
	// StepTime is how long a step should take in which prompts are computed while texts grow, and so how
	// long a text waits for its next token. A prompt that takes longer is computed in passes, one a step
	// (chunked prefill). Where nobody waits, passes are as long as a step may be. 0: DefaultStepTime. A
	// negative time has prompts computed at once, which is fastest where nobody reads along.
	StepTime time.Duration

	// What does not fit together waits, and goes on when there is room again: docs/batches.md. Others of the
	// engine's sequences than the batch's may take that room. Full asks whoever has them to give some up,
	// and reports whether there is more room now; it is called again if that does not suffice. claims are
	// what the requests need, and their sequences are not to be touched; err is that of the step, nil for a
	// request that has not begun. The error of Full joins that of a request which ends for want of room.
	// nil: nobody is asked.
	Full func(ctx context.Context, claims []Claim, err error) (made bool, failed error)
	// Park takes over the sequence of a request that waits: it writes the rows somewhere, for example by
	// [Engine.Save], closes the sequence, and returns how to get it back, with all of its tokens or the first
	// of them. An error of restore that is [kv.ErrFull] has it asked again later; others end the request.
	// After an error of Park the sequence is as it was. nil, or an error: the rows are given up, and the
	// tokens are computed again.
	Park func(ctx context.Context, seq *kv.Seq) (restore func(context.Context) (*kv.Seq, error), err error)
	// Coming returns a channel that is closed when there may be more room, because Full or Park have begun to
	// make some beside the steps, for example by writing rows to a disk. Meanwhile steps are taken with the
	// requests that fit, and no other one is parked; if none fits, the batch waits for the channel. nil, or a
	// nil channel: what they make is there when they return.
	Coming func() <-chan struct{}
	// Lost takes over the sequence of a request whose step has failed with err, if its rows are lost, as those
	// of a sequence are whose file is damaged. It returns another one in its place, with the first of its tokens
	// or none; the request goes on with that, and the other tokens are computed again. Otherwise it returns
	// false, and the request ends. It is asked for requests whose texts grow. nil: all end.
	Lost func(ctx context.Context, seq *kv.Seq, err error) (instead *kv.Seq, lost bool, failed error)
}

// Claim is what a request needs room for: [generate.Claim].
type Claim = generate.Claim[*kv.Seq]

// Batch generates from several prompts at once, each with its own config: one step through the
// model serves all of them. The texts are the same as if each prompt were generated from alone,
// within float error. A generation that has ended gives back what it took in the cache at once, and
// the batch forgets it. One goroutine uses a batch; others may use the engine meanwhile.
//
// Requests may be added, and generations removed, between any two steps. docs/batches.md says how a
// batch divides its steps.
type Batch struct {
	engine *Engine
	batch  *generate.Batch[*kv.Seq, kv.Work]
}

// NewBatch returns an empty batch. The caller closes it, before the engine.
func (e *Engine) NewBatch(o BatchOptions) *Batch {
	options := generate.BatchOptions[*kv.Seq]{
		StepTime: max(cmp.Or(o.StepTime, DefaultStepTime), 0), StepTokens: e.runner.StepTokens(), Pass: e.runner.PassTokens,
		PromptRows: max(1, maxPromptLogits/4/e.Config().Vocab),
		Short:      shortage, Fits: e.fits, Full: o.Full, Park: o.park, Coming: o.Coming, Lost: o.Lost,
	}
	if e.runner.Pool().Stats().RecurrentLayers > 0 {
		options.Pending = (*kv.Seq).PendingLen
	}
	return &Batch{engine: e, batch: generate.NewBatch(e.runner.Forward, options)}
}

// shortage returns what a step was short of, or nil if its error is another one. Memory is everybody's,
// and the cells of a tree are those of its sequences.
func shortage(err error) *generate.Shortage[*kv.Seq] {
	if full, ok := errors.AsType[*kv.TreeFullError](err); ok {
		return &generate.Shortage[*kv.Seq]{Of: full.Of}
	}
	if errors.Is(err, kv.ErrFull) || errors.Is(err, ggml.ErrNoMemory) {
		return &generate.Shortage[*kv.Seq]{}
	}
	return nil
}

// fits reports whether there is room for some claims.
func (e *Engine) fits(claims []Claim) bool {
	return e.runner.Pool().Fits(func(yield func(*kv.Seq, int) bool) {
		for _, c := range claims {
			if !yield(c.Seq, c.More) {
				return
			}
		}
	})
}

// park parks a sequence as the options say, or gives its rows up.
func (o BatchOptions) park(ctx context.Context, seq *kv.Seq) (restore func(context.Context) (*kv.Seq, error), err error) {
	if o.Park != nil {
		if restore, err = o.Park(ctx, seq); err == nil || ctx.Err() != nil {
			return restore, err
		}
	}
	return func(context.Context) (*kv.Seq, error) { return seq, nil }, seq.Clear()
}

// maxPromptLogits is how many bytes the logits of a step's prompts take at most.
const maxPromptLogits = 64 << 20

// Generation is what a batch generates for one request.
type Generation struct {
	engine *Engine
	task   *generate.Task[*kv.Seq]
	config generate.Config
	prompt int // how many tokens it has, including those of Seq

	decoded []*decoded // one for each text
}

// Add adds a request. If something is wrong with it, Add returns an error, and the batch is as
// before. Requests may be added while others are under way.
func (b *Batch) Add(r Request) (*Generation, error) {
	e := b.engine
	prompt := r.Prompt
	if r.Seq != nil {
		prompt = append(r.Seq.Tokens(), prompt...)
	}
	config, err := e.search(prompt, r.Config)
	if err == nil && r.Config.MTP > 0 {
		err = fmt.Errorf("ebb: generation config: mtp is %d: the model's block drafts tokens of one text at a time, in a stream; want none in a batch", r.Config.MTP)
	}
	if err != nil {
		return nil, err
	}
	seq := r.Seq
	switch {
	case seq == nil && r.Keep:
		return nil, errors.New("ebb: a request has Keep and no Seq: want the sequence to append to, for example a new one")
	case seq == nil:
		seq = e.NewSeq()
	case !r.Keep:
		if seq, err = seq.Fork(); err != nil {
			return nil, err
		}
	}
	task, err := b.batch.Add(generate.Request[*kv.Seq]{
		Context: r.Context, Seq: seq, Prompt: prompt, Logits: r.Logits, Config: config, Keep: r.Keep,
		PromptLogProbs: r.PromptLogProbs,
	})
	if err != nil {
		return nil, err
	}
	return &Generation{engine: e, task: task, config: config, prompt: len(prompt)}, nil
}

// Run takes steps until everything is generated. It returns an error only if ctx is cancelled; it
// may then be called again, and continues as if nothing had happened. Other errors end a
// generation, whose Err returns them.
func (b *Batch) Run(ctx context.Context) error { return b.batch.Run(ctx) }

// Step takes one step, as Run does, and reports whether there was anything to do. Generations whose own
// contexts were cancelled end before it, in a call that takes none. It returns an error only if ctx is
// cancelled. Each generation is then as before, or, where a step had failed and they take it one by one, a
// step further; and some may wait for room. Another call goes on from there.
func (b *Batch) Step(ctx context.Context) (bool, error) { return b.batch.Step(ctx) }

// Remove ends a generation and frees what it took in the cache. Its Err is then
// [generate.ErrRemoved], and what was generated can still be read. Remove does nothing to a
// generation that has ended.
func (b *Batch) Remove(g *Generation) error { return b.batch.Remove(g.task) }

// Stats returns what the batch has counted: requests that had to wait for room, and what that has cost.
func (b *Batch) Stats() generate.BatchStats { return b.batch.Stats() }

// Close removes all generations.
func (b *Batch) Close() error { return b.batch.Close() }

// Done reports whether the generation has ended, by itself or with an error.
func (g *Generation) Done() bool { return g.task.Done() }

// PromptTokens returns the tokens of [Request.Prompt] that were computed so far, if the request asks for
// their log-probabilities: each with its LogProb, given all tokens before it, and as many candidates as
// the config's TopLogProbs. Both are those of the model itself, as with RawLogProbs. The first token has
// neither. A request that wants them of a whole text has no Seq.
func (g *Generation) PromptTokens() []generate.Token { return g.task.PromptTokens() }

// PromptLeft returns how many tokens are to be computed before the texts grow: those of the prompt, and
// those whose rows were given up for others.
func (g *Generation) PromptLeft() int { return g.task.PromptLeft() }

// Phase returns what the batch does with the generation: whether its prompt is computed, its texts grow, or
// it waits for room.
func (g *Generation) Phase() generate.Phase { return g.task.Phase() }

// FirstToken returns when the first new tokens came, and the zero time before.
func (g *Generation) FirstToken() time.Time { return g.task.FirstToken() }

// Recomputed returns how many tokens were computed again, because their rows were given up for others.
func (g *Generation) Recomputed() int { return g.task.Recomputed() }

// Seq returns the sequence of a request with Keep: its Seq, or the one that [BatchOptions.Park] has
// restored in its place. Until it has, and without Keep, there is none, and Seq returns nil.
func (g *Generation) Seq() *kv.Seq { return g.task.Seq() }

// Err returns the error that ended the generation, or nil if it is under way or ended by itself.
func (g *Generation) Err() error {
	err := g.task.Err()
	if _, full := errors.AsType[*kv.TreeFullError](err); full && max(g.config.Beams, g.config.Texts) <= 1 {
		return fmt.Errorf("%w; the context has room for %d tokens: want a longer one, a shorter prompt, or fewer new tokens", err, g.engine.Context())
	}
	if texts := max(g.config.Beams, g.config.Texts); texts > 1 && errors.Is(err, kv.ErrFull) && !errors.Is(err, kv.ErrNoMemory) {
		return fmt.Errorf("%w; %s", err, g.roomFor(texts))
	}
	return err
}

// roomFor says how many beams or texts the context has room for.
func (g *Generation) roomFor(texts int) string {
	what := "texts"
	if g.config.Beams > 1 {
		what = "beams"
	}
	// The last token of each is never computed. Tokens that beams share take room once, so more may
	// fit.
	own := max(g.config.MaxNewTokens-1, 1)
	context := g.engine.Context()
	return fmt.Sprintf("%d %s of up to %d new tokens after a prompt of %d do not fit into a context of %d, %d are sure to",
		texts, what, g.config.MaxNewTokens, g.prompt, context, max(context-g.prompt, 0)/own)
}

// Results returns the tokens that were generated so far, and decodes nothing. Those of a beam search are
// sorted, the best one first, and what a text begins with may change there. In all other texts the
// tokens stay as they are, and new ones come behind them: whoever reads after each step need only look
// behind the tokens that it has seen. The tokens are not changed.
func (g *Generation) Results() []generate.Text { return g.task.Results() }

// AppendResults appends what Results returns to texts. Where texts has room it makes no garbage, but in a
// beam search.
func (g *Generation) AppendResults(texts []generate.Text) []generate.Text {
	return g.task.AppendResults(texts)
}

// Completions returns what was generated so far. Those of a beam search are sorted, the best one
// first. Tokens that an earlier call has decoded are not decoded again.
func (g *Generation) Completions() []Completion {
	var completions []Completion
	for i, t := range g.task.Results() {
		if i == len(g.decoded) {
			g.decoded = append(g.decoded, &decoded{})
		}
		d := g.decoded[i]
		d.update(g, t.Tokens)
		completions = append(completions, Completion{
			IDs: slices.Clip(d.ids), Text: d.text.String() + d.decoder.rest(), Score: t.Score, BeamIndices: t.Beams, Tokens: t.Tokens, Finish: t.Finish,
		})
	}
	return completions
}

// decoded is the part of a text that was decoded so far.
type decoded struct {
	ids     []int32
	text    strings.Builder
	decoder *TextDecoder
}

// update decodes the tokens that are new. If earlier tokens have changed, as happens with beams, it
// begins again.
func (d *decoded) update(g *Generation, tokens []generate.Token) {
	n := len(d.ids)
	same := n <= len(tokens)
	for i := 0; same && i < n; i++ {
		same = d.ids[i] == tokens[i].ID
	}
	if d.decoder == nil || !same {
		*d = decoded{decoder: g.engine.NewTextDecoder(g.config.Stop)}
		n = 0
	}
	for _, t := range tokens[n:] {
		d.ids = append(d.ids, t.ID)
		d.text.WriteString(d.decoder.Next(t.ID))
	}
}

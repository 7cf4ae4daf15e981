package ebb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/kv"
)

// Request is a prompt and how to go on from it.
type Request struct {
	Prompt []int32
	Config GenerationConfig

	// Seq holds tokens that come before Prompt and are not computed again. It is left as it is. nil: there are none.
	Seq *kv.Seq
	// Logits are those of the token after Seq's, from [Engine.Forward], if Prompt is empty.
	Logits []float32
}

// Completion is one of the texts that were generated from a prompt.
type Completion struct {
	IDs         []int32 // new tokens only, an end token among them
	Text        string
	Score       float64          // see [generate.Text]
	BeamIndices []int32          // see [generate.Text]; empty outside of a beam search
	Tokens      []generate.Token // IDs, and how probable they were
	Finish      generate.Finish
}

// Complete generates as many texts from a prompt as the config's num_return_sequences, the best one first if they
// come from a beam search. With an error, a cancelled ctx among them, it returns what was generated before.
func (e *Engine) Complete(ctx context.Context, prompt []int32, c GenerationConfig) (completions []Completion, err error) {
	b := e.NewBatch()
	defer func() { err = errors.Join(err, b.Close()) }()
	g, err := b.Add(Request{Prompt: prompt, Config: c})
	if err != nil {
		return nil, err
	}
	err = errors.Join(b.Run(ctx), g.Err())
	return g.Completions(), err
}

// Batch generates from several prompts at once, each with its own config: one step through the model serves all of them.
// The texts are those of each prompt alone, within float error. A generation that has ended gives back what it took in the
// cache at once, and the batch forgets it. One goroutine uses a batch; the engine may be used beside it.
type Batch struct {
	engine *Engine
	batch  *generate.Batch[*kv.Seq, kv.Work]
}

// NewBatch returns an empty batch. The caller closes it, before the engine.
func (e *Engine) NewBatch() *Batch {
	return &Batch{engine: e, batch: generate.NewBatch(e.runner.Forward)}
}

// Generation is what a batch generates for one request.
type Generation struct {
	engine *Engine
	task   *generate.Task[*kv.Seq]
	config generate.Config
	prompt int // tokens, those of Seq among them

	decoded []*decoded // of each text
}

// Add adds a request. What is wrong with it is an error before anything is computed, and the batch is as before. Requests
// may be added when others are under way.
func (b *Batch) Add(r Request) (*Generation, error) {
	e := b.engine
	prompt := r.Prompt
	if r.Seq != nil {
		prompt = append(r.Seq.Tokens(), prompt...)
	}
	config, err := e.search(len(prompt), r.Config)
	if err != nil {
		return nil, err
	}
	var seq *kv.Seq
	if r.Seq == nil {
		seq = e.NewSeq()
	} else if seq, err = r.Seq.Fork(); err != nil {
		return nil, err
	}
	task, err := b.batch.Add(seq, prompt, r.Logits, config)
	if err != nil {
		return nil, err
	}
	return &Generation{engine: e, task: task, config: config, prompt: len(prompt)}, nil
}

// Run goes on until everything is generated, or ctx is cancelled, which is the only error: running again then goes on as
// if nothing had happened. What else ends a generation is its Err.
func (b *Batch) Run(ctx context.Context) error { return b.batch.Run(ctx) }

// Step is one step of Run, and reports whether there was anything to do.
func (b *Batch) Step(ctx context.Context) (bool, error) { return b.batch.Step(ctx) }

// Remove ends a generation, frees what it took in the cache and touches no other. Its Err is [generate.ErrRemoved] then.
// What was generated can be read afterwards. It does nothing to a generation that has ended.
func (b *Batch) Remove(g *Generation) error { return b.batch.Remove(g.task) }

// Close removes all generations.
func (b *Batch) Close() error { return b.batch.Close() }

// Done reports whether the generation has ended, by itself or with an error.
func (g *Generation) Done() bool { return g.task.Done() }

// Err returns what ended the generation, or nil if it goes on or ended by itself.
func (g *Generation) Err() error {
	err := g.task.Err()
	if texts := max(g.config.Beams, g.config.Texts); texts > 1 && errors.Is(err, kv.ErrFull) && !errors.Is(err, kv.ErrNoMemory) {
		return fmt.Errorf("%w; %s", err, g.roomFor(texts))
	}
	return err
}

// roomFor says how many beams, or texts, the context has room for.
func (g *Generation) roomFor(texts int) string {
	what := "texts"
	if g.config.Beams > 1 {
		what = "beams"
	}
	// The last token of each is never forwarded. Tokens that beams have in common take room once, so more may fit.
	own := max(g.config.MaxNewTokens-1, 1)
	context := g.engine.Context()
	return fmt.Sprintf("%d %s of up to %d new tokens after a prompt of %d do not fit into a context of %d, %d are sure to",
		texts, what, g.config.MaxNewTokens, g.prompt, context, max(context-g.prompt, 0)/own)
}

// Completions returns what was generated so far, the best one first if it comes from a beam search. Tokens that an earlier
// call has decoded are not decoded again.
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

// decoded is a text as far as it was decoded.
type decoded struct {
	ids     []int32
	text    strings.Builder
	decoder *TextDecoder
}

// update decodes the tokens that are new. If others have changed, as those of the best beam do, it begins again.
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

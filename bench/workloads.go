package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/bench/families"
	"github.com/seed4d217819/ebb/internal/measure"
)

// PeerLlama is the name of the only peer.
const PeerLlama = "llama.cpp"

// Options are the options of all workloads, with the ones that only the workloads of this package
// have.
type Options struct {
	measure.Options
	BeamDepth int    // tokens in the cache, of beams; 0: 4096, or half the context
	Peer      string // [PeerLlama], to compare with it; "": nothing
	PeerBench string // the llama-bench of another engine to compare with; "": none

	Families  []string // names of those to measure; nil: all
	Sequences []int    // how many are decoded together; nil: 1, 2, 4 and 8

	smallFamilies  bool  // families have widths that take little time
	attentionBytes int64 // least bytes of K/V in a step of attention; 0: more than caches hold
}

// Workloads returns all workloads, in the order in which they run: those of the ebb command, and
// those of this package. They use the options as they are when they run.
func (o *Options) Workloads() []measure.Workload {
	return append(measure.Workloads(), []measure.Workload{
		{
			Name: "host", Run: host, Needs: measure.LinkNeeds,
			About: "steps with attention at the device, at the host and as measured, over a link slower than computing, against that link",
		},
		{
			Name: "beams", Run: o.beams, Needs: o.beamNeeds,
			About: "a step of 4 beams that share a text against a step of one, resident and over a link slower than computing",
		},
		{
			Name: "lookup", Run: lookup,
			About: "a text that repeats its prompt, with prompt lookup and without, resident and over a link slower than computing",
		},
		{
			Name: "timeline", Run: timeline,
			About: "one step with all layers copied: when it computed, fetched and stored what",
		},
		{
			Name: "contention", Run: o.contention,
			About: "steps alone and beside a program that takes a core, with a fixed and with an adapting number of threads",
		},
		{
			Name: "sampling", Run: sampling,
			About: "choosing one of 152,064 tokens, against the step that computes their scores",
		},
		{
			Name: "overhead", Run: overhead,
			About: "what Go costs beside the library: a call, the rest of a step, and garbage",
		},
		{
			Name: "attention", Run: o.attention,
			About: "the CPU's attention over K/V in memory, against ggml's flash attention and a loop that reads as many bytes",
		},
		{
			Name: "products", Run: o.products, Own: true,
			About: "only where it is named: products of each type of weights in memory, against ggml's, against reading the weights, and against a loop that multiplies bytes",
		},
		{
			Name: "perplexity", Run: o.perplexity,
			About: "how well the model expects a fixed text of 4,000 tokens, with ebb's products and with ggml's",
		},
		{
			Name: "families", Run: o.families, Own: true,
			About: "only where it is named: steps of one token of models with random weights, which have a few layers of the shapes that people run",
		},
		{
			Name: "conversation", Run: o.conversation, Own: true,
			About: "only where it is named: the next turn of a conversation with a hybrid, against llama.cpp, and steps while a snapshot is copied",
		},
		{
			Name: "sequences", Run: o.sequences, Own: true,
			About: "only where it is named: a token of each of 1 to 8 sequences, of a hybrid or of families, in one step and in a step for each",
		},
		{
			Name: "arrival", Run: o.arrival, Own: true,
			About: "only where it is named: 8 streams beside which requests join and leave, and a prompt of 4,000 tokens arrives",
		},
		{
			Name: "http", Run: o.http, Own: true,
			About: "only where it is named: the tokens of one answer in a stream, in a batch, of the service and through HTTP",
		},
		{
			Name: "kept", Run: o.kept, Own: true, Disk: true,
			About: "only where it is named: the first token of a prompt whose conversation is kept, in memory and in files on a disk",
		},
		{
			Name: "prompts", Run: o.prompts, Own: true,
			About: "only where it is named: prompts of 16 to 4096 tokens, of the model or of families",
		},
		{
			Name: "curve", Run: o.curve, Own: true,
			About: "only where it is named: steps of each of 1 to 64 tokens, of the model or of families",
		},
	}...)
}

// Validate reports every fault that can be seen without the model.
func (o *Options) Validate() error {
	var errs []error
	if o.Peer != "" && o.Peer != PeerLlama {
		errs = append(errs, fmt.Errorf("bench: unknown peer %q: want %s", o.Peer, PeerLlama))
	}
	if o.BeamDepth < 0 {
		errs = append(errs, fmt.Errorf("bench: beam depth %d: want at least 1, or 0 for the default", o.BeamDepth))
	}
	for _, n := range o.Sequences {
		if n < 1 {
			errs = append(errs, fmt.Errorf("bench: %d sequences: want at least 1", n))
		}
	}
	if _, err := families.Find(o.Families...); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append([]error{o.Options.Validate(o.Workloads())}, errs...)...)
}

// Prepare has decode and prefill compare ebb with the peers, if there are any.
func (o *Options) Prepare() {
	if o.Peer != "" || o.PeerBench != "" {
		o.Peers = o.openAll
	}
}

// openAll opens the peers that the options name. It leaves out what does not open, and a note says why.
func (o *Options) openAll(s measure.Setting, room int) (peers []measure.Peer, notes []string) {
	arms, notes := o.openPeers(s, room)
	for _, a := range arms {
		peers = append(peers, measure.Peer{Arm: a, Flash: a.label == peerFlash})
	}
	if o.PeerBench == "" {
		return peers, notes
	}
	a, note := o.openCommand(s)
	if note != "" {
		return peers, append(notes, note)
	}
	return append(peers, measure.Peer{Arm: a, Flash: true}), notes
}

// withModel returns the options for another model.
func (o *Options) withModel(with measure.Options) *Options {
	of := *o
	of.Options = with
	return &of
}

// Run validates the options and measures what they name, as [measure.Run] does.
func Run(ctx context.Context, o Options) (*measure.Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.Prepare()
	return measure.Run(ctx, o.Options, o.Workloads())
}

// beamNeeds returns the depth of beams with the tokens of a turn.
func (o *Options) beamNeeds(with measure.Options) []measure.Need {
	return []measure.Need{{Depth: o.beamDepth(with), Tokens: beamTokens(with.Pace)}}
}

func (o *Options) beamDepth(with measure.Options) int {
	return cmp.Or(o.BeamDepth, min(4096, with.Context/2))
}

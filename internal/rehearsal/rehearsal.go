package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/exec"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/plan"
)

// Options say which steps are rehearsed.
type Options struct {
	Device    string // that computes; "": cpu
	Threads   int    // of the CPU; 0: one a core
	KVType    string // "": f16
	Depth     int    // tokens of each sequence before the step
	Sequences int    // that are decoded together; 0: 1
	Beams     int    // of each sequence; 0: 1
	Memory    int64  // bytes that the rehearsal may take; 0: 1 GiB
}

func (o Options) withDefaults() Options {
	o.Sequences, o.Beams = max(1, o.Sequences), max(1, o.Beams)
	if o.Memory == 0 {
		o.Memory = 1 << 30
	}
	return o
}

// What is rehearsed: enough bytes that they come from memory and not from the caches of a CPU, as in
// a real step, and few enough that it takes about a second.
const (
	sampleBytes = 384 << 20 // weights and K/V of the layers
	seedTokens  = 32        // that are computed; the K/V of the others are copies of theirs
	sampleSteps = 5         // timed at each depth, and more until sampleTime has passed
	sampleTime  = 150 * time.Millisecond
	mostSteps   = 40
	fewLayers   = 4  // that are rehearsed at least, if they fit: more stream than there are slots
	mostBatch   = 64 // tokens of a step
)

// leastAttend is which share of a deep step its attention takes at least: what says less has been
// disturbed.
const leastAttend = 50

// ErrTooLarge says that the layers do not fit the memory that a rehearsal may take.
var ErrTooLarge = errors.New("a layer is too large to be rehearsed")

// Rehearsal is the first layers of a model, on the device that the model is for. One goroutine uses it.
type Rehearsal struct {
	header  *gguf.File
	request plan.Request
	options Options
	sample  sample
	path    string // of the sketch
	stage   *stage // with all rows on the device
}

// Open prepares a rehearsal of a model's decode steps. The header must stay open as long. An error
// says that the model cannot be rehearsed here; the caller then assumes what is not measured. The
// caller closes the rehearsal.
func Open(ctx context.Context, header *gguf.File, r plan.Request, o Options) (_ *Rehearsal, err error) {
	h := &Rehearsal{header: header, request: r, options: o.withDefaults()}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("rehearsal: %w", err), h.Close())
		}
	}()
	if h.sample, err = h.options.sample(header, r); err != nil {
		return nil, err
	}
	if h.path, err = write(header, r.Layers, h.sample.layers); err != nil {
		return nil, err
	}
	h.stage, err = open(ctx, h.path, h.options, h.sample.depth, ebb.Options{Cache: kv.Dynamic, Sequences: h.options.Sequences})
	return h, err
}

// Close frees what the rehearsal took. It may be called twice.
func (h *Rehearsal) Close() (err error) {
	if h.stage != nil {
		err = h.stage.close()
	}
	if h.path != "" {
		err = errors.Join(err, os.Remove(h.path))
	}
	h.stage, h.path = nil, ""
	return err
}

// Footprint returns what the whole model takes on the device besides K/V, with a context of some
// cells: as the engine measures it when it opens the model.
func (h *Rehearsal) Footprint(cells int) (plan.Footprint, error) {
	f, err := exec.OfEngine(h.stage.engine).Footprint(cells)
	if err != nil {
		return plan.Footprint{}, err
	}
	copied := f.Weights // beyond what the sketch's file has: matrices in two orders
	for _, t := range h.header.Tensors() {
		if l, ok := layerOf(t.Name); !ok || slices.Contains(h.sample.layers, l) {
			copied -= t.Size
		}
	}
	f.Weights = h.request.Model.Weights + max(0, copied)
	return f, nil
}

// sketchName is the pattern of the names of sketches.
const sketchName = "ebb-rehearsal-*.gguf"

// abandoned is after how long nobody uses a sketch any more: a rehearsal takes seconds.
const abandoned = time.Hour

// sweep removes sketches that killed processes have left in a folder. What cannot be removed stays: it
// may be another user's.
func sweep(dir string, now time.Time) {
	paths, _ := filepath.Glob(filepath.Join(dir, sketchName)) // the pattern is well formed
	for _, path := range paths {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) > abandoned {
			_ = os.Remove(path)
		}
	}
}

// write writes the sketch of some of a model's layers to a file of its own. After an error there is none.
func write(header *gguf.File, of []plan.Layer, layers []int) (path string, err error) {
	sweep(os.TempDir(), time.Now())
	f, err := os.CreateTemp("", sketchName)
	if err != nil {
		return "", err
	}
	err = errors.Join(sketch(f, header, of, layers), f.Close())
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// Compute times decode steps, and returns how fast they are computed where all rows are on the device.
// It takes about half a second.
func (h *Rehearsal) Compute(ctx context.Context) (c plan.Compute, err error) {
	st, o := h.stage, h.options
	if st.seq.Len() < seedTokens+h.sample.depth {
		return c, errors.New("rehearsal: it was computed before")
	}
	deep, err := st.steps(ctx, min(o.Beams, mostBatch))
	if err != nil {
		return c, err
	}
	if err := st.fill(ctx, 0); err != nil {
		return c, err
	}
	flat, err := st.steps(ctx, min(o.Beams, mostBatch))
	if err != nil {
		return c, err
	}
	// Beyond one sequence all others add to what does not depend on the depth. In a deep step K/V push
	// weights out of the processor's caches, so these parts are taken from there.
	more := spent{}
	if batch := min(o.Beams*o.Sequences, mostBatch); o.Sequences > 1 {
		all, err := st.steps(ctx, batch)
		if err != nil {
			return c, err
		}
		more = all.minus(flat)
	}
	attend := max(deep.layers-flat.layers, deep.layers/time.Duration(leastAttend))
	c.KVRate = float64(h.sample.reads(seedTokens+h.sample.depth)-h.sample.reads(seedTokens)) / attend.Seconds()
	c.WeightRate = float64(h.sample.weights) / (flat.layers + more.layers).Seconds()
	c.HeadRate = float64(h.request.HeadWeights) / (deep.logits + more.logits).Seconds()
	c.StepSeconds = (deep.rest + more.rest).Seconds()
	c.KVRate /= beyond(o.Beams)
	for _, rate := range []*float64{&c.WeightRate, &c.HeadRate} {
		*rate /= beyond(o.Beams * o.Sequences)
	}
	c.StepSeconds *= beyond(o.Beams * o.Sequences)
	return c, nil
}

// beyond returns how many times as long a step with some tokens takes as the largest that is rehearsed:
// with so many tokens it takes a time for each.
func beyond(tokens int) float64 { return max(1, float64(tokens)/mostBatch) }

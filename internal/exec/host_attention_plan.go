package exec

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/timing"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/plan"
)

// planHostAttention decides for which of the streamed layers the host computes attention.
func (r *Runner) planHostAttention(o Options, cache *kv.Options, backends []*ggml.Backend) error {
	candidates := r.visitors(o, *cache, backends)
	if len(candidates) == 0 {
		return nil
	}
	n := len(candidates)
	switch {
	case o.HostLayers < 0 || o.HostLayers > n:
		return fmt.Errorf("ebb: attention at the host for %d layers: %d layers visit a device", o.HostLayers, n)
	case o.AttendAt == AttendAtHost && o.HostLayers > 0:
		n = o.HostLayers
	case o.AttendAt == AttendAuto:
		sweep, err := r.measure(*cache, backends, candidates)
		if err != nil {
			return fmt.Errorf("ebb: measuring where to attend: %w", err)
		}
		n = plan.HostLayers(n, sweep)
		cache.HostDepth = plan.HostDepth(sweep.Compute, sweep.Fetch/float64(cache.Cells))
		r.notes = append(r.notes, fmt.Sprintf("attention at the host for %d of %d streamed layers, from %d tokens on: measured %s to compute a step, and with a full context %s to fetch them, %s to attend there",
			n, len(candidates), cache.HostDepth, seconds(sweep.Compute), seconds(sweep.Fetch), seconds(sweep.Attend)))
	}
	cache.HostAttention = make([]bool, len(cache.Layers))
	for i, chosen := range plan.Spread(n, len(candidates)) {
		cache.HostAttention[candidates[i]] = chosen
	}
	return nil
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Microsecond)
}

// visitors returns the layers whose rows are copied to their device.
func (r *Runner) visitors(o Options, cache kv.Options, backends []*ggml.Backend) (layers []int) {
	for l, streamed := range cache.Plan(backends...).Streamed() {
		copied := o.Cache.ForcedCopies || r.devices.layers[l].backend.Device().Type() != ggml.CPU
		if streamed && copied {
			layers = append(layers, l)
		}
	}
	return layers
}

// measure times the parts of a decode step: the computing of the devices, and for some layers with
// a full context the link and the attention of the host.
func (r *Runner) measure(cache kv.Options, backends []*ggml.Backend, layers []int) (plan.Sweep, error) {
	if err := r.makeCache(cache, backends); err != nil {
		return plan.Sweep{}, err
	}
	compute, err := r.measureStep()
	link := r.pool.FetchRate(8 << 20)
	err = errors.Join(err, r.pool.Close())
	r.pool = nil
	r.devices.release()
	if err != nil {
		return plan.Sweep{}, err
	}
	if link == 0 {
		return plan.Sweep{}, errors.New("no memory for the copies that are timed")
	}
	host, err := r.measureHost(cache, layers[0])
	if err != nil {
		return plan.Sweep{}, err
	}
	var bytes float64
	for _, l := range layers {
		bytes += float64(cache.Layers[l].Bytes(cache.TypeK, cache.TypeV)) * float64(cache.Cells)
	}
	return plan.Sweep{Compute: compute, Fetch: bytes / link, Attend: bytes / host}, nil
}

// timedRuns is the number of runs of which the shortest counts.
const timedRuns = 4

// measureStep returns the seconds of a decode step on an empty cache.
func (r *Runner) measureStep() (float64, error) {
	seq := r.pool.NewSeq()
	defer func() { _ = seq.Close() }() // it holds memory alone, which the pool's closing frees
	took, err := timing.Shortest(timedRuns, 0, func() error {
		_, err := r.Forward(context.Background(), []kv.Work{{Seq: seq, Tokens: []int32{0}, Logits: 1}}, nil)
		return err
	})
	return took.Seconds(), err
}

// measureHost returns the rate at which the host attends to K/V, in bytes a second.
func (r *Runner) measureHost(cache kv.Options, layer int) (float64, error) {
	const most = 16 << 20 // more than caches hold, and touched in milliseconds
	c, b := r.config.Layers[layer], r.devices.hostDevice.backend
	row := cache.Layers[layer].Bytes(cache.TypeK, cache.TypeV)
	cells := max(kv.Block, most/row/kv.Block*kv.Block)
	meta := ggml.NewContext(6)
	defer meta.Close()
	k := meta.New(cache.TypeK, int64(c.KeyDim), cells, int64(c.KVHeads))
	v := meta.New(cache.TypeV, int64(c.ValueDim), cells, int64(c.KVHeads))
	q := meta.New(ggml.F32, int64(c.KeyDim), int64(c.Heads), 1)
	sees := newVisibilities(meta, attend.On(b.Device(), r.attending.kind, r.attending.set), r.config.Layers[layer:layer+1],
		sizes{cells: int(cells), k: cache.TypeK, v: cache.TypeV}, room{tokens: 1, chunk: 1, mask: int(cells), windowMask: int(cells)})
	for _, t := range append(sees.tensors(), k, v, q) {
		buffer, err := b.Alloc(b.BufferType(), b.BufferType().AllocSize(t), ggml.Scratches)
		if err != nil {
			return 0, err
		}
		defer buffer.Close()
		buffer.Clear()
		buffer.Place(t, 0)
	}
	g, scratch := b.NewGraph(32), b.NewScratch()
	defer scratch.Close()
	defer g.Close()
	all := sees.inputs(g, c, kv.Part{N: 1, Cells: int(cells)}, 0)
	sees.of(c).seeAll(int(cells))
	out := sees.attention.Graph(g, q, k, v, all, attend.Scores{Factor: c.Scale, SoftCap: c.SoftCap})
	g.Output(out)
	g.Expand(out)
	if _, err := scratch.Alloc(g); err != nil {
		return 0, err
	}
	took, err := timing.Shortest(timedRuns, 0, func() error { return b.Compute(g) })
	return float64(row*cells) / took.Seconds(), err
}

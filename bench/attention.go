package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
)

// The targets of the kernel with one row of queries: the share of the speed at which memory is
// read, if few query heads share a KV head so that there is little to compute for each byte; and
// how many times as fast as ggml's flash attention it should be with K/V that flash attention must
// convert.
const (
	targetKernel = 0.8
	fewHeads     = 4
	targetQ8     = 5
)

// attention measures ebb's kernel against ggml's flash attention and a loop that reads as many
// bytes, with K/V in memory and not in a cache of the CPU.
func (o *Options) attention(ctx context.Context, with measure.Options, _ measure.Model) (res measure.Result, err error) {
	if !with.OnCPU() {
		res.Note("Without attention: its kernel is for the CPU, which computes only a part here.")
		return res, nil
	}
	set, err := isa.Parse(os.Getenv(isa.Variable))
	if err != nil {
		return res, fmt.Errorf("bench: EBB_ISA: %w", err)
	}
	if set == isa.GGML {
		res.Note("Without attention: there is no kernel for this processor, or EBB_ISA is ggml.")
		return res, nil
	}
	of, err := readHeads(with)
	if err != nil {
		return res, err
	}
	for _, s := range with.Settings() {
		if of.typ, err = kv.ParseType(s.KVType); err != nil {
			return res, err
		}
		for _, of.cells = range measure.UpTo(with.Context, 512, 2048, 8192) {
			for _, of.rows = range []int{1, 4, 16} {
				if err := o.attentionAt(ctx, with, s, set, of, &res); err != nil {
					return res, err
				}
			}
		}
	}
	return res, nil
}

// readHeads returns the heads of the model's first layer.
func readHeads(o measure.Options) (of attended, err error) {
	a, err := measure.OpenEbb("ebb static", o, o.Settings()[0], ebb.Options{Cache: kv.Static, Context: 1})
	if err != nil {
		return of, err
	}
	l := a.Engine.Config().Layers[0]
	return attended{heads: l.Heads, kvHeads: l.KVHeads, keyDim: l.KeyDim, valueDim: l.ValueDim}, a.Close()
}

// attended describes the K/V of a layer, and how many rows of queries attend to them.
type attended struct {
	typ              ggml.Type // of K and V
	heads, kvHeads   int
	keyDim, valueDim int
	cells, rows      int
}

// queries says how many rows of queries there are.
func (a attended) queries() string {
	if a.rows == 1 {
		return "1 row of queries"
	}
	return fmt.Sprintf("%d rows of queries", a.rows)
}

// bytes returns the bytes of a layer's K and V.
func (a attended) bytes() int64 {
	return int64(a.kvHeads) * int64(a.cells) * (a.typ.RowSize(int64(a.keyDim)) + a.typ.RowSize(int64(a.valueDim)))
}

// layers returns how many layers have at least least bytes of K/V together, or 0 if these have more
// than twice as many.
func (a attended) layers(least int64) int {
	n := max(1, (least+a.bytes()-1)/a.bytes())
	if n*a.bytes() > 2*least {
		return 0
	}
	return int(n)
}

// targets returns the shares of the speed of a read loop and of flash attention that the kernel
// should reach.
func (a attended) targets() (read, flash float64) {
	if a.rows != 1 {
		return 0, 0
	}
	if a.typ == ggml.F16 && a.heads <= fewHeads*a.kvHeads {
		read = targetKernel
	}
	if a.typ == ggml.Q8_0 {
		flash = targetQ8
	}
	return read, flash
}

// attentionAt compares the arms for one K/V type, number of cells and number of rows.
func (o *Options) attentionAt(ctx context.Context, with measure.Options, s measure.Setting, set isa.ISA, of attended, res *measure.Result) (err error) {
	what := fmt.Sprintf("%v, %d cells, %v", s, of.cells, of.queries())
	least := cmp.Or(o.attentionBytes, measure.ReadSize)
	st, why, err := openStack(of, of.layers(least), s.Threads, set)
	if err != nil {
		return fmt.Errorf("bench: attention, %s: %w", what, err)
	}
	if why != "" {
		res.Note(fmt.Sprintf("Without attention, %s: %s.", what, why))
		return nil
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	with.Progress("attention, " + what)
	pace := measure.Pace{Rounds: with.Pace.Rounds, WarmUp: with.Pace.WarmUp, Steps: 3}
	if of.rows > 1 {
		pace = with.Pace.Prompts()
	}
	rows, err := measure.Measure(ctx, st.arms, measure.Point{Workload: "attention", Setting: s, Depth: of.cells, Tokens: of.rows}, pace)
	if err != nil {
		return err
	}
	for _, row := range rows {
		res.Figures = append(res.Figures, measure.Figure{
			Workload: "attention", Name: row.Arm + ", " + what, Value: float64(len(st.memory)) / row.P25 / 1e9, Unit: "GB/s", Disturbed: row.Disturbed > 0,
		})
	}
	read, flash := of.targets()
	res.Scores = append(res.Scores, measure.SpeedScore(rows[0], rows[2], read), measure.SpeedScore(rows[0], rows[1], flash))
	return nil
}

// stack holds the K/V of layers in memory, and the arms that attend to all layers in a step: the
// kernel, flash attention, and a loop that reads the K/V.
type stack struct {
	allocations
	arms    []measure.Arm
	memory  []byte         // of all K and V
	results []*ggml.Tensor // of the last layer, one for each arm that attends
}

// openStack allocates and fills the K/V of some layers. If there is nothing to measure, it returns
// why.
func openStack(of attended, layers, threads int, set isa.ISA) (st *stack, why string, err error) {
	device, err := cpu()
	if err != nil {
		return nil, "", err
	}
	switch {
	case !attend.On(device, attend.Kernel, set).Kernel(of.typ, of.typ, of.keyDim, of.valueDim):
		return nil, fmt.Sprintf("the kernel takes no heads of %d and %d values in %s", of.keyDim, of.valueDim, of.typ), nil
	case layers == 0:
		return nil, "a layer alone takes too much memory", nil
	}
	st = &stack{}
	if st.backend, err = device.Open(ggml.Options{Threads: threads}); err != nil {
		return nil, "", err
	}
	if err := st.fill(of, layers, threads, set); err != nil {
		return nil, "", errors.Join(err, st.Close())
	}
	return st, "", nil
}

// fill allocates K/V and queries, and adds the arms.
func (st *stack) fill(of attended, layers, threads int, set isa.ISA) error {
	meta := ggml.NewContext(2*layers + 3)
	st.frees = append(st.frees, meta.Close)
	var kvs []*ggml.Tensor
	for range layers {
		kvs = append(kvs,
			meta.New(of.typ, int64(of.keyDim), int64(of.cells), int64(of.kvHeads)),
			meta.New(of.typ, int64(of.valueDim), int64(of.cells), int64(of.kvHeads)))
	}
	rows, err := st.place(st.backend.BufferType(), kvs...)
	if err != nil {
		return err
	}
	st.memory = rows.Bytes()
	fillFinite(st.memory)

	sees := seeEverything(of)
	q := meta.New(ggml.F32, int64(of.keyDim), int64(of.heads), int64(of.rows)) // [keyDim, heads, rows]
	spans := meta.New(ggml.I32, int64(len(sees)))
	mask := meta.New(ggml.F16, int64(of.cells), int64(of.rows)) // [cells, rows]
	inputs, err := st.place(st.backend.BufferType(), q, spans, mask)
	if err != nil {
		return err
	}
	inputs.Clear() // a mask of zeros hides nothing
	ggml.SetSlice(spans, sees, 0)

	device := st.backend.Device()
	if err := st.add(fmt.Sprintf("ebb kernel, %v", set), of, attend.On(device, attend.Kernel, set), q, spans, kvs); err != nil {
		return err
	}
	if err := st.add("ggml flash attention", of, attend.On(device, attend.Flash, isa.GGML), q, mask, kvs); err != nil {
		return err
	}
	st.arms = append(st.arms, &measure.Transfer{Label: "reading K/V", Move: func() error { return measure.ReadAll(st.memory, threads) }})
	return nil
}

// add adds an arm that attends to one layer after the other. As in a model, the result of one layer
// is the query of the next, if it has the shape of a query: so no result is kept longer, and all
// lie in the same memory.
func (st *stack) add(label string, of attended, a attend.Attention, q, sees *ggml.Tensor, kvs []*ggml.Tensor) error {
	g, scratch := st.backend.NewGraph(8*len(kvs)), st.backend.NewScratch()
	st.frees = append(st.frees, scratch.Close, g.Close)
	query, out := q, q
	for i := 0; i < len(kvs); i += 2 {
		if of.keyDim == of.valueDim {
			query = out
		}
		out = a.Graph(g, query, kvs[i], kvs[i+1], sees, attend.Scores{}) // [valueDim, heads, rows]
		g.Expand(out)
	}
	g.Output(out)
	if _, err := scratch.Alloc(g); err != nil {
		return err
	}
	st.results = append(st.results, out)
	st.arms = append(st.arms, &measure.Transfer{Label: label, Move: func() error { return st.backend.Compute(g) }})
	return nil
}

// seeEverything returns spans in which each row sees all cells.
func seeEverything(of attended) []int32 {
	var s attend.Spans
	s.Reset(of.kvHeads, of.rows, 0, 0)
	for row := range of.rows {
		s.See(0, 0, of.cells)
		s.EndRow(row)
	}
	return s.Words()
}

// fillFinite writes bytes that are finite numbers in every type of K/V, and none of which is zero.
// They repeat, but not from one cell to the next.
func fillFinite(memory []byte) {
	const period = 251 // a prime, which divides no row
	for i := range min(period, len(memory)) {
		memory[i] = 0x2c + byte(i*i%period%4)
	}
	for n := period; n < len(memory); n *= 2 {
		copy(memory[n:], memory[:n])
	}
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/seed4d217819/ebb/bench/roof"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/product"
)

// productTypes are the types of weights that are measured, where there are kernels for them.
func productTypes() []ggml.Type {
	return []ggml.Type{
		ggml.Q4_0, ggml.Q4_1, ggml.Q5_0, ggml.Q5_1, ggml.Q8_0, ggml.Q2_K, ggml.Q3_K, ggml.Q4_K, ggml.Q5_K, ggml.Q6_K,
		ggml.IQ4_NL, ggml.IQ4_XS, ggml.MXFP4,
	}
}

// productSizes are the tokens of a product: up to readTokens, reading the weights takes longest, and
// above it computing does.
func productSizes() []int { return []int{1, 4, 8, 16, 512} }

const readTokens = 4

// multiplied is what is multiplied by: matrices [in, out].
type multiplied struct {
	in, out int64
	least   int64  // bytes of all matrices, for few tokens
	read    []byte // at least as many as all matrices have, none of which is zero
}

// products measures ebb's products of quantised weights and ggml's against the bounds that there are:
// how fast the weights are read from memory, and how fast the processor multiplies bytes.
func (o *Options) products(ctx context.Context, with measure.Options, _ measure.Model) (res measure.Result, err error) {
	if !with.OnCPU() {
		res.Note("Without products: their kernels are for the CPU, which computes only a part here.")
		return res, nil
	}
	sets, err := productSets(with.ISAs)
	if err != nil {
		return res, err
	}
	if len(sets) == 0 {
		res.Note("Without products: there is no kernel for this processor, or the instruction set is ggml.")
		return res, nil
	}
	of := multiplied{in: 2048, out: 4096, least: measure.ReadSize}
	if o.smallFamilies {
		of = multiplied{in: 256, out: 64, least: 1 << 16}
	}
	of.read = measure.NonZero(of.least + 4*of.in*of.out)
	for _, threads := range with.Threads {
		for _, typ := range productTypes() {
			if err := of.measureType(ctx, with, typ, threads, sets, &res); err != nil {
				return res, fmt.Errorf("bench: products of %v: %w", typ, err)
			}
		}
	}
	return res, nil
}

// productSets returns the instruction sets that have kernels, of some, or that of the environment if
// there are none.
func productSets(some []isa.ISA) (sets []isa.ISA, err error) {
	if some == nil {
		set, err := isa.Parse(os.Getenv(isa.Variable))
		if err != nil {
			return nil, fmt.Errorf("bench: %s: %w", isa.Variable, err)
		}
		some = []isa.ISA{set}
	}
	for _, set := range some {
		if set = set.Resolved(); set > isa.GGML {
			sets = append(sets, set)
		}
	}
	return sets, nil
}

// measureType measures products of one type.
func (m multiplied) measureType(ctx context.Context, o measure.Options, typ ggml.Type, threads int, sets []isa.ISA, res *measure.Result) (err error) {
	w, err := m.open(typ, threads, sets)
	if w == nil || err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	for _, n := range productSizes() {
		o.Progress(fmt.Sprintf("products: %v, %d tokens, %d threads", typ, n, threads))
		if err := w.measure(ctx, o, n, threads, sets, res); err != nil {
			return err
		}
	}
	return nil
}

// measure measures products with n tokens: figures of each arm, and the share of the bound that each of
// ebb's reaches. With few tokens they go through all matrices, and otherwise through the first one.
func (w *matrices) measure(ctx context.Context, o measure.Options, n, threads int, sets []isa.ISA, res *measure.Result) error {
	defer w.freeFrom(len(w.frees))
	count := len(w.weights)
	if n > readTokens {
		count = 1
	}
	arms, err := w.arms(n, count, threads, sets)
	if err != nil {
		return err
	}
	typ := w.weights[0].Type()
	at := measure.Point{Workload: "products", Setting: measure.Setting{Threads: threads}, Tokens: n}
	rows, err := measure.Measure(ctx, arms, at, paceOf(o.Pace, max(n, 64)))
	if err != nil {
		return err
	}
	work, unit := float64(count)*float64(w.bytes), "GB/s"
	if n > readTokens {
		work, unit = 2*float64(w.in)*float64(w.out)*float64(n)*float64(count), "GOP/s"
	}
	for i, row := range rows {
		res.Figures = append(res.Figures, measure.Figure{
			Workload: "products", Name: fmt.Sprintf("%v, %d tokens, %d threads: %s", typ, n, threads, row.Arm),
			Value: work / row.P25 / 1e9, Unit: unit, Disturbed: row.Disturbed > 0,
		})
		if i >= len(sets) {
			continue
		}
		bound := measure.Score{Workload: "products", Threads: threads, Tokens: n}
		if n <= readTokens {
			bound = measure.SpeedScore(row, rows[len(rows)-1], 0)
		} else if most, ok := roof.Operations(sets[i], threads, 20*time.Millisecond); ok {
			bound.Name, bound.Value = row.Arm+" / multiplying bytes", work/row.P25/most
		} else {
			continue
		}
		bound.Name = fmt.Sprintf("%v: %s", typ, bound.Name)
		ggml := measure.SpeedScore(row, rows[len(sets)], 0)
		ggml.Name = fmt.Sprintf("%v: %s", typ, ggml.Name)
		res.Scores = append(res.Scores, bound, ggml)
	}
	return nil
}

// matrices are weights in memory, for ebb's products and for ggml's.
type matrices struct {
	allocations
	multiplied
	weights, others []*ggml.Tensor // packed, and as ggml multiplies fastest
	bytes           int64          // of a matrix
}

// open returns the matrices of a type, or nil if an instruction set has no kernel for it.
func (m multiplied) open(typ ggml.Type, threads int, sets []isa.ISA) (w *matrices, err error) {
	device, err := cpu()
	if err != nil {
		return nil, err
	}
	for _, set := range sets {
		if !product.On(device, set).Takes(typ, m.in, m.out) {
			return nil, nil
		}
	}
	w = &matrices{multiplied: m, bytes: m.out * typ.RowSize(m.in)}
	if w.backend, err = device.Open(ggml.Options{Threads: threads}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	count := (m.least + w.bytes - 1) / w.bytes
	meta := ggml.NewContext(2 * int(count))
	w.frees = append(w.frees, meta.Close)
	for range count {
		w.weights = append(w.weights, meta.New(typ, m.in, m.out))
		w.others = append(w.others, meta.New(typ, m.in, m.out))
	}
	return w, w.fill(typ)
}

// arms returns what multiplies n tokens by the first count matrices: ebb with each instruction set,
// ggml, and for few tokens an arm that reads the weights.
func (w *matrices) arms(n, count, threads int, sets []isa.ISA) (arms []measure.Arm, err error) {
	meta := ggml.NewContext(1)
	w.frees = append(w.frees, meta.Close)
	x := meta.New(ggml.F32, w.in, int64(n)) // [in, tokens]
	if _, err := w.place(w.backend.BufferType(), x); err != nil {
		return nil, err
	}
	ggml.SetSlice(x, wave(x.Elements()), 0)
	for _, set := range sets {
		p := product.On(w.backend.Device(), set)
		arms, err = w.add(arms, fmt.Sprintf("ebb, %v", set), 40*count, func(g *ggml.Graph) {
			const most = 32 // products of the same activations
			var a *product.Activations
			for i, of := range w.weights[:count] {
				if i%most == 0 {
					a = p.Quantise(g, x)
				}
				g.Expand(p.Product(g, of, a, nil)) // [out, tokens]
			}
		})
		if err != nil {
			return nil, err
		}
	}
	if arms, err = w.add(arms, "ggml", 8*count, func(g *ggml.Graph) {
		for _, of := range w.others[:count] {
			g.Expand(g.MulMat(of, x)) // [out, tokens]
		}
	}); err != nil || n > readTokens {
		return arms, err
	}
	memory := w.read[:int64(count)*w.bytes]
	return append(arms, &measure.Transfer{Label: "reading the weights", Move: func() error { return measure.ReadAll(memory, threads) }}), nil
}

// fill writes the weights.
func (w *matrices) fill(typ ggml.Type) error {
	kind := w.backend.BufferType()
	if _, err := w.place(kind, w.weights...); err != nil {
		return err
	}
	for _, extra := range w.backend.ExtraBufferTypes() {
		if w.backend.SupportsWeight(ggml.OpMulMat, typ, [4]int64{w.in, w.out, 1, 1}, extra) {
			kind = extra
			break
		}
	}
	if _, err := w.place(kind, w.others...); err != nil {
		return err
	}
	rows, err := ggml.Quantize(typ, wave(product.Rows*w.in), w.in)
	if err != nil {
		return err
	}
	panel := make([]byte, len(rows))
	product.Pack(typ, panel, rows, w.in)
	rows, panel = repeated(rows, w.bytes), repeated(panel, w.bytes)
	for i := range w.weights {
		w.weights[i].Set(panel, 0)
		w.others[i].Set(rows, 0)
	}
	return nil
}

// wave returns n numbers between -0.3 and 0.3.
func wave(n int64) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(i%61-30) / 100
	}
	return values
}

// repeated returns a text as often as it takes to have size bytes.
func repeated(b []byte, size int64) []byte {
	all := make([]byte, 0, size)
	for int64(len(all)) < size {
		all = append(all, b[:min(int64(len(b)), size-int64(len(all)))]...)
	}
	return all
}

// add adds an arm that computes a graph.
func (w *matrices) add(arms []measure.Arm, label string, nodes int, build func(g *ggml.Graph)) ([]measure.Arm, error) {
	g, scratch := w.backend.NewGraph(nodes), w.backend.NewScratch()
	w.frees = append(w.frees, scratch.Close, g.Close)
	build(g)
	if _, err := scratch.Alloc(g); err != nil {
		return nil, err
	}
	return append(arms, &measure.Transfer{Label: label, Move: func() error { return w.backend.Compute(g) }}), nil
}

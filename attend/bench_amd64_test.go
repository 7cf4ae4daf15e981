//go:build amd64 && !windows

package attend

import (
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// benchBytes is how much K/V a benchmark goes through in turn: more than caches hold.
const benchBytes = 128 << 20

// BenchmarkDecode compares one token's attention over K/V in memory: the kernels, ggml's flash
// attention, and a loop that only reads K and V on the same threads. Each iteration computes a
// layer in every way, so that what disturbs the machine falls on all alike, and each way another
// layer, so that none finds in a cache what one before it has read. The shortest time of each layer
// counts.
func BenchmarkDecode(b *testing.B) {
	for _, m := range []struct {
		name                string
		heads, kvHeads, dim int
	}{{"SmolLM2", 9, 3, 64}, {"Llama-3", 32, 8, 128}, {"gpt-oss", 64, 8, 64}, {"Gemma-3-4B", 8, 4, 256}, {"Gemma-4-31B", 32, 4, 512}} {
		for _, typ := range []ggml.Type{ggml.F16, ggml.Q8_0, ggml.Q4_0} {
			for _, cells := range []int{512, 2048, 8192} {
				b.Run(fmt.Sprintf("%s/%v/%d", m.name, typ, cells), func(b *testing.B) {
					compare(b, shape{m.dim, m.dim, m.heads, m.kvHeads, 1, cells}, typ, benchBytes)
				})
			}
		}
	}
}

// BenchmarkRows is the same for several tokens, up to a chunk of a prompt.
func BenchmarkRows(b *testing.B) {
	for _, typ := range []ggml.Type{ggml.F16, ggml.Q8_0, ggml.Q4_0} {
		for _, rows := range []int{2, 4, 8, 16, 64, 512} {
			b.Run(fmt.Sprintf("SmolLM2/%v/%d", typ, rows), func(b *testing.B) {
				compare(b, shape{64, 64, 9, 3, rows, 8192}, typ, 1)
			})
			b.Run(fmt.Sprintf("Llama-3/%v/%d", typ, rows), func(b *testing.B) {
				compare(b, shape{128, 128, 32, 8, rows, 2048}, typ, 1)
			})
		}
	}
}

// BenchmarkForks compares forks that list their cells with the same forks whose cells are taken as they
// lie: their own tokens lie in turns behind what they share.
func BenchmarkForks(b *testing.B) {
	for _, c := range []struct{ forks, prefix, own int }{{2, 512, 64}, {4, 512, 64}, {4, 2048, 64}, {4, 512, 512}, {8, 64, 512}, {16, 512, 128}} {
		for _, typ := range []ggml.Type{ggml.F16, ggml.Q8_0} {
			for _, lists := range []int{1, 1 << 30} {
				name := map[int]string{1: "lying", 1 << 30: "listed"}[lists]
				b.Run(fmt.Sprintf("%v/%d+%d×%d/%s", typ, c.prefix, c.own, c.forks, name), func(b *testing.B) {
					p := &problem{shape: shape{64, 64, 9, 3, c.forks, c.prefix + c.forks*c.own}, typ: typ, scale: Scores{Factor: 0.125}, lists: lists}
					p.fill(b, seeded(1))
					for row := range c.forks {
						runs, alone := []run{{0, c.prefix}}, []int{0}
						for i := range c.own {
							cell := c.prefix + i*c.forks + row
							runs, alone = append(runs, run{cell, cell + 1}), append(alone, c.prefix+i)
						}
						p.sees, p.alone = append(p.sees, runs), append(p.alone, alone)
					}
					p.prepare()
					for b.Loop() {
						p.run(b, kernelISAs()[len(kernelISAs())-1], 1)
					}
				})
			}
		}
	}
}

// arm is a way to go through K and V, as a graph for each layer.
type arm struct {
	name   string
	graphs []*ggml.Graph
	best   []time.Duration // by layer
}

// compare times all arms over as many layers as bytes hold.
func compare(b *testing.B, s shape, typ ggml.Type, bytes int) {
	r := newRig(b, runtime.NumCPU())
	layer := int(typ.RowSize(int64(s.keyDim)) * int64(2*s.kvHeads*s.cells))
	layers := max(1, bytes/layer)
	p := &problem{shape: s, typ: typ, scale: Scores{Factor: 0.125}}
	p.q = normal(seeded(1), s.keyDim*s.heads*s.rows, 1)
	p.k, p.v = make([]byte, layer/2), make([]byte, layer/2) // zeros take the same time
	p.look(seeCausal, seeded(1))
	p.prepare()
	mask := make([]uint16, s.cells*s.rows)
	for i := range mask {
		if row, cell := i/s.cells, i%s.cells; cell > s.cells-s.rows+row {
			mask[i] = 0xFC00
		}
	}
	m := r.tensor(ggml.F16, bytesOf(mask), int64(s.cells), int64(s.rows))
	arms := []*arm{{name: "read"}, {name: "flash"}}
	for _, set := range vectorISAs() {
		arms = append(arms, &arm{name: set.String()})
	}
	_, _, _, read := opAddresses()
	q, _, _, spans := r.operands(p)
	for range layers {
		k := r.tensor(typ, p.k, int64(s.keyDim), int64(s.cells), int64(s.kvHeads))
		v := r.tensor(typ, p.v, int64(s.valueDim), int64(s.cells), int64(s.kvHeads))
		for _, a := range arms {
			g := r.backend.NewGraph(8)
			b.Cleanup(g.Close)
			switch a.name {
			case "read":
				g.Expand(g.Custom(ggml.F32, [4]int64{1, 1, 1, 1}, read, ggml.CustomParams{}, q, k, v))
			case "flash":
				g.Expand(On(r.device, Flash, isa.GGML).Graph(g, q, k, v, m, p.scale))
			default:
				set, err := isa.Parse(a.name)
				if err != nil {
					b.Fatal(err)
				}
				g.Expand(On(r.device, Tiles, set).Graph(g, q, k, v, spans, p.scale))
			}
			scratch := r.backend.NewScratch() // its own, as growing one would drop the graphs before
			b.Cleanup(scratch.Close)
			if _, err := scratch.Alloc(g); err != nil {
				b.Fatal(err)
			}
			a.graphs, a.best = append(a.graphs, g), append(a.best, math.MaxInt64)
		}
	}
	for n := 0; b.Loop(); n++ {
		for i, a := range arms {
			l := (n + i*layers/len(arms)) % layers
			start := time.Now()
			r.compute(a.graphs[l])
			a.best[l] = min(a.best[l], time.Since(start))
		}
	}
	seconds := map[string]float64{}
	for _, a := range arms {
		var sum time.Duration
		done := 0
		for _, t := range a.best {
			if t < math.MaxInt64 {
				sum += t
				done++
			}
		}
		seconds[a.name] = sum.Seconds() / float64(done)
		b.ReportMetric(float64(layer)/seconds[a.name]/1e9, a.name+"-GB/s")
	}
	for _, set := range vectorISAs() {
		b.ReportMetric(seconds["read"]/seconds[set.String()], set.String()+"/read")
		b.ReportMetric(seconds["flash"]/seconds[set.String()], set.String()+"/flash")
	}
	b.ReportMetric(0, "ns/op") // of all arms together
}

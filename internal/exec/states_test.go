package exec

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed4d217819/ebb/kv"
)

// savedStates takes what a cache saves of a sequence's states, and nothing else: its only snapshot.
type savedStates struct{ layers [][]float32 }

func (*savedStates) Begin(kv.Saved) error        { return nil }
func (*savedStates) Rows(int, int, []byte) error { return nil }
func (s *savedStates) State(_, _ int, state []byte) error {
	values := make([]float32, len(state)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(state[4*i:]))
	}
	s.layers = append(s.layers, values)
	return nil
}

// The states after a prompt are those of Hugging Face's transformers: the matrices of a layer, and the
// last inputs of its convolution.
func TestStatesEqualHuggingFace(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "cases", "state_tiny-qwen35.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Prompt []int32
			Layers []*struct {
				Conv [][]float32   // [channel][token]
				SSM  [][][]float32 // [head][value][key]
			}
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, chunk := range []int{0, 3} {
		r := setting{devices: cpu, kvType: "f32", hybrid: true, Options: Options{Cache: kv.Options{Cells: 64, ChunkTokens: chunk}}}.mustOpen(t)
		for _, c := range file.Cases {
			s := r.pool.NewSeq()
			if _, err := r.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: c.Prompt}}, nil); err != nil {
				t.Fatal(err)
			}
			var got savedStates
			if err := r.pool.Save(t.Context(), s, &got); err != nil {
				t.Fatal(err)
			}
			for l, want := range c.Layers {
				if want == nil {
					continue
				}
				state := got.layers[0]
				got.layers = got.layers[1:]
				for _, head := range want.SSM {
					for _, row := range head {
						state = near(t, l, "memory", state, row)
					}
				}
				for _, channel := range want.Conv {
					state = near(t, l, "inputs", state, channel)
				}
				if len(state) > 0 {
					t.Errorf("layer %d: the state has %d values more", l, len(state))
				}
			}
			if len(got.layers) > 0 {
				t.Errorf("%d recurrent layers more", len(got.layers))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// near compares the first values of a state, up to another order of summation, and returns the others.
func near(t *testing.T, layer int, part string, state, want []float32) []float32 {
	t.Helper()
	for i, w := range want {
		if d := math.Abs(float64(state[i] - w)); !(d <= 1e-4*max(1, math.Abs(float64(w)))) {
			t.Fatalf("layer %d: %s has %v; want %v", layer, part, state[i], w)
		}
	}
	return state[len(want):]
}

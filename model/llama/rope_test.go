package llama_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
)

// lastLogits computes the first three logits behind a prompt of 17 tokens, of the golden model with
// other metadata.
func lastLogits(t *testing.T, meta ...gguf.KV) []float32 {
	t.Helper()
	testmodel.CPU(t, 1) // skips where there is no library
	data, err := os.ReadFile("../../testdata/models/tiny-gqa.gguf")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, testmodel.Edit(t, data, meta), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := ebb.Open(path, ebb.Options{Device: "cpu", Threads: 1, KVType: "f32"})
	if err != nil {
		t.Fatal(err)
	}
	s := e.NewSeq()
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	prompt := []int32{1, 50, 100, 150, 200, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108}
	out, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: prompt, Logits: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(out[0][0][:3])
}

// The reference is libllama with the same files.
func TestRoPEIsScaledAsTheFileSays(t *testing.T) {
	unscaled, linear := []float32{2.5292, 1.3347, 5.9789}, []float32{4.6210, 2.9838, -2.9717}
	key := func(name string, value any) gguf.KV { return gguf.KV{Key: "llama.rope." + name, Value: value} }
	for name, test := range map[string]struct {
		meta []gguf.KV
		want []float32
	}{
		"nothing":                {nil, unscaled},
		"a factor without type":  {[]gguf.KV{key("scaling.factor", float32(4))}, linear},
		"linear":                 {[]gguf.KV{key("scaling.factor", float32(4)), key("scaling.type", "linear")}, linear},
		"the older key":          {[]gguf.KV{key("scale_linear", float32(4))}, linear},
		"both keys":              {[]gguf.KV{key("scale_linear", float32(2)), key("scaling.factor", float32(4))}, linear},
		"a factor of an integer": {[]gguf.KV{key("scaling.factor", uint32(4))}, linear},
		"none":                   {[]gguf.KV{key("scaling.factor", float32(4)), key("scaling.type", "none")}, unscaled},
		"a factor of 0":          {[]gguf.KV{key("scaling.factor", float32(0))}, unscaled},
		"YaRN by 1":              {[]gguf.KV{key("scaling.factor", float32(1)), key("scaling.type", "yarn")}, unscaled},
		"the default base":       {[]gguf.KV{key("freq_base", nil)}, unscaled},
	} {
		got := lastLogits(t, test.meta...)
		for i := range got {
			if math.Abs(float64(got[i]-test.want[i])) > 2e-4 {
				t.Errorf("%s: logits %v, want %v", name, got, test.want)
				break
			}
		}
	}
}

func TestAFrequencyBaseOfAnotherTypeIsRead(t *testing.T) {
	key := func(value any) gguf.KV { return gguf.KV{Key: "llama.rope.freq_base", Value: value} }
	want, byDefault := lastLogits(t, key(float32(500000))), lastLogits(t)
	for _, value := range []any{uint32(500000), int64(500000), float64(500000)} {
		if got := lastLogits(t, key(value)); got[0] != want[0] || got[1] != want[1] || got[0] == byDefault[0] {
			t.Errorf("%T: logits %v, want %v", value, got, want)
		}
	}
}

func TestRoPEScalingThatMakesNoSenseIsAnError(t *testing.T) {
	for _, test := range []struct {
		key   string
		value any
		want  string
	}{
		{"type", "longrope", `llama.rope.scaling.type is "longrope", which is not supported here: want none, linear or yarn`},
		{"factor", float32(-1), "llama.rope.scaling.factor is -1: want a positive number"},
		{"factor", float32(math.NaN()), "llama.rope.scaling.factor is float32 NaN: want a finite number"},
		{"factor", float32(0.5), "llama.rope.scaling.factor is 0.5: want at least 1 for YaRN"},
		{"attn_factor", float32(0), "llama.rope.scaling.attn_factor is 0: want a positive number"},
		{"yarn_beta_fast", float32(0), "llama.rope.scaling.yarn_beta_fast is 0: want a positive number"},
		{"yarn_log_multiplier", float32(-1), "llama.rope.scaling.yarn_log_multiplier is -1: want a number that is not negative"},
		{"original_context_length", uint32(0), "llama.rope.scaling.original_context_length is 0: want a whole number from 1"},
		{"yarn_ext_factor", float32(0), "llama.rope.scaling.yarn_ext_factor is 0, which is not supported"},
	} {
		meta := []gguf.KV{{Key: "llama.rope.scaling." + test.key, Value: test.value}}
		if test.key != "type" && test.key != "factor" || test.value == float32(0.5) {
			meta = append(meta, gguf.KV{Key: "llama.rope.scaling.type", Value: "yarn"})
		}
		_, _, err := openEdited(t, meta)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s = %v: got the error %v, want one that contains %q", test.key, test.value, err, test.want)
		}
	}
}

package generation

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a file holds may be wrong, but neither ends the process nor comes out as something else when
// it is written.
func FuzzGenerationConfig(f *testing.F) {
	all, err := json.Marshal(everything())
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(all), `{}`, `null`, `[]`, `{"eos_token_id": null, "stop_strings": "x", "early_stopping": "never"}`,
		`{"temperature": 0, "do_sample": true}`, `{"sequence_bias": [[[1], 2]], "cache_config": {"max_cache_len": 1, "x": 2}}`,
		`{"max_time": Infinity, "sequence_bias": [[[1], -Infinity]], "x": NaN}`, `{"top_p": NaN, "temperature": 1e999}`,
		`{"exponential_decay_length_penalty": [1, 2, 3], "seed": 18446744073709551615}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _, err := Parse(data)
		if err != nil {
			return
		}
		_, _ = c.Validate(), c.Warnings()
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(again, c); diff != "" {
			t.Errorf("through %s (-got +want):\n%s", text, diff)
		}
		if c.Validate() == nil {
			if _, err := c.Search(1, 100, []int32{0}); err != nil && c.MaxLength != 1 {
				t.Errorf("a valid config makes no search: %v", err)
			}
		}
	})
}

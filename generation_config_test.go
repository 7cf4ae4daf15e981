package ebb

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/kv"
)

func TestGenerationConfigSurvivesJSON(t *testing.T) {
	for name, c := range map[string]GenerationConfig{
		"zero":         {},
		"no end":       {EOSTokenID: TokenIDs{}},
		"end token 0":  {EOSTokenID: TokenIDs{0}, BOSTokenID: new(int32), PadTokenID: new(int32)},
		"several ends": {EOSTokenID: TokenIDs{2, 5}},
		"everything": {
			MaxNewTokens: 1, MaxLength: 2, MinNewTokens: 3, MinLength: 4,
			EOSTokenID: TokenIDs{7}, BOSTokenID: new(int32(8)), PadTokenID: new(int32(9)),
			DoSample: true, NumBeams: 10, NumReturnSequences: 11,
			CacheImplementation: "static", CacheConfig: &CacheConfig{MaxCacheLen: 12}, UseCache: new(false),
			OutputScores: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			got := GenerationConfig{MaxNewTokens: 99} // what was there before must not shine through
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatalf("%s: %v", data, err)
			}
			if diff := cmp.Diff(got, c); diff != "" {
				t.Errorf("through %s (-got +want):\n%s", data, diff)
			}
		})
	}
}

// load writes text to a file and loads it.
func load(t *testing.T, text string) (GenerationConfig, []string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "generation_config.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadGenerationConfig(path)
}

func TestHuggingFacesFileLoads(t *testing.T) {
	got, warnings, err := load(t, `{
		"_from_model_config": true,
		"bos_token_id": 1,
		"eos_token_id": [2, 0],
		"pad_token_id": null,
		"max_new_tokens": 64,
		"max_length": 8192,
		"use_cache": true,
		"cache_implementation": "offloaded_static",
		"cache_config": {"max_cache_len": 512, "batch_size": 1},
		"temperature": 0.6,
		"top_p": 0.9,
		"transformers_version": "4.49.0"
	}`)
	if err != nil {
		t.Fatal(err)
	}
	want := GenerationConfig{
		BOSTokenID: new(int32(1)), EOSTokenID: TokenIDs{2, 0}, MaxNewTokens: 64, MaxLength: 8192, UseCache: new(true),
		CacheImplementation: "offloaded_static", CacheConfig: &CacheConfig{MaxCacheLen: 512},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("config (-got +want):\n%s", diff)
	}
	wantWarnings := []string{
		"generation config: cache_config.batch_size is not known to this version and has no effect",
		"generation config: temperature is not known to this version and has no effect",
		"generation config: top_p is not known to this version and has no effect",
		"generation config: max_new_tokens (64) and max_length (8192) are both set: max_new_tokens wins",
	}
	if diff := cmp.Diff(warnings, wantWarnings); diff != "" {
		t.Errorf("warnings (-got +want):\n%s", diff)
	}
}

func TestEveryFaultOfAGenerationConfigIsReportedAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"no JSON", `{"max_length": `, []string{"unexpected end of JSON input"}},
		{
			"wrong types", `{"max_length": "long", "do_sample": 1, "eos_token_id": "</s>", "cache_config": 3, "num_beams": 1.5, "cache_implementation": true}`,
			[]string{
				`max_length is "long": want a whole number`, "do_sample is 1: want true or false",
				`eos_token_id is "</s>": want a token id or a list of token ids`, "cache_config is 3: want an object",
				"num_beams is 1.5: want a whole number", "cache_implementation is true: want a string",
			},
		},
		{
			"zeros that mean nothing", `{"max_new_tokens": 0, "num_beams": 0, "min_length": 0}`,
			[]string{"max_new_tokens is 0: want at least 1", "num_beams is 0: want at least 1"},
		},
		{
			"values", `{"max_length": -1, "min_new_tokens": -2, "cache_implementation": "hybrid", "cache_config": {"max_cache_len": -3}}`,
			[]string{
				"max_length is -1: want at least 1", "min_new_tokens is -2: want at least 0",
				`cache_implementation is "hybrid": want one of dynamic, static, offloaded, offloaded_static`, "max_cache_len is -3",
			},
		},
		{
			"not there yet", `{"do_sample": true, "num_beams": 4, "num_return_sequences": 5}`,
			[]string{"do_sample is true: this version has no sampling", "num_beams is 4: this version has no beam search", "num_return_sequences is 5"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := load(t, tt.text)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if got := strings.Count(err.Error(), "\n") + 1; got != len(tt.want) {
				t.Errorf("%d faults, want %d: %v", got, len(tt.want), err)
			}
		})
	}
}

func TestAMissingGenerationConfigIsNamed(t *testing.T) {
	_, _, err := LoadGenerationConfig(filepath.Join(t.TempDir(), "nowhere.json"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "nowhere.json") {
		t.Errorf("error %v, want one that names the missing file", err)
	}
}

func TestWarningsNameWhatHasNoEffect(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config GenerationConfig
		want   []string
	}{
		{"zero", GenerationConfig{}, nil},
		{
			"new tokens",
			GenerationConfig{MaxNewTokens: 5, MinNewTokens: 6},
			[]string{"generation config: min_new_tokens (6) is above max_new_tokens (5), where the text ends"},
		},
		{
			"lengths",
			GenerationConfig{MinLength: 21},
			[]string{"generation config: min_length (21) is above max_length (20), where the text ends"},
		},
		{
			"the rest",
			GenerationConfig{PadTokenID: new(int32(-1)), UseCache: new(false)},
			[]string{
				"generation config: pad_token_id is -1: token ids are not negative",
				"generation config: use_cache is false, which has no effect: K/V are always kept",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.config.Warnings(), tt.want); diff != "" {
				t.Errorf("warnings (-got +want):\n%s", diff)
			}
		})
	}
}

func TestLengthsCountThePromptAsHuggingFaceDoes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config GenerationConfig
		want   generate.Config
	}{
		{"zero: 20 with the prompt", GenerationConfig{}, generate.Config{MaxNewTokens: 12, EOS: []int32{2}}},
		{"max_length", GenerationConfig{MaxLength: 9}, generate.Config{MaxNewTokens: 1, EOS: []int32{2}}},
		{"max_new_tokens wins", GenerationConfig{MaxLength: 3, MaxNewTokens: 4}, generate.Config{MaxNewTokens: 4, EOS: []int32{2}}},
		{"min_length", GenerationConfig{MinLength: 10}, generate.Config{MaxNewTokens: 12, MinNewTokens: 2, EOS: []int32{2}}},
		{"min_new_tokens", GenerationConfig{MinLength: 10, MinNewTokens: 3}, generate.Config{MaxNewTokens: 12, MinNewTokens: 3, EOS: []int32{2}}},
		{"no end", GenerationConfig{EOSTokenID: TokenIDs{}}, generate.Config{MaxNewTokens: 12, EOS: []int32{}}},
		{"another end", GenerationConfig{EOSTokenID: TokenIDs{5}}, generate.Config{MaxNewTokens: 12, EOS: []int32{5}}},
		{"scores", GenerationConfig{OutputScores: true}, generate.Config{MaxNewTokens: 12, EOS: []int32{2}, LogProbs: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.config.search(8, []int32{2})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("search after 8 tokens (-got +want):\n%s", diff)
			}
		})
	}
}

func TestAPromptAsLongAsMaxLengthIsRefused(t *testing.T) {
	_, err := GenerationConfig{}.search(20, nil)
	if err == nil || !strings.Contains(err.Error(), "the prompt has 20 tokens, and max_length is 20") {
		t.Errorf("error %v, want one with both numbers", err)
	}
}

func TestConfigureTakesTheCacheFromTheConfig(t *testing.T) {
	o := Options{Cache: kv.Static, Context: 100, Threads: 3}
	got, err := GenerationConfig{}.Configure(o)
	if diff := cmp.Diff(got, o); err != nil || diff != "" {
		t.Errorf("%v; options (-got +want):\n%s", err, diff)
	}
	c := GenerationConfig{CacheImplementation: "offloaded", CacheConfig: &CacheConfig{MaxCacheLen: 512}}
	got, err = c.Configure(o)
	if diff := cmp.Diff(got, Options{Cache: kv.Offloaded, Context: 512, Threads: 3}); err != nil || diff != "" {
		t.Errorf("%v; options (-got +want):\n%s", err, diff)
	}
	if _, err := (GenerationConfig{CacheImplementation: "hybrid"}).Configure(o); err == nil {
		t.Error("an unknown cache_implementation was taken")
	}
}

package generation

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/sample"
)

func TestGenerationConfigSurvivesJSON(t *testing.T) {
	for name, c := range map[string]Config{
		"zero":         {},
		"no end":       {EOSTokenID: TokenIDs{}},
		"end token 0":  {EOSTokenID: TokenIDs{0}, PadTokenID: new(int32)},
		"several ends": {EOSTokenID: TokenIDs{2, 5}},
		"everything":   everything(),
	} {
		t.Run(name, func(t *testing.T) {
			data, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			got := Config{MaxNewTokens: 99} // what was there before must not shine through
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatalf("%s: %v", data, err)
			}
			if diff := cmp.Diff(got, c); diff != "" {
				t.Errorf("through %s (-got +want):\n%s", data, diff)
			}
		})
	}
}

// everything sets all fields.
func everything() Config {
	return Config{
		MaxNewTokens: 1, MaxLength: 2, MinNewTokens: 3, MinLength: 4, MaxTime: 0.5, StopStrings: Strings{"a", "b"},
		EOSTokenID: TokenIDs{7}, PadTokenID: new(int32(9)),
		DoSample: true, Seed: new(uint64(0)), NumReturnSequences: 11,
		NumBeams: 10, NumBeamGroups: 2, DiversityPenalty: 0.5, LengthPenalty: new(-1.0), EarlyStopping: generate.StopWhenCertain,
		Temperature: new(0.6), TopK: new(0), TopP: new(0.9), MinP: 0.1, TypicalP: new(0.8), EpsilonCutoff: 0.01, EtaCutoff: 0.02,
		RepetitionPenalty: 1.1, PresencePenalty: -0.5, FrequencyPenalty: 0.5, NoRepeatNGramSize: 3, BadWordsIDs: [][]int32{{1}, {2, 3}},
		SequenceBias:   []sample.Bias{{Tokens: []int32{4, 5}, Bias: -1.5}},
		SuppressTokens: []int32{6}, BeginSuppressTokens: []int32{7, 8},
		ForcedBOSTokenID: new(int32(0)), ForcedEOSTokenID: TokenIDs{1, 2},
		ExponentialDecayLengthPenalty: &sample.LengthDecay{Start: 5, Factor: 1.5},
		RemoveInvalidValues:           true, RenormalizeLogits: true,
		PromptLookupNumTokens: 10, MaxMatchingNGramSize: 3, MTP: 3,
		CacheImplementation: "static", CacheConfig: &CacheConfig{MaxCacheLen: 12},
		OutputScores: true, TopLogProbs: 5, RawLogProbs: true,
	}
}

func TestEverythingIsEverything(t *testing.T) {
	c := everything()
	for name, field := range c.fields() {
		if reflect.ValueOf(field).Elem().IsZero() {
			t.Errorf("%s is not set", name)
		}
	}
}

// load writes text to a file and loads it.
func load(t *testing.T, text string) (Config, []string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "generation_config.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
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
		"typical_p_": 1.0,
		"guidance_scale": 1.0,
		"low_memory": true,
		"transformers_version": "4.49.0"
	}`)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		EOSTokenID: TokenIDs{2, 0}, MaxNewTokens: 64, MaxLength: 8192,
		CacheImplementation: "offloaded_static", CacheConfig: &CacheConfig{MaxCacheLen: 512}, Temperature: new(0.6), TopP: new(0.9),
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("config (-got +want):\n%s", diff)
	}
	wantWarnings := []string{
		"generation config: cache_config.batch_size is not known to this version and has no effect",
		"generation config: typical_p_ is not known to this version and has no effect",
		"generation config: max_new_tokens (64) and max_length (8192) are both set: max_new_tokens wins",
		"generation config: temperature (0.6) has no effect: it is for sampling, and do_sample is false",
		"generation config: top_p (0.9) has no effect: it is for sampling, and do_sample is false",
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
			"values", `{"max_length": -1, "min_new_tokens": -2, "cache_implementation": "hybird", "cache_config": {"max_cache_len": -3}}`,
			[]string{
				"max_length is -1: want at least 1", "min_new_tokens is -2: want at least 0",
				`cache_implementation is "hybird": want one of auto, dynamic, static, offloaded, offloaded_static`, "max_cache_len is -3",
			},
		},
		{
			"more wrong types", `{"early_stopping": "always", "temperature": "hot", "stop_strings": [1], "bad_words_ids": 3, "sequence_bias": [[1, 2]], "exponential_decay_length_penalty": 5, "seed": -1}`,
			[]string{
				`early_stopping is "always": want true, false or "never"`, `temperature is "hot": want a number`,
				"stop_strings is [1]: want a string or a list of strings", "bad_words_ids is 3: want a list", "sequence_bias is [[1, 2]]",
				"exponential_decay_length_penalty is 5: want a number of tokens and a factor", "seed is -1: want a whole number",
			},
		},
		{
			"more zeros that mean nothing", `{"do_sample": true, "temperature": 0, "typical_p": 0, "max_time": 0, "prompt_lookup_num_tokens": 0, "max_matching_ngram_size": 0, "top_k": 0}`,
			[]string{"temperature is 0: want a number above 0", "typical_p is 0: want a number above 0", "max_time is 0", "prompt_lookup_num_tokens is 0: want at least 1"},
		},
		{
			"searches that are not there", `{"penalty_alpha": 0.6, "constraints": [], "dola_layers": "low", "force_words_ids": [[1]], "guidance_scale": 2, "token_healing": true, "forced_decoder_ids": [[1, 2]], "assistant_early_exit": 4, "watermarking_config": {}, "encoder_repetition_penalty": 1.2, "encoder_no_repeat_ngram_size": 2, "is_assistant": true}`,
			[]string{
				"assistant_early_exit is 4: this version has no assistant models", "constraints is []: this version has no constrained beam search",
				`dola_layers is "low": this version has no DoLa`, "encoder_no_repeat_ngram_size is 2", "encoder_repetition_penalty is 1.2",
				"force_words_ids is [[1]]", "forced_decoder_ids is [[1, 2]]", "guidance_scale is 2: this version has no classifier-free guidance",
				"is_assistant is true", "penalty_alpha is 0.6: this version has no contrastive search", "token_healing is true", "watermarking_config is {}",
			},
		},
		{
			"scores", `{"do_sample": true, "temperature": -1, "top_p": 1.5, "top_k": -3, "min_p": 2, "repetition_penalty": -1, "bad_words_ids": [], "no_repeat_ngram_size": -1}`,
			[]string{
				"generation: temperature is -1", "top_p is 1.5", "top_k is -3", "min_p is 2", "repetition_penalty is -1",
				"bad_words_ids is empty", "no_repeat_ngram_size is -1",
			},
		},
		{"more sequences than beams", `{"num_beams": 4, "num_return_sequences": 5}`, []string{"num_return_sequences is 5: want at most num_beams, which is 4"}},
		{"several greedy sequences", `{"num_return_sequences": 2}`, []string{"num_return_sequences is 2: greedy search finds one sequence"}},
		{
			"groups", `{"num_beams": 4, "num_beam_groups": 3, "do_sample": true}`,
			[]string{"num_beams is 4, and num_beam_groups 3", "num_beam_groups is 3, and do_sample true", "num_beam_groups is 3, and diversity_penalty 0"},
		},
		{"a penalty without groups", `{"num_beams": 4, "diversity_penalty": 0.5}`, []string{"diversity_penalty is 0.5: it is for beams in groups"}},
		{"a penalty without beams", `{"num_beam_groups": 2, "diversity_penalty": 0.5}`, []string{"diversity_penalty is 0.5: it is for beams in groups"}},
		{"a negative penalty", `{"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": -0.5}`, []string{"diversity_penalty is -0.5"}},
		{"prompt lookup of beams", `{"num_beams": 2, "prompt_lookup_num_tokens": 5}`, []string{"prompt_lookup_num_tokens with num_beams 2"}},
		{
			"prompt lookup of several", `{"do_sample": true, "num_return_sequences": 2, "prompt_lookup_num_tokens": 5}`,
			[]string{"prompt_lookup_num_tokens with num_return_sequences 2"},
		},
		{"an empty stop string", `{"stop_strings": ["a", ""]}`, []string{"stop_strings has an empty string"}},
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
	_, _, err := Load(filepath.Join(t.TempDir(), "nowhere.json"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "nowhere.json") {
		t.Errorf("error %v, want one that names the missing file", err)
	}
}

func TestWarningsNameWhatHasNoEffect(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config Config
		want   []string
	}{
		{"zero", Config{}, nil},
		{
			"new tokens",
			Config{MaxNewTokens: 5, MinNewTokens: 6},
			[]string{"generation config: min_new_tokens (6) is above max_new_tokens (5), where the text ends"},
		},
		{
			"lengths",
			Config{MinLength: 22, MaxLength: 21},
			[]string{"generation config: min_length (22) is above max_length (21), where the text ends"},
		},
		{"the default length, which does not count the prompt", Config{MinLength: 21, MaxLength: 20}, nil},
		{"the default length beside another", Config{MaxNewTokens: 5, MaxLength: 20}, nil},
		{
			"a cache that only Hugging Face has",
			Config{CacheImplementation: "hybrid"},
			[]string{"generation config: cache_implementation (hybrid) has no effect: ebb has the caches auto, dynamic, static, offloaded, offloaded_static"},
		},
		{
			"sampling without do_sample",
			Config{TopK: new(5), TypicalP: new(0.9), EpsilonCutoff: 0.1, EtaCutoff: 0.2, MinP: 0.3, Seed: new(uint64(3))},
			[]string{
				"generation config: top_k (5) has no effect: it is for sampling, and do_sample is false",
				"generation config: min_p (0.3) has no effect: it is for sampling, and do_sample is false",
				"generation config: typical_p (0.9) has no effect: it is for sampling, and do_sample is false",
				"generation config: epsilon_cutoff (0.1) has no effect: it is for sampling, and do_sample is false",
				"generation config: eta_cutoff (0.2) has no effect: it is for sampling, and do_sample is false",
				"generation config: seed (3) has no effect: it is for sampling, and do_sample is false",
			},
		},
		{
			"Hugging Face's defaults",
			Config{Temperature: new(1.0), TopK: new(50), TopP: new(1.0), TypicalP: new(1.0), LengthPenalty: new(1.0), NumBeams: 1, NumBeamGroups: 1},
			nil,
		},
		{
			"beams without beams",
			Config{NumBeamGroups: 2, LengthPenalty: new(0.0), EarlyStopping: generate.StopWhenEnough},
			[]string{
				"generation config: num_beam_groups (2) has no effect: it is for beams, and num_beams is 1",
				"generation config: length_penalty (0) has no effect: it is for beams, and num_beams is 1",
				"generation config: early_stopping (true) has no effect: it is for beams, and num_beams is 1",
			},
		},
		{
			"the rest",
			Config{PadTokenID: new(int32(-1)), EOSTokenID: TokenIDs{-3}, MinNewTokens: 1, MinLength: 2, MaxMatchingNGramSize: 3},
			[]string{
				"generation config: min_new_tokens (1) and min_length (2) are both set: min_new_tokens wins",
				"generation config: pad_token_id is -1: token ids are not negative",
				"generation config: eos_token_id has -3: token ids are not negative, so no text ends by it",
				"generation config: max_matching_ngram_size (3) has no effect: it is for prompt lookup, and prompt_lookup_num_tokens is not set",
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
		config Config
		want   func(c *generate.Config) // what differs from the zero config's
	}{
		{"zero: 20 new tokens", Config{}, func(*generate.Config) {}},
		{"Hugging Face's default length", Config{MaxLength: 20}, func(*generate.Config) {}},
		{"max_length", Config{MaxLength: 9}, func(c *generate.Config) { c.MaxNewTokens = 1 }},
		{"max_new_tokens wins", Config{MaxLength: 3, MaxNewTokens: 4}, func(c *generate.Config) { c.MaxNewTokens = 4 }},
		{"min_length", Config{MinLength: 10}, func(c *generate.Config) { c.Scores.MinLength = 10 }},
		{"min_new_tokens wins", Config{MinLength: 15, MinNewTokens: 3}, func(c *generate.Config) { c.Scores.MinNewTokens = 3 }},
		{"no end", Config{EOSTokenID: TokenIDs{}}, func(c *generate.Config) { c.EOS, c.Pad = []int32{}, 0 }},
		{"another end", Config{EOSTokenID: TokenIDs{5, 6}}, func(c *generate.Config) { c.EOS, c.Pad = []int32{5, 6}, 5 }},
		{"padding", Config{PadTokenID: new(int32(9))}, func(c *generate.Config) { c.Pad = 9 }},
		{"scores", Config{OutputScores: true}, func(c *generate.Config) { c.LogProbs = true }},
		{"time without end", Config{MaxTime: 1e300}, func(c *generate.Config) { c.MaxTime = math.MaxInt64/2 + 1 }},
		{"time", Config{MaxTime: 1.5}, func(c *generate.Config) { c.MaxTime = 1500 * time.Millisecond }},
		{
			"beams",
			Config{NumBeams: 4, NumBeamGroups: 2, LengthPenalty: new(0.0), EarlyStopping: generate.StopWhenCertain},
			func(c *generate.Config) {
				c.Beams, c.Groups, c.LengthPenalty, c.EarlyStopping = 4, 2, 0, generate.StopWhenCertain
			},
		},
		{"groups without beams", Config{NumBeamGroups: 2}, func(*generate.Config) {}},
		{
			"sampling",
			Config{DoSample: true, Seed: new(uint64(7)), Temperature: new(0.5), NumReturnSequences: 3},
			func(c *generate.Config) { c.Sample, c.Seed, c.Scores.Temperature, c.Texts = true, 7, new(0.5), 3 },
		},
		{
			"prompt lookup",
			Config{PromptLookupNumTokens: 10, MaxMatchingNGramSize: 3},
			func(c *generate.Config) { c.LookupTokens, c.LookupNgram = 10, 3 },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.config.Search(8, 100, []int32{2})
			if err != nil {
				t.Fatal(err)
			}
			want := generate.Config{MaxNewTokens: 20, EOS: []int32{2}, Pad: 2, LengthPenalty: 1}
			tt.want(&want)
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("search after 8 tokens (-got +want):\n%s", diff)
			}
		})
	}
}

func TestAPromptAsLongAsMaxLengthIsRefused(t *testing.T) {
	_, err := Config{MaxLength: 21}.Search(21, 100, nil)
	if err == nil || !strings.Contains(err.Error(), "the prompt has 21 tokens, and max_length is 21") {
		t.Errorf("error %v, want one with both numbers", err)
	}
}

func TestDefaultLengthEndsWithTheContext(t *testing.T) {
	for _, tt := range []struct{ length, want int }{{1, 20}, {80, 20}, {81, 19}, {99, 1}, {100, 1}} {
		c, err := Config{MaxLength: 20}.Search(tt.length, 100, nil)
		if err != nil || c.MaxNewTokens != tt.want {
			t.Errorf("after %d tokens in a context of 100: %d new tokens, error %v, want %d", tt.length, c.MaxNewTokens, err, tt.want)
		}
	}
}

// Files that transformers 4.49 writes or reads without an error.
func TestConfigsOfTransformersLoadAsTheyDoThere(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       Config
		warnings   []string // a part of each
	}{
		{"typical_p without sampling", `{"typical_p": 0, "do_sample": false}`, Config{TypicalP: new(0.0)}, []string{"typical_p (0) has no effect"}},
		{
			"values out of range without sampling", `{"temperature": 0.0, "top_p": 7, "top_k": -1, "min_p": -1, "epsilon_cutoff": 2}`,
			Config{Temperature: new(0.0), TopP: new(7.0), TopK: new(-1), MinP: -1, EpsilonCutoff: 2},
			[]string{"temperature (0) has no effect", "top_k (-1)", "top_p (7)", "min_p (-1)", "epsilon_cutoff (2)"},
		},
		{"top_p 0", `{"top_p": 0, "do_sample": true}`, Config{TopP: new(0.0), DoSample: true}, nil},
		{"top_k null: all tokens", `{"top_k": null, "temperature": null, "do_sample": true}`, Config{TopK: new(0), DoSample: true}, nil},
		{"the default length", `{"max_length": 20, "max_new_tokens": null}`, Config{MaxLength: 20}, nil},
		{
			"contrastive search that sampling overrules", `{"penalty_alpha": 0.6, "do_sample": true}`,
			Config{DoSample: true},
			[]string{"penalty_alpha (0.6) has no effect: it is for contrastive search"},
		},
		{"contrastive search of one token", `{"penalty_alpha": 0.6, "top_k": 1}`, Config{TopK: new(1)}, []string{"penalty_alpha (0.6)", "top_k (1)"}},
		{"no cache", `{"use_cache": false, "bos_token_id": 1}`, Config{}, []string{"use_cache is false, which has no effect"}},
		{
			"Gemma 2", `{"_from_model_config": true, "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": [1, 107], "pad_token_id": 0, "transformers_version": "4.42.0.dev0"}`,
			Config{CacheImplementation: "hybrid", EOSTokenID: TokenIDs{1, 107}, PadTokenID: new(int32(0))},
			[]string{"cache_implementation (hybrid) has no effect"},
		},
		{
			"everything at its default",
			`{"max_length": 20, "max_new_tokens": null, "min_length": 0, "min_new_tokens": null, "early_stopping": false, "max_time": null,
			"stop_strings": null, "do_sample": false, "num_beams": 1, "num_beam_groups": 1, "penalty_alpha": null, "dola_layers": null,
			"use_cache": true, "cache_implementation": null, "cache_config": null, "return_legacy_cache": null, "temperature": 1.0,
			"top_k": 50, "top_p": 1.0, "min_p": null, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "diversity_penalty": 0.0,
			"repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "length_penalty": 1.0, "no_repeat_ngram_size": 0,
			"bad_words_ids": null, "force_words_ids": null, "renormalize_logits": false, "constraints": null, "forced_bos_token_id": null,
			"forced_eos_token_id": null, "remove_invalid_values": false, "exponential_decay_length_penalty": null, "suppress_tokens": null,
			"begin_suppress_tokens": null, "forced_decoder_ids": null, "sequence_bias": null, "token_healing": false, "guidance_scale": null,
			"low_memory": null, "watermarking_config": null, "num_return_sequences": 1, "output_attentions": false,
			"output_hidden_states": false, "output_scores": false, "output_logits": null, "return_dict_in_generate": false,
			"pad_token_id": null, "bos_token_id": null, "eos_token_id": null, "encoder_no_repeat_ngram_size": 0,
			"decoder_start_token_id": null, "is_assistant": false, "num_assistant_tokens": 20,
			"num_assistant_tokens_schedule": "constant", "assistant_confidence_threshold": 0.4, "prompt_lookup_num_tokens": null,
			"max_matching_ngram_size": null, "assistant_early_exit": null, "assistant_lookbehind": 10, "target_lookbehind": 10,
			"disable_compile": false, "generation_kwargs": {}, "_from_model_config": false, "transformers_version": "4.49.0"}`,
			Config{
				MaxLength: 20, NumBeams: 1, NumBeamGroups: 1, Temperature: new(1.0), TopK: new(50), TopP: new(1.0), TypicalP: new(1.0),
				RepetitionPenalty: 1, LengthPenalty: new(1.0), NumReturnSequences: 1,
			},
			nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, warnings, err := load(t, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("config (-got +want):\n%s", diff)
			}
			if len(warnings) != len(tt.warnings) {
				t.Errorf("warnings %q, want %d", warnings, len(tt.warnings))
				return
			}
			for i, want := range tt.warnings {
				if !strings.Contains(warnings[i], want) {
					t.Errorf("warning %q, want one with %q", warnings[i], want)
				}
			}
			if _, err := got.Search(33, 100, nil); err != nil {
				t.Errorf("a prompt of 33 tokens: %v", err)
			}
		})
	}
}

// Sums of a user's numbers stay within their bounds.
func TestGreatestNumbersMakeAValidSearch(t *testing.T) {
	c := Config{
		MaxNewTokens: math.MaxInt, MinNewTokens: math.MaxInt, MinLength: math.MaxInt, MaxTime: math.MaxFloat64,
		PromptLookupNumTokens: math.MaxInt, MaxMatchingNGramSize: math.MaxInt, NoRepeatNGramSize: math.MaxInt, TopLogProbs: math.MaxInt,
		ExponentialDecayLengthPenalty: &sample.LengthDecay{Start: math.MaxInt, Factor: 2}, ForcedEOSTokenID: TokenIDs{1}, EOSTokenID: TokenIDs{1},
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := c.Search(5, 100, nil)
	if err != nil {
		t.Fatal(err)
	}
	search, err := generate.New([]int32{2, 3, 2, 3, 2}, 0, s)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		rows := make([][][]float32, 1)
		for range search.Branches()[0].Logits {
			rows[0] = append(rows[0], []float32{0, 0, 3, 2})
		}
		if err := search.Take(rows); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []Config{{NumBeams: math.MaxInt}, {NumBeams: math.MaxInt, NumReturnSequences: math.MaxInt}, {DoSample: true, NumReturnSequences: math.MaxInt}} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "want at most 65536") {
			t.Errorf("%d beams, %d texts: error %v, want a bound", c.NumBeams, c.NumReturnSequences, err)
		}
	}
}

func TestSetLeavesAWrongFieldUnchanged(t *testing.T) {
	want := everything()
	for name, value := range map[string]string{
		"bad_words_ids": `[[1], "x"]`, "exponential_decay_length_penalty": `[0]`, "temperature": `"hot"`, "num_beams": `0`, "top_k": `1.5`,
		"eos_token_id": `[1, "x"]`, "no_such_field": `1`,
	} {
		got := everything()
		if err := got.Set(name, json.RawMessage(value)); err == nil {
			t.Errorf("%s: %s was taken", name, value)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("%s: %s (-got +want):\n%s", name, value, diff)
		}
	}
}

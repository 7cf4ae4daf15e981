package ebb

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/kv"
)

// defaultMaxLength is Hugging Face's: short, so that a program that forgot to say how much it wants is noticed.
const defaultMaxLength = 20

// GenerationConfig says what to generate. Its fields are those of Hugging Face transformers' generation_config.json, with
// the same JSON names, defaults and validation, as far as this version knows them; [LoadGenerationConfig] reads such a
// file. The zero value generates greedily until the text is 20 tokens long.
//
// A zero field is one that is not set. Where zero means something else, the field is a pointer or a slice.
type GenerationConfig struct {
	MaxNewTokens int `json:"max_new_tokens,omitempty"` // how many tokens to generate at most; wins over MaxLength
	MaxLength    int `json:"max_length,omitempty"`     // the same, counting the prompt; 0: 20
	MinNewTokens int `json:"min_new_tokens,omitempty"` // no end of text before there are so many new tokens
	MinLength    int `json:"min_length,omitempty"`     // the same, counting the prompt

	EOSTokenID TokenIDs `json:"eos_token_id,omitzero"` // each ends the text; nil: the model's own; empty: none
	BOSTokenID *int32   `json:"bos_token_id,omitempty"`
	PadTokenID *int32   `json:"pad_token_id,omitempty"`

	DoSample           bool `json:"do_sample,omitempty"`            // only false in this version
	NumBeams           int  `json:"num_beams,omitempty"`            // 0: 1; only 1 in this version
	NumReturnSequences int  `json:"num_return_sequences,omitempty"` // 0: 1

	// CacheImplementation and CacheConfig describe a cache. An engine has the one it was opened with: Configure puts
	// them into its Options, and a config that asks an engine for another cache than its own is refused.
	CacheImplementation string       `json:"cache_implementation,omitempty"` // a name that kv.ParsePolicy takes; "": any
	CacheConfig         *CacheConfig `json:"cache_config,omitempty"`
	UseCache            *bool        `json:"use_cache,omitempty"` // false has no effect: K/V are always kept

	OutputScores bool `json:"output_scores,omitempty"` // compute each token's LogProb
}

// CacheConfig is what a cache_config says that this version knows.
type CacheConfig struct {
	MaxCacheLen int `json:"max_cache_len,omitempty"` // tokens the cache holds: Options.Context; 0: not said
}

// TokenIDs are token ids: in JSON a number or a list of numbers.
type TokenIDs []int32

// MarshalJSON writes a single id as a number.
func (t TokenIDs) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]int32(t))
}

// UnmarshalJSON reads a number, a list of numbers, or null.
func (t *TokenIDs) UnmarshalJSON(data []byte) error {
	var id *int32
	if json.Unmarshal(data, &id) == nil {
		*t = nil
		if id != nil {
			*t = TokenIDs{*id}
		}
		return nil
	}
	var ids []int32
	if err := json.Unmarshal(data, &ids); err != nil {
		return errors.New("want a token id or a list of token ids")
	}
	*t = ids
	return nil
}

// LoadGenerationConfig reads a generation_config.json. Fields that this version does not know are left out, as Hugging
// Face does; the warnings name them, and say what else of the file will have no effect.
func LoadGenerationConfig(path string) (c GenerationConfig, warnings []string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return c, nil, fmt.Errorf("ebb: generation config: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, nil, fmt.Errorf("ebb: generation config %s: %w", path, err)
	}
	if err := c.Validate(); err != nil {
		return c, nil, fmt.Errorf("%w (in %s)", err, path)
	}
	return c, append(unknownFields(data), c.Warnings()...), nil
}

// UnmarshalJSON reads a config as Hugging Face writes it. It reports every field that has the wrong type, and zeros
// where there is nothing that zero could mean; unknown fields are left out.
func (c *GenerationConfig) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*c = GenerationConfig{}
	var errs []error
	for name, field := range c.fields() {
		text, ok := raw[name]
		if !ok || string(text) == "null" {
			continue
		}
		if err := json.Unmarshal(text, field); err != nil {
			errs = append(errs, fmt.Errorf("%s is %s: %w", name, text, wrongType(err)))
		} else if n, ok := field.(*int); ok && *n == 0 && !strings.HasPrefix(name, "min_") {
			errs = append(errs, fmt.Errorf("%s is 0: want at least 1, or leave it out", name))
		}
	}
	return errors.Join(errs...)
}

// fields yields the JSON name of each field and a pointer to it.
func (c *GenerationConfig) fields() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		v := reflect.ValueOf(c).Elem()
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if !yield(name, v.Field(i).Addr().Interface()) {
				return
			}
		}
	}
}

// wrongType says in JSON's words what a field wants.
func wrongType(err error) error {
	var mismatch *json.UnmarshalTypeError
	if !errors.As(err, &mismatch) {
		return err
	}
	switch mismatch.Type.Kind() {
	case reflect.Bool:
		return errors.New("want true or false")
	case reflect.String:
		return errors.New("want a string")
	case reflect.Struct:
		return errors.New("want an object")
	default:
		return errors.New("want a whole number")
	}
}

// unknownFields returns a warning for each field of the file that this version does not know. Those that describe the
// file are not worth one.
func unknownFields(data []byte) (warnings []string) {
	var raw, cache map[string]json.RawMessage
	if json.Unmarshal(data, &raw) != nil {
		return nil
	}
	var c GenerationConfig
	for name := range c.fields() {
		if name == "cache_config" && json.Unmarshal(raw[name], &cache) == nil {
			delete(cache, "max_cache_len")
			for sub := range cache {
				raw["cache_config."+sub] = nil
			}
		}
		delete(raw, name)
	}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if name != "transformers_version" && !strings.HasPrefix(name, "_") {
			warnings = append(warnings, fmt.Sprintf("generation config: %s is not known to this version and has no effect", name))
		}
	}
	return warnings
}

// Validate reports everything that is wrong with the config, or that this version cannot do.
func (c GenerationConfig) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("ebb: generation config: "+format, args...))
	}
	for _, n := range []struct {
		name  string
		value int
		least int
	}{
		{"max_new_tokens", c.MaxNewTokens, 1},
		{"max_length", c.MaxLength, 1},
		{"min_new_tokens", c.MinNewTokens, 0},
		{"min_length", c.MinLength, 0},
		{"num_beams", c.NumBeams, 1},
		{"num_return_sequences", c.NumReturnSequences, 1},
	} {
		if n.value < 0 {
			wrong("%s is %d: want at least %d", n.name, n.value, n.least)
		}
	}
	if c.DoSample {
		wrong("do_sample is true: this version has no sampling; want false")
	}
	if c.NumBeams > 1 {
		wrong("num_beams is %d: this version has no beam search; want 1", c.NumBeams)
	}
	if c.NumReturnSequences > max(c.NumBeams, 1) {
		wrong("num_return_sequences is %d: greedy search finds one sequence; want at most num_beams, which is %d",
			c.NumReturnSequences, max(c.NumBeams, 1))
	}
	if c.CacheImplementation != "" {
		if _, err := kv.ParsePolicy(c.CacheImplementation); err != nil {
			wrong("cache_implementation is %q: want one of %s", c.CacheImplementation, strings.Join(kv.PolicyNames(), ", "))
		}
	}
	if c.CacheConfig != nil && c.CacheConfig.MaxCacheLen < 0 {
		wrong("cache_config.max_cache_len is %d: want at least 1", c.CacheConfig.MaxCacheLen)
	}
	return errors.Join(errs...)
}

// Warnings returns what in a valid config has no effect, or not the one that its author may expect.
func (c GenerationConfig) Warnings() (warnings []string) {
	warn := func(format string, args ...any) {
		warnings = append(warnings, fmt.Sprintf("generation config: "+format, args...))
	}
	if c.MaxNewTokens > 0 && c.MaxLength > 0 {
		warn("max_new_tokens (%d) and max_length (%d) are both set: max_new_tokens wins", c.MaxNewTokens, c.MaxLength)
	}
	if c.MaxNewTokens > 0 && c.MinNewTokens > c.MaxNewTokens {
		warn("min_new_tokens (%d) is above max_new_tokens (%d), where the text ends", c.MinNewTokens, c.MaxNewTokens)
	}
	if longest := c.maxLength(); c.MaxNewTokens == 0 && c.MinLength > longest {
		warn("min_length (%d) is above max_length (%d), where the text ends", c.MinLength, longest)
	}
	if c.PadTokenID != nil && *c.PadTokenID < 0 {
		warn("pad_token_id is %d: token ids are not negative", *c.PadTokenID)
	}
	if c.UseCache != nil && !*c.UseCache {
		warn("use_cache is false, which has no effect: K/V are always kept")
	}
	return warnings
}

// Configure returns o with the cache that the config asks for, if it asks for one.
func (c GenerationConfig) Configure(o Options) (Options, error) {
	if c.CacheImplementation != "" {
		policy, err := kv.ParsePolicy(c.CacheImplementation)
		if err != nil {
			return o, fmt.Errorf("ebb: generation config: cache_implementation: %w", err)
		}
		o.Cache = policy
	}
	if c.CacheConfig != nil && c.CacheConfig.MaxCacheLen > 0 {
		o.Context = c.CacheConfig.MaxCacheLen
	}
	return o, nil
}

func (c GenerationConfig) maxLength() int {
	if c.MaxLength > 0 {
		return c.MaxLength
	}
	return defaultMaxLength
}

// search returns how to generate after length tokens with a model whose texts end with eog.
func (c GenerationConfig) search(length int, eog []int32) (generate.Config, error) {
	s := generate.Config{
		MaxNewTokens: c.MaxNewTokens,
		MinNewTokens: max(c.MinNewTokens, c.MinLength-length),
		EOS:          c.EOSTokenID,
		LogProbs:     c.OutputScores,
	}
	if c.EOSTokenID == nil {
		s.EOS = eog
	}
	if s.MaxNewTokens == 0 {
		if s.MaxNewTokens = c.maxLength() - length; s.MaxNewTokens <= 0 {
			return s, fmt.Errorf("ebb: generation config: the prompt has %d tokens, and max_length is %d: set max_new_tokens, or a greater max_length",
				length, c.maxLength())
		}
	}
	return s, nil
}

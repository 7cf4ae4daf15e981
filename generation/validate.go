package generation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// cacheNames are the values of cache_implementation. A test of package ebb compares them with the policies of its cache.
var cacheNames = [...]string{"dynamic", "static", "offloaded", "offloaded_static"}

// CacheNames returns the values that cache_implementation may have.
func CacheNames() []string { return slices.Clone(cacheNames[:]) }

// Validate reports everything that is wrong with the config, by the rules of Hugging Face's GenerationConfig and of the
// classes that it sets up.
func (c Config) Validate() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("generation: "+format, args...))
		}
	}
	for _, n := range []struct {
		name         string
		value, least int
	}{
		{"max_new_tokens", c.MaxNewTokens, 1},
		{"max_length", c.MaxLength, 1},
		{"num_beams", c.NumBeams, 1},
		{"num_beam_groups", c.NumBeamGroups, 1},
		{"num_return_sequences", c.NumReturnSequences, 1},
		{"prompt_lookup_num_tokens", c.PromptLookupNumTokens, 1},
		{"max_matching_ngram_size", c.MaxMatchingNGramSize, 1},
		{"top_logprobs", c.TopLogProbs, 0},
	} {
		wrong(n.value < 0, "%s is %d: want at least %d", n.name, n.value, n.least)
	}
	wrong(!(c.MaxTime >= 0), "max_time is %v: want a number of seconds above 0", c.MaxTime)
	for _, stop := range c.StopStrings {
		wrong(stop == "", "stop_strings has an empty string, which stands everywhere: want strings with at least one character")
	}
	for _, err := range unjoin(c.scores().Validate()) {
		wrong(true, "%s", strings.TrimPrefix(err.Error(), "sample: "))
	}
	errs = append(errs, c.validateSearch()...)
	if c.CacheImplementation != "" {
		wrong(!slices.Contains(cacheNames[:], c.CacheImplementation), "cache_implementation is %q: want one of %s",
			c.CacheImplementation, strings.Join(cacheNames[:], ", "))
	}
	wrong(c.CacheConfig != nil && c.CacheConfig.MaxCacheLen < 0, "cache_config.max_cache_len is %d: want at least 1", c.cacheLength())
	return errors.Join(errs...)
}

// validateSearch reports fields that contradict each other.
func (c Config) validateSearch() (errs []error) {
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("generation: "+format, args...))
		}
	}
	beams, groups, texts := max(c.NumBeams, 1), max(c.NumBeamGroups, 1), max(c.NumReturnSequences, 1)
	penalty := c.DiversityPenalty > 0 // a negative one is wrong by itself
	switch {
	case beams > 1:
		wrong(texts > beams, "num_return_sequences is %d: want at most num_beams, which is %d", texts, beams)
		wrong(beams%groups != 0, "num_beams is %d, and num_beam_groups %d: want a number of beams that can be divided by that of groups", beams, groups)
		wrong(groups > 1 && c.DoSample, "num_beam_groups is %d, and do_sample true: beams in groups are not drawn; want do_sample false", groups)
		wrong(groups > 1 && c.DiversityPenalty == 0, "num_beam_groups is %d, and diversity_penalty 0: all groups would find the same; want a penalty above 0", groups)
		wrong(c.PromptLookupNumTokens > 0, "prompt_lookup_num_tokens with num_beams %d: beams are not guessed; want num_beams 1", beams)
	case !c.DoSample:
		wrong(texts > 1, "num_return_sequences is %d: greedy search finds one sequence; want do_sample true, or at least as many num_beams, which is %d", texts, beams)
	}
	wrong(penalty && (groups == 1 || beams == 1), "diversity_penalty is %v: it is for beams in groups; want num_beam_groups of at least 2", c.DiversityPenalty)
	wrong(c.PromptLookupNumTokens > 0 && beams == 1 && texts > 1 && c.DoSample,
		"prompt_lookup_num_tokens with num_return_sequences %d: want num_return_sequences 1", texts)
	return errs
}

// unjoin returns the errors that were joined to one.
func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

func (c Config) cacheLength() int {
	if c.CacheConfig == nil {
		return 0
	}
	return c.CacheConfig.MaxCacheLen
}

// Warnings returns what in a valid config has no effect, or not the one that its author may expect.
func (c Config) Warnings() (warnings []string) {
	warn := func(when bool, format string, args ...any) {
		if when {
			warnings = append(warnings, fmt.Sprintf("generation config: "+format, args...))
		}
	}
	warn(c.MaxNewTokens > 0 && c.MaxLength > 0, "max_new_tokens (%d) and max_length (%d) are both set: max_new_tokens wins", c.MaxNewTokens, c.MaxLength)
	warn(c.MinNewTokens > 0 && c.MinLength > 0, "min_new_tokens (%d) and min_length (%d) are both set: min_new_tokens wins", c.MinNewTokens, c.MinLength)
	warn(c.MaxNewTokens > 0 && c.MinNewTokens > c.MaxNewTokens, "min_new_tokens (%d) is above max_new_tokens (%d), where the text ends", c.MinNewTokens, c.MaxNewTokens)
	longest := c.maxLength()
	warn(c.MaxNewTokens == 0 && c.MinLength > longest, "min_length (%d) is above max_length (%d), where the text ends", c.MinLength, longest)
	warn(c.PadTokenID != nil && orZero(c.PadTokenID) < 0, "pad_token_id is %d: token ids are not negative", orZero(c.PadTokenID))
	for _, id := range c.EOSTokenID {
		warn(id < 0, "eos_token_id has %d: token ids are not negative, so no text ends by it", id)
	}
	warn(c.UseCache != nil && !orZero(c.UseCache), "use_cache is false, which has no effect: K/V are always kept")
	for _, f := range c.idle() {
		warn(true, "%s (%v) has no effect: it is for %s", f.name, f.value, f.purpose)
	}
	return warnings
}

// idleField is a field that is set and has no effect.
type idleField struct {
	name    string
	value   any
	purpose string
}

// idle returns the fields of searches other than the one that the config asks for.
func (c Config) idle() (fields []idleField) {
	add := func(set bool, name string, value any, purpose string) {
		if set {
			fields = append(fields, idleField{name, value, purpose})
		}
	}
	if !c.DoSample {
		const sampling = "sampling, and do_sample is false"
		add(c.Temperature != 0 && c.Temperature != 1, "temperature", c.Temperature, sampling)
		add(c.TopK != nil && orZero(c.TopK) != 50, "top_k", orZero(c.TopK), sampling)
		add(c.TopP != 0 && c.TopP != 1, "top_p", c.TopP, sampling)
		add(c.MinP != 0, "min_p", c.MinP, sampling)
		add(c.TypicalP != 0 && c.TypicalP != 1, "typical_p", c.TypicalP, sampling)
		add(c.EpsilonCutoff != 0, "epsilon_cutoff", c.EpsilonCutoff, sampling)
		add(c.EtaCutoff != 0, "eta_cutoff", c.EtaCutoff, sampling)
		add(c.Seed != nil, "seed", orZero(c.Seed), sampling)
	}
	if c.NumBeams <= 1 {
		const beams = "beams, and num_beams is 1"
		add(c.NumBeamGroups > 1, "num_beam_groups", c.NumBeamGroups, beams)
		add(c.LengthPenalty != nil && orZero(c.LengthPenalty) != 1, "length_penalty", orZero(c.LengthPenalty), beams)
		add(c.EarlyStopping != 0, "early_stopping", c.EarlyStopping, beams)
	}
	add(c.MaxMatchingNGramSize > 0 && c.PromptLookupNumTokens == 0, "max_matching_ngram_size", c.MaxMatchingNGramSize,
		"prompt lookup, and prompt_lookup_num_tokens is not set")
	return fields
}

// orZero returns what p points to.
func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

package generation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// cacheNames are the values of cache_implementation that name a cache of ebb. A test of package ebb
// compares them with the policies of its cache.
var cacheNames = []string{"auto", "dynamic", "static", "offloaded", "offloaded_static"}

// otherCaches are values of Hugging Face's that ebb has no cache for. Models' files have some of
// them.
var otherCaches = []string{
	"hybrid", "hybrid_chunked", "mamba", "offloaded_hybrid", "offloaded_hybrid_chunked", "quantized", "sliding_window",
}

// CacheNames returns the values of cache_implementation that name a cache of ebb.
func CacheNames() []string { return slices.Clone(cacheNames) }

// Cache returns the name of the cache that the config asks for, or "" if it asks for none that ebb
// has.
func (c Config) Cache() string {
	if slices.Contains(otherCaches, c.CacheImplementation) {
		return ""
	}
	return c.CacheImplementation
}

// Validate reports everything that is wrong with the config, by the rules of Hugging Face's
// GenerationConfig and of the classes that it sets up. Fields that have no effect are not wrong,
// whatever they are: [Config.Warnings] names them. What a search needs is checked by
// [generate.Config.Validate], and what changes scores by [sample.Config.Validate].
func (c Config) Validate() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("generation: "+format, args...))
		}
	}
	wrong(c.MaxLength < 0, "max_length is %d: want at least 1", c.MaxLength)
	wrong(!(c.MaxTime >= 0), "max_time is %v: want a number of seconds above 0", c.MaxTime)
	search := c.search()
	for _, err := range append(unjoin(search.Validate()), unjoin(search.Scores.Validate())...) {
		_, fault, _ := strings.Cut(err.Error(), ": ") // behind the package's name
		wrong(true, "%s", fault)
	}
	c.validateGroups(wrong)
	wrong(c.PromptLookupNumTokens > 0 && c.NumBeams <= 1 && c.NumReturnSequences > 1 && c.DoSample,
		"prompt_lookup_num_tokens with num_return_sequences %d: want num_return_sequences 1", c.NumReturnSequences)
	wrong(c.MTP > 0 && c.NumBeams <= 1 && c.NumReturnSequences > 1 && c.DoSample,
		"mtp with num_return_sequences %d: want num_return_sequences 1", c.NumReturnSequences)
	wrong(c.Cache() != "" && !slices.Contains(cacheNames, c.Cache()), "cache_implementation is %q: want one of %s",
		c.CacheImplementation, strings.Join(cacheNames, ", "))
	wrong(c.CacheConfig != nil && c.CacheConfig.MaxCacheLen < 0, "cache_config.max_cache_len is %d: want at least 1", c.cacheLength())
	return errors.Join(errs...)
}

// validateGroups reports groups of beams without a penalty that makes them differ, and a penalty
// without groups.
func (c Config) validateGroups(wrong func(is bool, format string, args ...any)) {
	groups := c.NumBeams > 1 && c.NumBeamGroups > 1
	wrong(groups && c.DiversityPenalty == 0,
		"num_beam_groups is %d, and diversity_penalty 0: all groups would find the same; want a penalty above 0", c.NumBeamGroups)
	wrong(!groups && c.DiversityPenalty > 0,
		"diversity_penalty is %v: it is for beams in groups; want num_beam_groups of at least 2", c.DiversityPenalty)
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
	length := !c.hasDefaultLength()
	warn(c.MaxNewTokens > 0 && length, "max_new_tokens (%d) and max_length (%d) are both set: max_new_tokens wins", c.MaxNewTokens, c.MaxLength)
	warn(c.MinNewTokens > 0 && c.MinLength > 0, "min_new_tokens (%d) and min_length (%d) are both set: min_new_tokens wins", c.MinNewTokens, c.MinLength)
	warn(c.MaxNewTokens > 0 && c.MinNewTokens > c.MaxNewTokens, "min_new_tokens (%d) is above max_new_tokens (%d), where the text ends", c.MinNewTokens, c.MaxNewTokens)
	warn(c.MaxNewTokens == 0 && length && c.MinLength > c.MaxLength, "min_length (%d) is above max_length (%d), where the text ends", c.MinLength, c.MaxLength)
	warn(c.PadTokenID != nil && orZero(c.PadTokenID) < 0, "pad_token_id is %d: token ids are not negative", orZero(c.PadTokenID))
	for _, id := range c.EOSTokenID {
		warn(id < 0, "eos_token_id has %d: token ids are not negative, so no text ends by it", id)
	}
	warn(c.Cache() != c.CacheImplementation, "cache_implementation (%s) has no effect: ebb has the caches %s",
		c.CacheImplementation, strings.Join(cacheNames, ", "))
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
		notOne := func(x *float64) bool { return x != nil && *x != 1 }
		add(notOne(c.Temperature), "temperature", orZero(c.Temperature), sampling)
		add(c.TopK != nil && orZero(c.TopK) != 50, "top_k", orZero(c.TopK), sampling)
		add(notOne(c.TopP), "top_p", orZero(c.TopP), sampling)
		add(c.MinP != 0, "min_p", c.MinP, sampling)
		add(notOne(c.TypicalP), "typical_p", orZero(c.TypicalP), sampling)
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

// orZero returns what p points to, and zero where it is nil.
func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

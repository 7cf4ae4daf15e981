package ebb

import (
	"fmt"

	"github.com/seed4d217819/ebb/generation"
	"github.com/seed4d217819/ebb/kv"
)

// GenerationConfig says what to generate. It is Hugging Face's generation_config.json, whose fields
// docs/generation.md explains.
type GenerationConfig = generation.Config

// These are the types of some fields of a [GenerationConfig], and the error of
// [GenerationConfig.Set].
type (
	TokenIDs    = generation.TokenIDs
	Strings     = generation.Strings
	CacheConfig = generation.CacheConfig
	FieldError  = generation.FieldError
)

// LoadGenerationConfig reads a generation_config.json and validates it. The warnings name
// everything in it that has no effect.
func LoadGenerationConfig(path string) (c GenerationConfig, warnings []string, err error) {
	return generation.Load(path)
}

// ParseGenerationConfig reads a generation config from JSON without validating it, so that fields
// can be set first. The warnings name fields that this version does not know.
func ParseGenerationConfig(data []byte) (c GenerationConfig, warnings []string, err error) {
	return generation.Parse(data)
}

// Configure returns the options with the cache that a generation config asks for, if it asks for
// one.
func (o Options) Configure(c GenerationConfig) (Options, error) {
	if name := c.Cache(); name != "" {
		policy, err := kv.ParsePolicy(name)
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

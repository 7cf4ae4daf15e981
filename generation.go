package ebb

import (
	"fmt"

	"github.com/seed4d217819/ebb/generation"
	"github.com/seed4d217819/ebb/kv"
)

// GenerationConfig says what to generate. It is Hugging Face's generation_config.json, whose fields
// docs/generation.md explains.
type GenerationConfig = generation.Config

type (
	// TokenIDs is the type of fields that list token ids.
	TokenIDs = generation.TokenIDs
	// Strings is the type of fields that list texts.
	Strings = generation.Strings
	// CacheConfig is the type of the field cache_config.
	CacheConfig = generation.CacheConfig
	// FieldError is the error of [GenerationConfig.Set].
	FieldError = generation.FieldError
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
// one, and with the block that drafts tokens if it asks for that.
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
	o.MTP = max(o.MTP, c.MTP)
	return o, nil
}

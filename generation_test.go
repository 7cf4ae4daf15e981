package ebb

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/generation"
	"github.com/seed4d217819/ebb/kv"
)

func TestConfigureTakesTheCacheFromTheConfig(t *testing.T) {
	whole := cmp.AllowUnexported(Options{})
	o := Options{Cache: kv.Static, Context: 100, Threads: 3}
	got, err := o.Configure(GenerationConfig{})
	if diff := cmp.Diff(got, o, whole); err != nil || diff != "" {
		t.Errorf("%v; options (-got +want):\n%s", err, diff)
	}
	c := GenerationConfig{CacheImplementation: "offloaded", CacheConfig: &CacheConfig{MaxCacheLen: 512}}
	got, err = o.Configure(c)
	if diff := cmp.Diff(got, Options{Cache: kv.Offloaded, Context: 512, Threads: 3}, whole); err != nil || diff != "" {
		t.Errorf("%v; options (-got +want):\n%s", err, diff)
	}
	if _, err := o.Configure(GenerationConfig{CacheImplementation: "hybird"}); err == nil {
		t.Error("an unknown cache_implementation was taken")
	}
	// Gemma's file names a cache that only Hugging Face has.
	got, err = o.Configure(GenerationConfig{CacheImplementation: "hybrid"})
	if diff := cmp.Diff(got, o, whole); err != nil || diff != "" {
		t.Errorf("%v; options with the cache hybrid (-got +want):\n%s", err, diff)
	}
}

func TestCacheNamesAreTheCachesPolicies(t *testing.T) {
	if diff := cmp.Diff(generation.CacheNames(), kv.PolicyNames()); diff != "" {
		t.Errorf("values of cache_implementation (-generation +kv):\n%s", diff)
	}
}

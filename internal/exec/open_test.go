package exec

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/devicemap"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/gemma3"
	"github.com/seed4d217819/ebb/model/llama"
	"github.com/seed4d217819/ebb/model/qwen35"
	"github.com/seed4d217819/ebb/model/qwen3moe"
	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/host"
)

// cpu has the CPU compute all.
var cpu = devicemap.Map{"": "cpu"}

// setting is how a test runs the tiny model: its devices, its K/V type ("": f16), and the rest.
type setting struct {
	devices devicemap.Map
	kvType  string
	experts int        // of how many layers the CPU computes the experts; the model has experts then
	windows bool       // most of the model's layers have a window of 16
	hybrid  bool       // three of four layers of the model are recurrent
	drafts  bool       // so they are, and a block drafts tokens
	tier    tier.Maker // nil: host.New
	file    string     // a llama model of another file; "": one of testdata
	Options
}

// open opens the tiny model, on one thread unless the test says otherwise.
func (s setting) open(t *testing.T) (*Runner, error) {
	t.Helper()
	library, err := ggml.Load()
	if errors.Is(err, ggml.ErrNoLibrary) {
		t.Skip("no ggml libraries: run make libs")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range s.devices {
		if _, err := library.Device(name); err != nil {
			t.Skipf("no device %s: run make vulkan", name)
		}
	}
	if s.kvType == "" {
		s.kvType = "f16"
	}
	typ, err := kv.ParseType(s.kvType)
	if err != nil {
		t.Fatal(err)
	}
	if s.Threads == 0 {
		s.Threads = 1
	}
	s.Cache.TypeK, s.Cache.TypeV, s.Cache.Tier = typ, typ, host.New
	if s.tier != nil {
		s.Cache.Tier = s.tier
	}
	name, arch := "tiny-gqa", llama.Architecture()
	if s.experts > 0 {
		name, arch = "tiny-qwen3moe", qwen3moe.Architecture()
	}
	if s.windows {
		name, arch = "tiny-gemma3", gemma3.Architecture()
	}
	if s.hybrid {
		name, arch = "tiny-qwen35", qwen35.Architecture()
	}
	if s.drafts {
		name, arch = "tiny-qwen35-mtp", qwen35.Architecture()
	}
	path := filepath.Join("..", "..", "testdata", "models", name+".gguf")
	if s.file != "" {
		path = s.file
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	known := []devicemap.Device{{Name: "cpu"}, {Name: "vulkan0", GPU: true}}
	m, err := devicemap.Resolve(devicemap.Options{Map: s.devices}, known, model.LayerCount(f))
	if err != nil {
		t.Fatal(err)
	}
	whole, _ := model.ExpertBytes(f)
	has := make([]bool, len(whole))
	for l, bytes := range whole {
		has[l] = bytes > 0
	}
	if m, err = m.WithCPUExperts(s.experts, has, s.Cache.ForcedCopies); err != nil {
		t.Fatal(err)
	}
	load := func(on model.Devices) (model.Model, error) {
		l := model.NewLoader(f, on)
		if s.drafts {
			l.WithDrafting()
		}
		return arch.Open(l)
	}
	return Open(library, m, load, s.Options)
}

// mustOpen opens the tiny model for as long as the test runs.
func (s setting) mustOpen(t *testing.T) *Runner {
	t.Helper()
	r, err := s.open(t)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// What is said of a model that is not loaded is what it says of itself then.
func TestAHeaderSaysWhatALoadedModelSays(t *testing.T) {
	path := servicetest.WriteModel(t)
	e, err := ebb.Open(path, ebb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s, err := service.New(e, service.Options{Queue: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h := &header{path: path, requests: 7}
	if err := h.check(); err != nil {
		t.Fatal(err)
	}
	loaded := (&served{s, e, h}).Model()
	got, err := h.describe()
	if err != nil {
		t.Fatal(err)
	}
	if got.Bytes < 1<<20 || got.Parameters < 1<<18 || got.Quantization != "F32" {
		t.Errorf("the weights are %d bytes, %d parameters of %s", got.Bytes, got.Parameters, got.Quantization)
	}
	if diff := cmp.Diff(got, loaded, cmpopts.IgnoreFields(service.Model{}, "Name", "Loaded")); diff != "" || !got.Tools {
		t.Errorf("-header +loaded:\n%s", diff)
	}
	h.learn(123)
	if got, err = h.describe(); err != nil || got.Context != 123 {
		t.Errorf("a context of %d, which memory has room for, %v", got.Context, err)
	}

	data, err := os.ReadFile(servicetest.WriteModel(t, gguf.KV{Key: "llama.context_length", Value: uint32(99)}))
	if err == nil {
		err = errors.Join(os.WriteFile(path, data, 0o600), os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)))
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err = h.describe(); err != nil || got.Context != 99 {
		t.Errorf("of another file a context of %d, %v", got.Context, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got, err = h.describe(); err == nil {
		t.Errorf("without a file: %+v", got)
	}
}

func TestClientsAreToldWhyAModelIsNotLoadedAndNoFiles(t *testing.T) {
	broken := t.TempDir() + "/x.gguf"
	if err := os.WriteFile(broken, []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, cut := ebb.Open(broken, ebb.Options{})
	_, missing := ebb.Open(broken+"2", ebb.Options{})
	path := servicetest.WriteModel(t)
	_, small := ebb.Open(path, ebb.Options{DeviceMemory: 1 << 10})
	for _, tt := range []struct {
		err    error
		reason string
		short  bool
	}{
		{cut, "its file is broken: ", false},
		{missing, "its file is not there", false},
		{small, "device memory is too little", false},
		{fmt.Errorf("%s: %w", path, ggml.ErrNoMemory), "there is too little memory for it now", true},
		{errors.New(path), "", false},
	} {
		var got *service.LoadError
		if err := loadError("m", tt.err); !errors.As(err, &got) || !errors.Is(err, tt.err) {
			t.Fatal(err)
		}
		if got.Short != tt.short || !strings.Contains(got.Reason, tt.reason) || strings.Contains(got.Reason, "gguf") || tt.reason == "" && got.Reason != "" {
			t.Errorf("%v: the reason is %q, short %v", tt.err, got.Reason, got.Short)
		}
	}
	if err := loadError("m", nil); err != nil {
		t.Error(err)
	}
}

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVerdictsAreCounted(t *testing.T) {
	const out = `=== RUN   TestA
--- PASS: TestA (0.01s)
    --- PASS: TestA/one (0.00s)
=== RUN   TestB
    b_test.go:7: got 1, want 2
--- FAIL: TestB (0.00s)
--- SKIP: TestC (0.00s)
PASS: nothing of the kind
`
	var got testRun
	got.read(strings.NewReader(out))
	want := testRun{Passed: 2, Failed: []string{"TestB"}, Skipped: []string{"TestC"}}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("run (-got +want):\n%s", diff)
	}
}

func TestABinaryIsRunInTheFolderOfItsPackage(t *testing.T) {
	for binary, want := range map[string]string{"bin/gpu/ebb.test": ".", "bin/gpu/kv.test": "kv", "ggml.test": "ggml"} {
		if got := folderOf(binary); got != want {
			t.Errorf("%s: %s, want %s", binary, got, want)
		}
	}
}

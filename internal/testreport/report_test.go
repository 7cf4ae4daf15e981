package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const events = `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestTable"}
{"Action":"output","Package":"m/a","Test":"TestTable","Output":"=== RUN   TestTable\n"}
{"Action":"run","Package":"m/a","Test":"TestTable/one"}
{"Action":"output","Package":"m/a","Test":"TestTable/one","Output":"noise of a test that passes\n"}
{"Action":"pass","Package":"m/a","Test":"TestTable/one"}
{"Action":"run","Package":"m/a","Test":"TestTable/two"}
{"Action":"pass","Package":"m/a","Test":"TestTable/two"}
{"Action":"attr","Package":"m/a","Test":"TestTable","Key":"kernels","Value":"go avx2"}
{"Action":"pass","Package":"m/a","Test":"TestTable"}
{"Action":"run","Package":"m/a","Test":"TestGPU"}
{"Action":"output","Package":"m/a","Test":"TestGPU","Output":"=== RUN   TestGPU\n"}
{"Action":"output","Package":"m/a","Test":"TestGPU","Output":"    a_test.go:7: no Vulkan device\n"}
{"Action":"output","Package":"m/a","Test":"TestGPU","Output":"--- SKIP: TestGPU (0.00s)\n"}
{"Action":"skip","Package":"m/a","Test":"TestGPU"}
{"Action":"run","Package":"m/a","Test":"TestMatrix"}
{"Action":"output","Package":"m/a","Test":"TestMatrix","Output":"    a_test.go:9: set EBB_TEST_ALL=1 for the full matrix\n"}
{"Action":"skip","Package":"m/a","Test":"TestMatrix"}
{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t0.5s\n"}
{"Action":"pass","Package":"m/a","Elapsed":0.5}
{"Action":"output","Package":"m/none","Output":"?   \tm/none\t[no test files]\n"}
{"Action":"skip","Package":"m/none","Elapsed":0}
`

func TestSumCountsLeavesAndGivesReasons(t *testing.T) {
	const skips = `     m/a: kernels: go avx2
ok   m/a  0.5s

skipped 1: no Vulkan device
    m/a.TestGPU

skipped 1: set EBB_TEST_ALL=1 for the full matrix
    m/a.TestMatrix

2 passed, 0 failed, 2 skipped
`
	const required = `     m/a: kernels: go avx2
ok   m/a  0.5s

FAIL: skipped, though EBB_REQUIRE=all, 1: no Vulkan device
    m/a.TestGPU

skipped 1: set EBB_TEST_ALL=1 for the full matrix
    m/a.TestMatrix

2 passed, 1 failed, 1 skipped
`
	for _, tt := range []struct {
		name     string
		events   string
		require  bool
		goFailed bool
		want     string
		wantOK   bool
	}{
		{name: "skips are counted", events: events, want: skips, wantOK: true},
		{name: "skips fail where all is required", events: events, require: true, want: required},
		{
			name: "a failed subtest is one failure, and its output is shown",
			events: `{"Action":"run","Package":"m/a","Test":"TestT"}
{"Action":"run","Package":"m/a","Test":"TestT/x"}
{"Action":"output","Package":"m/a","Test":"TestT/x","Output":"    a_test.go:3: got 1, want 2\n"}
{"Action":"fail","Package":"m/a","Test":"TestT/x"}
{"Action":"fail","Package":"m/a","Test":"TestT"}
{"Action":"output","Package":"m/a","Output":"FAIL\tm/a\t0.1s\n"}
{"Action":"fail","Package":"m/a"}
`,
			goFailed: true,
			want:     "    a_test.go:3: got 1, want 2\nFAIL\tm/a\t0.1s\n\n0 passed, 1 failed, 0 skipped\n",
		},
		{
			name: "a package that dies fails the test that ran",
			events: `{"Action":"run","Package":"m/a","Test":"TestT"}
{"Action":"output","Package":"m/a","Test":"TestT","Output":"GGML_ASSERT(ne) failed\n"}
{"Action":"output","Package":"m/a","Output":"FAIL\tm/a\t0.1s\n"}
{"Action":"fail","Package":"m/a"}
`,
			goFailed: true,
			want:     "GGML_ASSERT(ne) failed\nFAIL\tm/a\t0.1s\n\n0 passed, 1 failed, 0 skipped\n",
		},
		{
			name: "a package that does not build is a failure",
			events: `{"ImportPath":"m/a","Action":"build-output","Output":"a.go:1:1: expected 'package'\n"}
{"ImportPath":"m/a","Action":"build-fail"}
{"Action":"output","Package":"m/a","Output":"FAIL\tm/a [build failed]\n"}
{"Action":"fail","Package":"m/a","FailedBuild":"m/a"}
`,
			goFailed: true,
			want:     "a.go:1:1: expected 'package'\nFAIL\tm/a [build failed]\n\n0 passed, 1 failed, 0 skipped\n",
		},
		{name: "go test fails without a word", goFailed: true, want: "\n0 passed, 1 failed, 0 skipped\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			r := newReport(&out, tt.require)
			if err := r.read(strings.NewReader(tt.events)); err != nil {
				t.Fatal(err)
			}
			ok := r.sum(tt.goFailed)
			if diff := cmp.Diff(out.String(), tt.want); diff != "" {
				t.Errorf("report (-got +want):\n%s", diff)
			}
			if ok != tt.wantOK {
				t.Errorf("sum() = %t, want %t", ok, tt.wantOK)
			}
		})
	}
}

func TestReasonIsTheLastMessage(t *testing.T) {
	for output, want := range map[string]string{
		"    a_test.go:1: first\n    a_test.go:2: second\n--- SKIP: TestX (0.00s)\n": "second",
		"    a_test.go:1: one line\n        and another\n":                           "one line and another",
		"=== RUN   TestX\n--- SKIP: TestX (0.00s)\n":                                 "no reason given",
	} {
		if got := reason(output); got != want {
			t.Errorf("reason(%q) = %q, want %q", output, got, want)
		}
	}
}

func TestEachRunOfGoTestHasItsArguments(t *testing.T) {
	got := runs([]string{"-count=1", "./...", "--", "-C", "bench", "-count=1", "./..."})
	want := [][]string{{"test", "-json", "-count=1", "./..."}, {"test", "-C", "bench", "-json", "-count=1", "./..."}}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("runs (-got +want):\n%s", diff)
	}
}

package bench

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/internal/measure/measuretest"
)

// Hybrids have targets of their own, and prompts are measured too. Both programs go back to a depth.
func TestHybridsAreComparedAtADepthAndWithPrompts(t *testing.T) {
	o := small(t, "families")
	o.Model, o.Peer, o.smallFamilies = "", PeerLlama, true
	o.Families = []string{"qwen35-9b"}
	o.Depths = []int{0, deepHybrid}
	r := run(t, o)
	for _, at := range []struct {
		workload      string
		depth, tokens int
		more          []string
		target        float64
	}{
		{"qwen35-9b", 0, 1, []string{"reading the bytes of a step"}, targetHybrid},
		{"qwen35-9b", deepHybrid, 1, []string{"reading the bytes of a step"}, targetHybridDeep},
		{"qwen35-9b-prompt", 0, hybridPrompt, nil, 0.95},
	} {
		want := append([]string{"ebb static", peerFlash, peerEager}, at.more...)
		if diff := cmp.Diff(measuretest.Arms(r, at.workload, at.depth, at.tokens), want); diff != "" {
			t.Errorf("arms of %s at depth %d (-got +want):\n%s", at.workload, at.depth, diff)
		}
		if !slices.ContainsFunc(r.Scores, func(s measure.Score) bool {
			return s.Workload == at.workload && s.Depth == at.depth && s.Target == at.target
		}) {
			t.Errorf("%s at depth %d has no score with a target of %g", at.workload, at.depth, at.target)
		}
	}
}

// A turn computes its own tokens alone, and the peer the prompt as well.
func TestTheNextTurnOfAConversationComputesItsOwnTokens(t *testing.T) {
	o := small(t, "conversation")
	o.Model, o.Peer, o.smallFamilies = "", PeerLlama, true
	o.Families = []string{"qwen35-9b", "qwen3-8b"}
	o.Depths = []int{100}
	r := run(t, o)
	if diff := cmp.Diff(measuretest.Arms(r, "conversation", 100, turnTokens), []string{"ebb static", peerFlash, peerEager}); diff != "" {
		t.Errorf("arms of a turn (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(measuretest.Arms(r, "conversation", 100, 1), []string{"ebb static", "ebb static, a snapshot before each step"}); diff != "" {
		t.Errorf("arms of snapshots (-got +want):\n%s", diff)
	}
	var computed []float64
	for _, f := range r.Figures {
		computed = append(computed, f.Value)
	}
	if diff := cmp.Diff(computed, []float64{turnTokens, 100 + turnTokens, 100 + turnTokens}); diff != "" {
		t.Errorf("tokens computed (-got +want):\n%s", diff)
	}
	if len(r.Notes) != 2 {
		t.Errorf("notes %q: want one of the hybrid, and one that the other has no states", r.Notes)
	}
}

func TestSequencesAreDecodedTogetherAndOneByOne(t *testing.T) {
	o := small(t, "sequences")
	o.Model, o.smallFamilies, o.Depths = "", true, []int{40}
	r := run(t, o)
	for _, n := range sequenceCounts() {
		want := []string{"ebb static, one step", "ebb static, a step for each sequence"}
		if diff := cmp.Diff(measuretest.Arms(r, "sequences", 40, n), want); diff != "" {
			t.Errorf("arms of %d sequences (-got +want):\n%s", n, diff)
		}
	}
	if len(r.Scores) != len(sequenceCounts()) {
		t.Errorf("%d scores: want one for each number of sequences", len(r.Scores))
	}
}

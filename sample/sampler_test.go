package sample_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/sample"
)

var (
	inf = float32(math.Inf(1))
	nan = float32(math.NaN())
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// normals returns scores that are normally distributed.
func normals(n int, spread float64, seed uint64) []float32 {
	r := newRand(seed)
	scores := make([]float32, n)
	for i := range scores {
		scores[i] = float32(r.NormFloat64() * spread)
	}
	return scores
}

// chiSquare returns the statistic of counts against probabilities. Those that are expected fewer
// than ten times count as one.
func chiSquare(counts []int, p []float64) (statistic float64, freedom int) {
	n := 0
	for _, c := range counts {
		n += c
	}
	rareCount, rare := 0, 0.0
	add := func(count int, expected float64) {
		statistic += (float64(count) - expected) * (float64(count) - expected) / expected
		freedom++
	}
	for i, c := range counts {
		if expected := p[i] * float64(n); expected < 10 {
			rareCount += c
			rare += expected
		} else {
			add(c, expected)
		}
	}
	if rare >= 10 {
		add(rareCount, rare)
	}
	return statistic, freedom - 1
}

// unlikely returns a bound that the statistic of right draws exceeds once in 10,000: the normal
// approximation of Wilson and Hilferty. With a fixed seed the test passes always or never.
func unlikely(freedom int) float64 {
	const z = 3.719
	k := float64(freedom)
	return k * math.Pow(1-2/(9*k)+z*math.Sqrt(2/(9*k)), 3)
}

func TestDrawsFollowTheDistribution(t *testing.T) {
	for _, tc := range []struct {
		name   string
		scores []float32
		draws  int
	}{
		{"few tokens", normals(20, 1.5, 1), 100_000},
		{"one by one", normals(2000, 1, 2), 20_000},
		{"by buckets", normals(2500, 1, 3), 15_000},
		{"all equal", make([]float32, 2100), 25_000},
		{"a few of many", onlyEvery(100, normals(20_000, 2, 4)), 10_000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sampler, counts := sample.NewSampler(11), make([]int, len(tc.scores))
			for range tc.draws {
				id, err := sampler.Draw(tc.scores)
				if err != nil {
					t.Fatal(err)
				}
				counts[id]++
			}
			statistic, freedom := chiSquare(counts, softmax(tc.scores))
			if bound := unlikely(freedom); statistic > bound || freedom < 10 {
				t.Errorf("χ² is %.1f with %d degrees of freedom, want at most %.1f", statistic, freedom, bound)
			}
		})
	}
}

// onlyEvery forbids all but every n-th token.
func onlyEvery(n int, scores []float32) []float32 {
	for i := range scores {
		if i%n != 0 {
			scores[i] = -inf
		}
	}
	return scores
}

// The draws of a seed are part of what a release promises: these were made on linux/amd64.
func TestASeedDrawsTheSameOnEveryMachine(t *testing.T) {
	for _, tc := range []struct {
		name   string
		scores []float32
		want   []int32
	}{
		{"one by one", normals(1000, 2, 8), []int32{258, 638, 152, 269, 783, 180, 109, 785}},
		{"by buckets", normals(20_000, 2, 9), []int32{19490, 18675, 3414, 14516, 5153, 2061, 6160, 2340}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sampler := sample.NewSampler(42)
			got := make([]int32, 8)
			for i := range got {
				id, err := sampler.Draw(tc.scores)
				if err != nil {
					t.Fatal(err)
				}
				got[i] = id
			}
			if diff := cmp.Diff(got, tc.want); diff != "" {
				t.Errorf("draws (-got +want):\n%s", diff)
			}
		})
	}
}

func TestScoresThatAreNoNumbersAreErrors(t *testing.T) {
	sampler := sample.NewSampler(1)
	chain, err := sample.Config{Temperature: new(0.5)}.Chain(sample.Setting{Sample: true})
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]func([]float32) error{
		"Draw":           func(s []float32) error { _, err := sampler.Draw(s); return err },
		"Argmax":         func(s []float32) error { _, err := sample.Argmax(s); return err },
		"LogSoftmax":     sample.LogSoftmax,
		"LogSumExp":      func(s []float32) error { _, err := sample.LogSumExp(s); return err },
		"Candidates":     func(s []float32) error { _, err := sample.Candidates(s, 1); return err },
		"chain":          func(s []float32) error { return chain.Process(nil, s) },
		"chain and draw": func(s []float32) error { _, err := chain.Draw(sampler, nil, s); return err },
	}
	for _, f := range []sample.Processor{
		&sample.TopK{K: 2}, &sample.TopP{P: 0.5}, &sample.MinP{P: 0.5}, &sample.Typical{Mass: 0.5},
		&sample.EpsilonCutoff{Epsilon: 0.5}, &sample.EtaCutoff{Epsilon: 0.5},
		sample.LogitNormalization{},
	} {
		calls[huggingFaceName(f)] = func(s []float32) error { return f.Process(nil, s) }
	}
	for name, call := range calls {
		for _, n := range []int{3, 30, 10_000} {
			for what, tc := range map[string]struct {
				score float32
				want  string
			}{
				"NaN":  {nan, "the score of token 2 is NaN"},
				"+Inf": {inf, "the score of token 2 is +Inf"},
			} {
				scores := normals(n, 3, 1)
				scores[2] = tc.score
				if err := call(scores); err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%s of %d with %s: error %v, want one that says %q", name, n, what, err, tc.want)
				}
			}
			scores := make([]float32, n)
			for i := range scores {
				scores[i] = -inf
			}
			if err := call(scores); !errors.Is(err, sample.ErrNoToken) {
				t.Errorf("%s of %d times -Inf: error %v, want ErrNoToken", name, n, err)
			}
		}
	}
	if _, err := sampler.Draw(nil); !errors.Is(err, sample.ErrNoToken) {
		t.Errorf("a draw from nothing: error %v, want ErrNoToken", err)
	}
}

func TestScoresThatOverflowByTemperatureAreErrors(t *testing.T) {
	for _, scale := range []float32{1e38, -1e38} {
		chain, err := sample.Config{Temperature: new(1e-3)}.Chain(sample.Setting{Sample: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := chain.Draw(sample.NewSampler(1), nil, []float32{scale, scale * 2}); err == nil {
			t.Errorf("scores of %g at temperature 0.001: no error", scale)
		}
	}
}

func TestArgmaxTakesTheLowestAmongEquals(t *testing.T) {
	for n := 1; n < 40; n++ {
		for at := range n {
			scores := make([]float32, n)
			for i := range scores {
				scores[i] = -inf
			}
			for i := at; i < n; i += 3 {
				scores[i] = 1.5
			}
			if got, err := sample.Argmax(scores); err != nil || int(got) != at {
				t.Fatalf("of %d scores, those of %d, %d, … are the greatest: got %d, %v", n, at, at+3, got, err)
			}
		}
	}
}

func TestBestIsASortOfAll(t *testing.T) {
	for _, n := range []int{1, 7, 8, 9, 1000} {
		scores := normals(n, 2, uint64(n))
		for i := range scores {
			scores[i] = float32(math.Round(float64(scores[i]))) // many ties
			if i%5 == 4 {
				scores[i] = -inf
			}
		}
		want := ranking(scores)
		for len(want) > 0 && scores[want[len(want)-1]] == -inf {
			want = want[:len(want)-1]
		}
		for _, k := range []int{0, 1, 2, 8, n, n + 3} {
			got := sample.Best(nil, scores, k)
			if diff := cmp.Diff(got, want[:min(k, len(want))], emptyIsNil); diff != "" {
				t.Errorf("the best %d of %d (-got +want):\n%s", k, n, diff)
			}
		}
	}
}

var emptyIsNil = cmp.Transformer("emptyIsNil", func(s []int) []int { return append([]int(nil), s...) })

func TestCandidatesHaveLogProbabilities(t *testing.T) {
	scores := []float32{0.5, -inf, 3, 3, -200}
	got, err := sample.Candidates(scores, 9)
	if err != nil {
		t.Fatal(err)
	}
	want := logSoftmax(scores)
	for i, id := range []int32{2, 3, 0, 4} {
		if c := got[i]; c.ID != id || c.Score != scores[id] || math.Abs(c.LogProb-want[id]) > 1e-10 {
			t.Errorf("candidate %d is %v, want token %d with score %v and log-probability %v", i, c, id, scores[id], want[id])
		}
	}
	if len(got) != 4 {
		t.Errorf("%d candidates, want 4: one token is forbidden", len(got))
	}
}

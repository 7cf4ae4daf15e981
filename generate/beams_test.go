package generate_test

import (
	"cmp"
	"math"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/sample"
)

// naiveText is what the naive search finds.
type naiveText struct {
	IDs   []int32
	Score float64
}

// naiveBeam is a row of a naive search.
type naiveBeam struct {
	ids []int32
	sum float32
}

// naive is beam search written down from its rules, as a table of all beams and all tokens: every
// group has all its beams from the beginning, those but the first with a score of -1e9.
func naive(m *model, prompt []int32, c generate.Config) (found []naiveText, steps int) {
	groups := max(c.Groups, 1)
	size := c.Beams / groups
	beams := make([][]naiveBeam, groups)
	ended := make([][]naiveText, groups)
	done := make([]bool, groups)
	for g := range groups {
		for b := range size {
			row := naiveBeam{ids: slices.Clone(prompt)}
			if b > 0 {
				row.sum = -1e9
			}
			beams[g] = append(beams[g], row)
		}
	}
	for slices.Contains(done, false) && steps < c.MaxNewTokens {
		steps++
		taken := map[int32]int{}
		for g := range groups {
			if done[g] {
				taken[c.Pad] += size
				continue
			}
			beams[g], done[g] = naiveStep(m, beams[g], &ended[g], len(prompt), taken, c)
			for _, b := range beams[g] {
				taken[b.ids[len(b.ids)-1]]++
			}
		}
	}
	for g := range groups {
		if !done[g] {
			for _, b := range beams[g] {
				naiveAdd(&ended[g], naiveText{b.ids[len(prompt):], naiveScore(b.sum, steps, c)}, size)
			}
		}
		found = append(found, ended[g]...)
	}
	slices.Reverse(found)
	slices.SortStableFunc(found, func(a, b naiveText) int { return cmp.Compare(b.Score, a.Score) })
	return found[:max(c.Texts, 1)], steps
}

func naiveScore(sum float32, n int, c generate.Config) float64 {
	return float64(sum) / math.Pow(float64(n), c.LengthPenalty)
}

// naiveAdd adds a text and drops the worst of more than size.
func naiveAdd(ended *[]naiveText, text naiveText, size int) {
	*ended = append(*ended, text)
	if len(*ended) > size {
		worst := 0
		for i, t := range *ended {
			if t.Score < (*ended)[worst].Score || t.Score == (*ended)[worst].Score && i == len(*ended)-1 {
				worst = i
			}
		}
		*ended = slices.Delete(*ended, worst, worst+1)
	}
}

// naiveStep is a step of one group.
func naiveStep(m *model, beams []naiveBeam, ended *[]naiveText, prompt int, taken map[int32]int, c generate.Config) (next []naiveBeam, done bool) {
	type candidate struct {
		beam naiveBeam
		id   int32
	}
	size := len(beams)
	var all []candidate
	for _, b := range beams {
		scores := m.logits(b.ids)
		if err := sample.LogSoftmax(scores); err != nil {
			panic(err)
		}
		for id, x := range scores {
			if n := taken[int32(id)]; n > 0 {
				x -= float32(c.Scores.DiversityPenalty) * float32(n)
			}
			all = append(all, candidate{naiveBeam{append(slices.Clone(b.ids), int32(id)), b.sum + x}, int32(id)})
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(b.beam.sum, a.beam.sum) })
	all = all[:max(2, 1+len(c.EOS))*size]
	n := len(all[0].beam.ids) - prompt
	for rank, x := range all {
		if slices.Contains(c.EOS, x.id) {
			if rank < size {
				ids := slices.Clone(x.beam.ids[prompt:])
				ids[len(ids)-1] = c.EOS[0]
				naiveAdd(ended, naiveText{ids, naiveScore(x.beam.sum, n, c)}, size)
			}
			continue
		}
		if next = append(next, x.beam); len(next) == size {
			break
		}
	}
	if len(*ended) < size {
		return next, false
	}
	if c.EarlyStopping == generate.StopWhenEnough {
		return next, true
	}
	if c.EarlyStopping == generate.StopWhenCertain && c.LengthPenalty > 0 {
		n = c.MaxNewTokens
	}
	worst := math.Inf(1)
	for _, t := range *ended {
		worst = min(worst, t.Score)
	}
	return next, worst >= naiveScore(all[0].beam.sum, n, c)
}

// drawBeams draws a beam search, and a model with enough tokens that a first beam alone can fill
// its group.
func drawBeams(t *rapid.T) (*model, generate.Config) {
	c := generate.Config{
		MaxNewTokens:  rapid.IntRange(1, 12).Draw(t, "max new tokens"),
		Groups:        rapid.IntRange(1, 3).Draw(t, "groups"),
		LengthPenalty: rapid.SampledFrom([]float64{-1, 0, 0.5, 1, 2}).Draw(t, "length penalty"),
		EarlyStopping: rapid.SampledFrom([]generate.EarlyStopping{generate.StopWhenUnlikely, generate.StopWhenEnough, generate.StopWhenCertain}).Draw(t, "early stopping"),
		LogProbs:      true,
	}
	size := rapid.IntRange(1, 4).Draw(t, "beams a group")
	if c.Groups == 1 {
		size++
	}
	c.Beams = size * c.Groups
	c.Texts = rapid.IntRange(1, c.Beams).Draw(t, "sequences")
	c.Scores.DiversityPenalty = rapid.SampledFrom([]float64{0, 0.25, 1, 100}).Draw(t, "penalty")
	ends := rapid.IntRange(0, 3).Draw(t, "end tokens")
	vocab := max(2, 1+ends)*size + rapid.IntRange(0, 4).Draw(t, "more tokens")
	for id := range ends {
		c.EOS = append(c.EOS, int32(vocab-1-id))
	}
	if ends > 0 {
		c.Pad = rapid.SampledFrom([]int32{c.EOS[0], 0}).Draw(t, "pad")
	}
	return &model{vocab: vocab, seed: rapid.Byte().Draw(t, "seed"), spread: rapid.SampledFrom([]float32{0.5, 4}).Draw(t, "spread")}, c
}

func TestBeamSearchEqualsANaiveOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, c := drawBeams(t)
		prompt := []int32{0, 1}
		got := texts(t, m, prompt, c)
		want, steps := naive(m, prompt, c)
		if m.calls != steps {
			t.Errorf("%d steps, want %d", m.calls, steps)
		}
		var plain []naiveText
		for _, text := range got {
			plain = append(plain, naiveText{text.IDs(), text.Score})
			if len(text.Beams) != len(text.Tokens) {
				t.Errorf("%d beam indices of %d tokens", len(text.Beams), len(text.Tokens))
			}
			sum := float32(0)
			for _, token := range text.Tokens {
				sum += float32(token.LogProb)
			}
			if score := naiveScore(sum, len(text.Tokens), c); score != text.Score {
				t.Errorf("the tokens' log-probabilities make a score of %v, want %v", score, text.Score)
			}
		}
		if diff := gocmp.Diff(plain, want); diff != "" {
			t.Errorf("texts (-got +want):\n%s", diff)
		}
	})
}

func TestBeamIndicesLeadToTheTokens(t *testing.T) {
	m := &model{vocab: 30}
	var texts []generate.Text
	batch := generate.NewBatch(m.forward, options{})
	task, err := batch.Add(request{Seq: m.seq(), Prompt: []int32{3}, Config: generate.Config{MaxNewTokens: 6, Beams: 4, Texts: 4}})
	if err != nil {
		t.Fatal(err)
	}
	var steps [][]generate.Text // the open beams after each step, best first
	for running := true; running; {
		if running, err = batch.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		texts = task.Results()
		steps = append(steps, texts)
	}
	reordered := false
	for _, text := range texts {
		for i := 1; i < len(text.Tokens); i++ {
			parent := steps[i-1][text.Beams[i]].IDs()
			if diff := gocmp.Diff(text.IDs()[:i], parent); diff != "" {
				t.Errorf("before token %d (-got +want):\n%s", i, diff)
			}
			reordered = reordered || text.Beams[i] != 0
		}
	}
	if !reordered {
		t.Error("all came from the first beam: nothing was tested")
	}
}

func TestAsManyGroupsAsBeamsWithoutPenaltyFindOneTextEach(t *testing.T) {
	m := &model{vocab: 20}
	found := texts(t, m, []int32{5}, generate.Config{MaxNewTokens: 8, Beams: 3, Groups: 3, Texts: 3})
	greedy := texts(t, m, []int32{5}, generate.Config{MaxNewTokens: 8})
	for i, text := range found {
		if diff := gocmp.Diff(text.IDs(), greedy[0].IDs()); diff != "" {
			t.Errorf("text %d differs from the greedy one (-got +want):\n%s", i, diff)
		}
	}
}

func TestABeamSearchForwardsOneTokenABeamInOneCall(t *testing.T) {
	m := &model{vocab: 40}
	texts(t, m, []int32{5, 6, 7}, generate.Config{MaxNewTokens: 8, Beams: 6, Groups: 2, Scores: sample.Config{DiversityPenalty: 1}})
	if m.calls != 8 || m.works != 1+7*6 {
		t.Errorf("%d calls with %d works, want 8 with %d: the prompt once, then each beam", m.calls, m.works, 1+7*6)
	}
}

// only allows but some tokens.
func only(ids ...int) func([]int32, []float32) {
	return func(_ []int32, row []float32) {
		for id := range row {
			if !slices.Contains(ids, id) {
				row[id] = float32(math.Inf(-1))
			}
		}
	}
}

func TestBeamsThatNoTokenFollowsAreDropped(t *testing.T) {
	m := &model{vocab: 30, change: only(3, 4)}
	found := texts(t, m, []int32{5}, generate.Config{MaxNewTokens: 1, Beams: 4, Texts: 4})
	if len(found) != 2 {
		t.Errorf("%d texts, want those that are possible: 2", len(found))
	}
	for _, text := range found {
		if math.IsInf(text.Score, 0) || text.Score < -100 {
			t.Errorf("score %v of %v", text.Score, text.IDs())
		}
	}
}

func TestDrawnBeamsFollowTheProbabilities(t *testing.T) {
	m := &model{rows: [][]float32{{0, 1, 2, 3, -1, 0.5}}}
	p := slices.Clone(m.rows[0])
	if err := sample.LogSoftmax(p); err != nil {
		t.Fatal(err)
	}
	const n = 4000
	counts := make([]float64, len(p))
	for seed := range n {
		m.calls = 0
		found := texts(t, m, []int32{1}, generate.Config{
			MaxNewTokens: 1, Beams: 2, Texts: 2, Sample: true, Seed: uint64(seed), Scores: sample.Config{TopK: new(0)},
		})
		counts[found[0].IDs()[0]]++
		if found[0].IDs()[0] == found[1].IDs()[0] || found[0].Score < found[1].Score {
			t.Fatalf("texts %v, want two that differ, the better one first", found)
		}
	}
	// Four are drawn without replacement, and the best two of them stay: the most probable token is
	// missing if each of four draws takes another one.
	missing := 0.0
	rest := []float64{}
	for i, x := range p {
		if i != 3 {
			rest = append(rest, math.Exp(float64(x)))
		}
	}
	permutations(rest, 4, func(drawn []float64) {
		left, q := 1.0, 1.0
		for _, x := range drawn {
			q *= x / left
			left -= x
		}
		missing += q
	})
	want := n * (1 - missing)
	if sigma := math.Sqrt(want * missing); math.Abs(counts[3]-want) > 4*sigma {
		t.Errorf("the most probable token was the best of %v searches, want %.0f ± %.0f", counts[3], want, sigma)
	}
}

// permutations yields all ordered choices of k values.
func permutations(values []float64, k int, yield func([]float64)) {
	var pick func(chosen []float64, left []float64)
	pick = func(chosen, left []float64) {
		if len(chosen) == k {
			yield(chosen)
			return
		}
		for i := range left {
			pick(append(slices.Clone(chosen), left[i]), append(slices.Clone(left[:i]), left[i+1:]...))
		}
	}
	pick(nil, values)
}

package generate_test

import (
	"context"
	"errors"
	"hash/fnv"
	"math"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/generate"
)

var errFull = errors.New("full")

// model answers with logits that depend on the tokens before, or with rows in turn.
type model struct {
	vocab  int
	seed   byte
	memory int                            // how many tokens matter; 0: all
	spread float32                        // of the logits; 0: 4
	rows   [][]float32                    // if there are any: the answers, whatever is asked
	change func(ids []int32, l []float32) // of an answer, on its way out
	rare   bool                           // states are kept after every few tokens, and no others
	room   int                            // tokens that all open sequences may hold together; 0: no limit

	calls  int
	works  int // of all calls
	open   []*sequence
	handed [][]float32 // what the last call returned
}

// sequence is tokens of a model.
type sequence struct {
	model *model
	ids   []int32
	lost  int  // of the last tokens: they are to be computed again
	root  *int // that of the sequence of which it is a fork
}

// rareState is after how many tokens states are kept where they are rare.
const rareState = 4

// What the tests of this package call them.
type (
	task  = generate.Task[*sequence]
	batch = generate.Batch[*sequence, work]

	request = generate.Request[*sequence]
	options = generate.BatchOptions[*sequence]
)

// work is what a step appends to a sequence.
type work struct {
	Seq    *sequence
	Tokens []int32
	Logits int
	Drafts int

	Before, More int
	Again        int
}

func (m *model) seq(ids ...int32) *sequence {
	s := &sequence{model: m, ids: slices.Clone(ids), root: new(int)}
	m.open = append(m.open, s)
	return s
}

func (s *sequence) Len() int { return len(s.ids) }

func (s *sequence) Fork() (*sequence, error) {
	f := s.model.seq(s.ids...)
	f.lost, f.root = s.lost, s.root
	return f, nil
}

func (s *sequence) Truncate(n int) error {
	if n < 0 || n > len(s.ids) {
		return errors.New("truncated to more than there is")
	}
	if begin := len(s.ids) - s.lost; n < begin && s.model.rare {
		s.lost = begin - n/rareState*rareState
		s.ids = s.ids[:begin]
	}
	s.lost = max(0, s.lost-(len(s.ids)-n))
	s.ids = s.ids[:n]
	return nil
}

func (s *sequence) Close() error {
	i := slices.Index(s.model.open, s)
	if i < 0 {
		return errors.New("closed twice")
	}
	s.model.open = slices.Delete(s.model.open, i, i+1)
	return nil
}

// logits returns those of the token after ids.
func (m *model) logits(ids []int32) []float32 {
	h := fnv.New64a()
	seen := ids
	if m.memory > 0 {
		seen = ids[max(0, len(ids)-m.memory):]
	}
	for _, id := range seen {
		_, _ = h.Write([]byte{byte(id), byte(id >> 8), m.seed})
	}
	x, spread := h.Sum64(), m.spread
	if spread == 0 {
		spread = 4
	}
	row := make([]float32, m.vocab)
	for i := range row {
		x = x*6364136223846793005 + 1442695040888963407
		row[i] = float32(x>>40) / (1 << 24) * spread
	}
	if m.change != nil {
		m.change(ids, row)
	}
	return row
}

// forward is the model's [generate.Forward]. What it returned before is NaN afterwards.
func (m *model) forward(ctx context.Context, batch []work, _ [][][]float32) ([][][]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if m.rows != nil && m.calls == len(m.rows) {
		return nil, errFull
	}
	held := 0
	for _, s := range m.open {
		held += len(s.ids)
	}
	for _, w := range batch {
		held += len(w.Tokens)
	}
	if m.room > 0 && held > m.room {
		return nil, errFull
	}
	for _, row := range m.handed {
		for i := range row {
			row[i] = float32(math.NaN())
		}
	}
	m.handed = m.handed[:0]
	m.calls++
	m.works += len(batch)
	var out [][][]float32
	for _, w := range batch {
		s := w.Seq
		if !slices.Contains(m.open, s) {
			return nil, errors.New("forward of a closed sequence")
		}
		var rows [][]float32
		for i, id := range w.Tokens {
			s.ids = append(s.ids, id)
			if i < len(w.Tokens)-w.Logits {
				continue
			}
			row := m.logits(s.ids)
			if m.rows != nil {
				row = slices.Clone(m.rows[m.calls-1])
			}
			m.handed = append(m.handed, row)
			rows = append(rows, row)
		}
		out = append(out, rows)
	}
	return out, nil
}

// texts carries a search out, and checks that it leaves no sequence open.
func texts(t interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}, m *model, prompt []int32, c generate.Config,
) []generate.Text {
	t.Helper()
	batch := generate.NewBatch(m.forward, options{})
	task, err := batch.Add(request{Seq: m.seq(), Prompt: prompt, Config: c})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(batch.Run(context.Background()), task.Err(), batch.Close()); err != nil {
		t.Fatal(err)
	}
	if len(m.open) != 0 {
		t.Fatalf("%d sequences are open after Close", len(m.open))
	}
	return task.Results()
}

// stream collects a stream.
func stream(ctx context.Context, m *model, s *sequence, prompt []int32, c generate.Config) (ids []int32, err error) {
	for token, err := range generate.Tokens(ctx, m.forward, s, prompt, nil, c) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, token.ID)
	}
	return ids, nil
}

// row returns logits of 8 tokens among which id is the most probable.
func row(id int) []float32 {
	logits := []float32{0, 0, 0, 0, 0, 0, 0, 0}
	logits[id] = 5
	return logits
}

func TestTheModelOfTheseTestsDependsOnAllTokens(t *testing.T) {
	m := model{vocab: 5}
	if slices.Equal(m.logits([]int32{1, 2, 3}), m.logits([]int32{2, 2, 3})) {
		t.Error("the first token makes no difference")
	}
}

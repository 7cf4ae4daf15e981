package generate_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/generate"
)

// limited is a model in whose memory a number of tokens has room: each is there once for all forks of a
// sequence that have it.
type limited struct {
	*model
	room   int
	steps  int
	idle   []*sequence // those of others than the batch
	parked int         // sequences in files
	going  []*leaving  // those that are being written
}

// leaving is a sequence that is parked beside the steps: its memory is free when done is closed.
type leaving struct {
	seq  *sequence
	done chan struct{}
}

// leave frees the memory of those that have been written.
func (m *limited) leave() {
	m.going = slices.DeleteFunc(m.going, func(l *leaving) bool {
		select {
		case <-l.done:
			return l.seq.Close() == nil
		default:
			return false
		}
	})
}

// held returns how many tokens the memory has.
func (m *limited) held() int {
	type place struct {
		root  *int
		n     int
		begin uint64 // hash of the tokens
	}
	m.leave()
	places := map[place]bool{}
	for _, s := range m.open {
		hash := uint64(1)
		for i, id := range s.ids[:len(s.ids)-s.lost] {
			hash = (hash ^ uint64(id)) * 1099511628211
			places[place{s.root, i, hash}] = true
		}
	}
	return len(places)
}

func (m *limited) pending(s *sequence) int { return s.lost }

// forward is the model's, with tokens that are computed again.
func (m *limited) forward(ctx context.Context, works []work, rows [][][]float32) ([][][]float32, error) {
	m.steps++
	need := m.held()
	whole := slices.Clone(works)
	for i, w := range works {
		lost, again := w.Seq.lost, w.Seq.lost
		if w.Again > 0 {
			again = min(again, w.Again)
		}
		if len(w.Tokens) == 0 && again == 0 || len(w.Tokens) > 0 && again < lost {
			return nil, fmt.Errorf("a work with %d tokens computes %d of %d again", len(w.Tokens), again, lost)
		}
		need += again + len(w.Tokens)
		whole[i].Tokens = slices.Concat(w.Seq.ids[len(w.Seq.ids)-lost:][:again], w.Tokens)
	}
	if need > m.room {
		return nil, errFull
	}
	rest := make([][]int32, len(works))
	for i, w := range whole {
		s, n := w.Seq, len(w.Tokens)-len(works[i].Tokens)
		begin := len(s.ids) - s.lost
		rest[i] = slices.Clone(s.ids[begin+n:])
		s.ids, s.lost = s.ids[:begin], 0
	}
	out, err := m.model.forward(ctx, whole, rows)
	for i, w := range whole {
		w.Seq.ids, w.Seq.lost = append(w.Seq.ids, rest[i]...), len(rest[i])
	}
	return out, err
}

// options returns those of a batch whose owner has all kinds of ways to make room, or few.
func (m *limited) options(t *rapid.T) options {
	o := options{
		StepTokens: rapid.SampledFrom([]int{0, 7, 64}).Draw(t, "step tokens"), Pending: m.pending,
		Short: func(err error) *generate.Shortage[*sequence] {
			if errors.Is(err, errFull) {
				return &generate.Shortage[*sequence]{}
			}
			return nil
		},
		Full: func(context.Context, []generate.Claim[*sequence], error) (bool, error) {
			if len(m.idle) == 0 {
				return false, nil
			}
			last := len(m.idle) - 1
			err := m.idle[last].Close()
			m.idle = m.idle[:last]
			return true, err
		},
	}
	switch rapid.SampledFrom([]string{"tries", "knows", "guesses"}).Draw(t, "admission") {
	case "knows":
		o.Fits = func(claims []generate.Claim[*sequence]) bool {
			need := m.held()
			for _, c := range claims {
				need += c.More
			}
			return need <= m.room
		}
	case "guesses":
		o.Fits = func([]generate.Claim[*sequence]) bool { return rapid.Bool().Draw(t, "fits") }
	}
	late := rapid.Bool().Draw(t, "parks beside the steps")
	if late {
		o.Coming = func() <-chan struct{} {
			m.leave()
			if len(m.going) == 0 {
				return nil
			}
			return m.going[0].done
		}
	}
	if rapid.Bool().Draw(t, "parks") {
		o.Park = func(_ context.Context, s *sequence) (func(context.Context) (*sequence, error), error) {
			if rapid.IntRange(0, 3).Draw(t, "fails") == 0 {
				return nil, errors.New("a full disk")
			}
			ids := slices.Clone(s.ids)
			m.parked++
			leave := s.Close
			if late {
				l, after := &leaving{s, make(chan struct{})}, rapid.IntRange(0, 30).Draw(t, "after")
				m.going = append(m.going, l)
				go func() {
					for range after {
						runtime.Gosched()
					}
					close(l.done)
				}()
				leave = func() error { return nil }
			}
			return func(context.Context) (*sequence, error) {
				m.leave()
				if i := slices.IndexFunc(m.going, func(l *leaving) bool { return l.seq == s }); i >= 0 { // it goes on before
					m.going = slices.Delete(m.going, i, i+1)
					m.parked--
					return s, nil
				}
				kept := ids[:rapid.IntRange(0, len(ids)).Draw(t, "kept")]
				if m.held()+len(kept) > m.room {
					return nil, errFull
				}
				m.parked--
				return m.seq(kept...), nil
			}, leave()
		}
	}
	return o
}

// Whatever does not fit together waits: every request ends with the texts that it has alone, and with an
// error only if it has one alone. None waits for ever.
func TestWhatFitsAloneEndsInAnyCompany(t *testing.T) {
	waited := 0
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Byte().Draw(t, "model")
		m := &limited{
			model: &model{vocab: 20, seed: seed, rare: rapid.Bool().Draw(t, "rare states")},
			room:  rapid.IntRange(8, 60).Draw(t, "room"),
		}
		b := generate.NewBatch(m.forward, m.options(t))
		jobs := slices.Concat(drawJobs(t), drawJobs(t))
		for range rapid.IntRange(0, 2).Draw(t, "idle") {
			m.idle = append(m.idle, m.seq(1, 2, 3, 4, 5, 6))
		}
		var tasks []*task
		var requests []request
		for _, j := range jobs {
			r := request{Seq: m.seq(), Prompt: j.prompt, Config: j.config, PromptLogProbs: rapid.Bool().Draw(t, "echo"), Keep: rapid.Bool().Draw(t, "keep")}
			task, err := b.Add(r)
			if err != nil {
				t.Fatal(err)
			}
			tasks, requests = append(tasks, task), append(requests, r)
			for range rapid.IntRange(0, 4).Draw(t, "steps") {
				step(t, b, m, tasks, requests)
			}
		}
		for step(t, b, m, tasks, requests) {
			if m.steps > 5000 {
				t.Fatal("after 5000 steps they go on")
			}
		}
		waited += b.Stats().SetAside
		for i, j := range jobs {
			alone := &limited{model: &model{vocab: 20, seed: seed}, room: m.room}
			found, echo, err := alone.texts(t, j, requests[i].PromptLogProbs)
			switch got := tasks[i].Err(); {
			case err == nil && got != nil:
				t.Errorf("job %d ends with %v, and alone with none", i, got)
			case err != nil && !errors.Is(got, errFull):
				t.Errorf("job %d ends with %v, want the error that it has alone, %v", i, got, err)
			case err == nil:
				if diff := cmp.Diff(tasks[i].Results(), found); diff != "" {
					t.Errorf("job %d (-got +want):\n%s", i, diff)
				}
				if diff := cmp.Diff(tasks[i].PromptTokens(), echo); diff != "" {
					t.Errorf("job %d: the prompt's tokens (-got +want):\n%s", i, diff)
				}
			}
		}
		if err := b.Close(); err != nil || len(m.open) > len(m.idle) || m.parked > 0 {
			t.Errorf("close: %v, %d sequences are open, %d parked", err, len(m.open)-len(m.idle), m.parked)
		}
	})
	if waited == 0 {
		t.Error("no request has waited for room")
	}
}

// step takes a step, after which what waits is as it says, and gives up the sequences of requests that have
// ended.
func step(t *rapid.T, b *batch, m *limited, tasks []*task, requests []request) bool {
	running, err := b.Step(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if held := m.held(); held > m.room {
		t.Fatalf("%d tokens in a memory for %d", held, m.room)
	}
	for i, task := range tasks {
		switch phase := task.Phase(); {
		case (phase == generate.Ended) != task.Done():
			t.Fatalf("job %d: phase %v, done %v", i, phase, task.Done())
		case phase == generate.Growing && task.PromptLeft() > 0:
			t.Fatalf("job %d grows with %d tokens left of its prompt", i, task.PromptLeft())
		case phase == generate.Ended && requests[i].Keep:
			if task.Err() == nil {
				checkKept(t, requests[i], task)
			}
			requests[i].Keep = false
			if seq := task.Seq(); seq != nil {
				if err := seq.Close(); err != nil {
					t.Errorf("job %d: %v", i, err)
				}
			}
		}
	}
	return running
}

// checkKept checks the sequence that is left to the caller, if the request keeps one.
func checkKept(t *rapid.T, r request, of *task) {
	want := slices.Clone(r.Prompt)
	if found := of.Results(); r.Config.Beams <= 1 && len(found) == 1 && r.Config.Texts <= 1 {
		ids := found[0].IDs()
		want = append(want, ids[:len(ids)-1]...)
	}
	if seq := of.Seq(); seq == nil || !slices.Equal(seq.ids, want) {
		t.Errorf("the kept sequence is %v, want one of %v", seq, want)
	}
}

// texts are those of a job that is alone, and the tokens of its prompt if they are asked for.
func (m *limited) texts(t rapid.TB, j job, echo bool) ([]generate.Text, []generate.Token, error) {
	b := generate.NewBatch(m.forward, options{})
	task, err := b.Add(request{Seq: m.seq(), Prompt: j.prompt, Config: j.config, PromptLogProbs: echo})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return task.Results(), task.PromptTokens(), task.Err()
}

// A request that waits ends when its context is cancelled, wherever its sequence is. If its rows are in a
// file, it has none.
func TestARequestThatWaitsCanBeCancelled(t *testing.T) {
	for _, phase := range []generate.Phase{generate.Queued, generate.Growing, generate.SetAside, generate.Parked} {
		m := &limited{model: &model{vocab: 20}, room: 41}
		o := options{
			Short: func(error) *generate.Shortage[*sequence] { return &generate.Shortage[*sequence]{} },
			Park: func(_ context.Context, s *sequence) (func(context.Context) (*sequence, error), error) {
				return func(context.Context) (*sequence, error) { return nil, errors.New("read of a parked sequence") }, s.Close()
			},
		}
		if phase == generate.Queued {
			o.Fits = func([]generate.Claim[*sequence]) bool { return false }
		}
		b := generate.NewBatch(m.forward, o)
		first := add(t, b, m.model, []job{{[]int32{1, 2}, generate.Config{MaxNewTokens: 38}}})[0]
		ctx, cancel := context.WithCancel(t.Context())
		kept := m.seq()
		waits, err := b.Add(request{Context: ctx, Seq: kept, Keep: true, Prompt: []int32{3, 4, 5, 6}})
		if err != nil {
			t.Fatal(err)
		}
		step := func() {
			if _, err := b.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			step()
		}
		for waits.Phase() != phase && !first.Done() {
			step()
		}
		if waits.Phase() != phase {
			t.Errorf("the request is never %v", phase)
		}
		parked := phase == generate.Parked
		if seq := waits.Seq(); (seq == nil) != parked {
			t.Errorf("%v: the sequence is %v", phase, seq)
		}
		cancel()
		step() // of the one that was cancelled alone: whoever has the kept sequence may give it up only now
		if !waits.Done() || !errors.Is(waits.Err(), context.Canceled) || first.Done() {
			t.Errorf("%v: done %v with %v; the other is done: %v", phase, waits.Done(), waits.Err(), first.Done())
		}
		if !parked {
			err = kept.Close()
		}
		if err := errors.Join(err, b.Run(t.Context()), first.Err(), b.Close()); err != nil || len(m.open) > 0 {
			t.Errorf("%v: %v, and %d sequences are open", phase, err, len(m.open))
		}
	}
}

// While a sequence is parked beside the steps, others go on, and none of them is parked, too. A request that
// cannot go on without that room waits for it, until its context is cancelled.
func TestOthersGoOnWhileASequenceIsParked(t *testing.T) {
	for _, cancels := range []bool{false, true} {
		m := &limited{model: &model{vocab: 20}, room: 1000}
		const block = 10
		forward := func(ctx context.Context, works []work, rows [][][]float32) ([][][]float32, error) {
			m.leave()
			used := 0
			for _, s := range m.open {
				n := len(s.ids)
				for _, w := range works {
					if w.Seq == s {
						n += len(w.Tokens)
					}
				}
				used += (n + block - 1) / block
			}
			if used > 3 {
				return nil, errFull
			}
			return m.forward(ctx, works, rows)
		}
		parks := 0
		written := make(chan struct{})
		b := generate.NewBatch(forward, options{
			Short: func(error) *generate.Shortage[*sequence] { return &generate.Shortage[*sequence]{} },
			Park: func(_ context.Context, s *sequence) (func(context.Context) (*sequence, error), error) {
				parks++
				m.going = append(m.going, &leaving{s, written})
				return func(context.Context) (*sequence, error) { return m.seq(), nil }, nil
			},
			Coming: func() <-chan struct{} {
				if m.leave(); len(m.going) == 0 {
					return nil
				}
				return written
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		short, err := b.Add(request{Seq: m.seq(), Keep: true, Prompt: []int32{1, 2}, Config: generate.Config{MaxNewTokens: 7}})
		if err != nil {
			t.Fatal(err)
		}
		var long []*task
		for i, c := range []context.Context{ctx, nil} {
			task, err := b.Add(request{Context: c, Seq: m.seq(), Prompt: slices.Repeat([]int32{int32(3 + i)}, 8), Config: generate.Config{MaxNewTokens: 8}})
			if err != nil {
				t.Fatal(err)
			}
			long = append(long, task)
		}
		step := func() {
			if _, err := b.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for !short.Done() {
			step()
		}
		if got := [...]generate.Phase{long[0].Phase(), long[1].Phase()}; got != [...]generate.Phase{generate.SetAside, generate.Parked} || parks != 1 || short.Err() != nil {
			t.Errorf("phases %v, %d were parked, and the other one ended with %v; want one to be set aside, and one parked", got, parks, short.Err())
		}
		if cancels { // the kept sequence leaves no room
			go cancel()
			step()
			step()
			if err := long[0].Err(); !errors.Is(err, context.Canceled) {
				t.Errorf("a cancelled request waits for room: %v", err)
			}
		}
		go close(written)
		if err := errors.Join(b.Run(t.Context()), short.Seq().Close(), long[1].Err()); err != nil || parks != 1 || len(m.open) > 0 {
			t.Errorf("%v; %d were parked, and %d sequences are open", err, parks, len(m.open))
		}
		if err := long[0].Err(); (err != nil) != cancels {
			t.Error(err)
		}
		cancel()
	}
}

// A request whose rows are lost while its texts grow goes on, token for token.
func TestRowsThatAreLostAreComputedAgain(t *testing.T) {
	broken := errors.New("a damaged file")
	for name, config := range map[string]generate.Config{
		"a text": {MaxNewTokens: 20}, "texts": {MaxNewTokens: 20, Texts: 3, Sample: true, Seed: 3}, "beams": {MaxNewTokens: 20, Beams: 4, Texts: 4},
	} {
		for _, keep := range []bool{false, true} {
			m := &limited{model: &model{vocab: 20}, room: 1000}
			bad := map[*int]bool{} // trees
			forward := func(ctx context.Context, works []work, rows [][][]float32) ([][][]float32, error) {
				for _, w := range works {
					if bad[w.Seq.root] {
						return nil, broken
					}
				}
				return m.forward(ctx, works, rows)
			}
			b := generate.NewBatch(forward, options{Lost: func(_ context.Context, s *sequence, err error) (*sequence, bool, error) {
				if !errors.Is(err, broken) {
					return nil, false, nil
				}
				return m.seq(s.ids[:1]...), true, s.Close()
			}})
			jobs := []job{{[]int32{1, 2, 3}, config}, {[]int32{7, 8}, generate.Config{MaxNewTokens: 30}}}
			var tasks []*task
			for _, j := range jobs {
				task, err := b.Add(request{Seq: m.seq(), Prompt: j.prompt, Config: j.config, Keep: keep})
				if err != nil {
					t.Fatal(err)
				}
				tasks = append(tasks, task)
			}
			for i := range 12 {
				if i > 3 && i%4 == 0 {
					bad[m.open[0].root] = true // of the first job: it has come first
				}
				if _, err := b.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, j := range jobs {
				want, _, err := (&limited{model: &model{vocab: 20}, room: 1000}).texts(nil, j, false)
				if err := errors.Join(err, tasks[i].Err()); err != nil {
					t.Errorf("%s: job %d: %v", name, i, err)
				}
				if diff := cmp.Diff(tasks[i].Results(), want); diff != "" {
					t.Errorf("%s: job %d (-got +want):\n%s", name, i, diff)
				}
				if seq := tasks[i].Seq(); seq != nil {
					if err := seq.Close(); err != nil {
						t.Error(err)
					}
				}
			}
			if s := b.Stats(); s.Lost == 0 || s.Again == 0 || len(m.open) > 0 {
				t.Errorf("%s: %+v, and %d sequences are open", name, s, len(m.open))
			}
		}
	}
}

// What a request that ends for want of room says has the errors of all who were asked.
func TestAnErrorOfTheOwnerIsNotLost(t *testing.T) {
	m := &limited{model: &model{vocab: 20}, room: 5}
	broken := errors.New("the disk is broken")
	b := generate.NewBatch(m.forward, options{
		Short: func(error) *generate.Shortage[*sequence] { return &generate.Shortage[*sequence]{} },
		Full:  func(context.Context, []generate.Claim[*sequence], error) (bool, error) { return true, broken },
	})
	alone := add(t, b, m.model, []job{{[]int32{1, 2}, generate.Config{MaxNewTokens: 10}}})[0]
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := alone.Err(); !errors.Is(err, errFull) || !errors.Is(err, broken) {
		t.Errorf("%v, want %v and %v", err, errFull, broken)
	}
}

// What beams have in common is computed again once, and they share it as before.
func TestParkedBeamsShareWhatTheyHaveInCommon(t *testing.T) {
	m := &limited{model: &model{vocab: 20}, room: 1000}
	b := generate.NewBatch(m.forward, options{Short: func(error) *generate.Shortage[*sequence] { return &generate.Shortage[*sequence]{} }})
	jobs := []job{{[]int32{9}, generate.Config{MaxNewTokens: 14}}, {[]int32{1, 2, 3}, generate.Config{MaxNewTokens: 20, Beams: 4, Texts: 4}}}
	tasks := add(t, b, m.model, jobs)
	step := func() {
		if _, err := b.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		step()
	}
	before := m.held() - 10 // those of the other text
	for m.room = 12; !tasks[0].Done(); {
		step()
		if phase, left := tasks[1].Phase(), tasks[1].PromptLeft(); phase != generate.Parked || m.held() > 14 || left != before {
			t.Fatalf("the beams are %v, %d tokens are held, and %d are to be computed again: want them parked, and %d", phase, m.held(), left, before)
		}
		m.room++
	}
	for m.room = 1000; tasks[1].Phase() != generate.Growing; {
		step()
	}
	if again := tasks[1].Recomputed(); again != before || m.held() != before {
		t.Errorf("%d tokens are computed again, and %d are held: want %d", again, m.held(), before)
	}
	for !tasks[1].Done() {
		step()
	}
	if diff := cmp.Diff(tasks[1].Results(), texts(t, &model{vocab: 20}, jobs[1].prompt, jobs[1].config)); diff != "" {
		t.Errorf("the beams (-got +want):\n%s", diff)
	}
}

// Room that others have given back, without a request having ended, is found after some steps. Until then a
// request that waits is tried less and less often.
func TestRoomThatNobodyTellsOfIsFound(t *testing.T) {
	m := &limited{model: &model{vocab: 20}, room: 25}
	full := 0
	b := generate.NewBatch(m.forward, options{Short: func(error) *generate.Shortage[*sequence] {
		full++
		return &generate.Shortage[*sequence]{}
	}})
	tasks := add(t, b, m.model, []job{{[]int32{1, 2}, generate.Config{}}, {[]int32{3, 4}, generate.Config{}}})
	steps := func(n int) {
		for range n {
			m.room++ // as much as the first text grows
			if _, err := b.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for m.room = 10; tasks[1].Phase() == generate.Growing; {
		m.room--
		steps(1)
	}
	before := full
	steps(300)
	if tries := full - before; tasks[1].Phase() == generate.Growing || tries < 3 || tries > 9 {
		t.Errorf("the second text is %v; %d steps of 300 had no room, want a few", tasks[1].Phase(), tries)
	}
	m.room = 10000
	for n := 0; tasks[1].Phase() != generate.Growing; n++ {
		if steps(1); n > 600 {
			t.Fatalf("the second text is %v after 600 steps with room for it", tasks[1].Phase())
		}
	}
}

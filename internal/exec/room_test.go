package exec

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
)

func TestRoomGrowsToWhatIsNeededAndAtLeastDoubles(t *testing.T) {
	most := room{tokens: 4096, chunk: 512, mask: 512 * 1024, logits: 32}
	for _, tt := range []struct{ have, need, want room }{
		{room{32, 32, 1024, 1, 0, 0}, room{1, 1, 256, 1, 0, 0}, room{32, 32, 1024, 1, 0, 0}},
		{room{32, 32, 1024, 1, 0, 0}, room{33, 33, 512, 2, 0, 0}, room{64, 64, 1024, 2, 0, 0}},
		{room{32, 32, 1024, 1, 0, 0}, room{3000, 512, 512 * 512, 1, 0, 0}, room{3000, 512, 512 * 512, 1, 0, 0}},
		{room{3000, 400, 400 * 1024, 20, 0, 0}, room{3001, 401, 401 * 1024, 21, 0, 0}, most},
		{room{}, room{1, 1, 0, 0, 0, 0}, room{1, 1, 0, 0, 0, 0}},
	} {
		got := tt.have.grown(tt.need, most)
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(room{})); diff != "" {
			t.Errorf("%+v for %+v (-want +got):\n%s", tt.have, tt.need, diff)
		}
		if !got.covers(tt.need) {
			t.Errorf("%+v is not enough for %+v", got, tt.need)
		}
	}
}

// work is one step of a sequence with n more tokens.
func work(t *testing.T, r *Runner, s *kv.Seq, n int) {
	t.Helper()
	if _, err := r.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: make([]int32, n), Logits: 1}}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestStepsTakeTheMemoryThatTheyNeed(t *testing.T) {
	for _, o := range []Options{{Attention: attend.Auto}, {Attention: attend.Eager}} {
		t.Run(o.Attention.String(), func(t *testing.T) {
			o.Cache = kv.Options{Policy: kv.Static, Cells: 4096, ChunkTokens: 512, StepTokens: 2048}
			r := setting{devices: cpu, Options: o}.mustOpen(t)
			d := r.devices.all[0]
			most, err := r.footprint(r.options, r.cache(), d, 4096)
			if err != nil {
				t.Fatal(err)
			}
			bytes := func() int64 {
				f := footprintOf(d.backend)
				return f.Total() - f.Weights
			}
			largest := most.Total() - most.Weights
			s := r.pool.NewSeq()
			defer func() { _ = s.Close() }()
			for range 8 {
				work(t, r, s, 1)
			}
			decoding := bytes()
			if decoding > largest/8 {
				t.Errorf("decoding takes %d bytes, want at most an eighth of the largest steps' %d", decoding, largest)
			}
			work(t, r, s, 3000)
			prompt := bytes()
			if prompt <= decoding || prompt > largest {
				t.Errorf("a prompt takes %d bytes, want more than decoding's %d, and at most %d", prompt, decoding, largest)
			}
			work(t, r, s, 1)
			if got := bytes(); got != prompt {
				t.Errorf("%d bytes after one small step, want those of the prompt, %d: a prompt may follow", got, prompt)
			}
			for range 3 {
				work(t, r, s, 1)
			}
			if got := bytes(); got > largest/8 {
				t.Errorf("%d bytes are left after decoding a few tokens, want at most an eighth of %d", got, largest)
			}
			counts := d.backend.Stats()
			for range 20 {
				work(t, r, s, 1)
			}
			if got := d.backend.Stats(); got.Buffers != counts.Buffers || got.Graphs != counts.Graphs {
				t.Errorf("20 steps like the one before made %d buffers and %d graphs, want none", got.Buffers-counts.Buffers, got.Graphs-counts.Graphs)
			}
			work(t, r, s, 600)
			work(t, r, s, 1)
		})
	}
}

// A prompt for which there is no memory is an error, the sequence is as it was, and decoding goes on.
func TestAStepWithoutMemoryForItsInputsChangesNothing(t *testing.T) {
	o := Options{Cache: kv.Options{Policy: kv.Static, Cells: 2048}}
	r := setting{devices: cpu, Options: o}.mustOpen(t)
	s := r.pool.NewSeq()
	work(t, r, s, 1)
	taken := r.devices.all[0].backend.Usage()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.Limit = taken.Total() - taken.Current[ggml.Weights] + 256<<10
	if weights := taken.Current[ggml.Weights]; weights > 0 {
		o.Limit += weights // mapped weights do not count, so this leaves room for a little more
	}
	r = setting{devices: cpu, Options: o}.mustOpen(t)
	s = r.pool.NewSeq()
	defer func() { _ = s.Close() }()
	work(t, r, s, 1)
	want, err := r.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: []int32{7}, Logits: 1}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Truncate(1); err != nil {
		t.Fatal(err)
	}
	_, err = r.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: make([]int32, 2000), Logits: 1}}, nil)
	if !errors.Is(err, kv.ErrNoMemory) {
		t.Fatalf("a prompt of 2000 tokens within %d bytes: %v, want %v", o.Limit, err, kv.ErrNoMemory)
	}
	if s.Len() != 1 {
		t.Errorf("the sequence has %d tokens, want the one of before", s.Len())
	}
	got, err := r.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: []int32{7}, Logits: 1}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("logits differ after the error (-want +got):\n%s", diff)
	}
}

// Forks that go on beside each other need lists of their cells. There is room for more of them than the
// steps so far have needed, so that graphs are rarely built again, and none once the forks are gone.
func TestForksHaveRoomForListsOfCells(t *testing.T) {
	if isa.Best.Resolved() <= isa.GGML {
		t.Skip("cpu: ebb has no attention for it")
	}
	r := setting{devices: cpu, Options: Options{Cache: kv.Options{Policy: kv.Dynamic, Cells: 2048}}}.mustOpen(t)
	d := r.devices.all[0]
	s := r.pool.NewSeq()
	defer func() { _ = s.Close() }()
	work(t, r, s, 20)
	if n := d.inputs.room.lists; n != 0 {
		t.Errorf("room for %d words of lists without forks, want none", n)
	}
	forks := []*kv.Seq{s}
	for range 3 {
		f, err := s.Fork()
		if err != nil {
			t.Fatal(err)
		}
		forks = append(forks, f)
	}
	step := func(n int) {
		t.Helper()
		var batch []kv.Work
		for _, f := range forks {
			batch = append(batch, kv.Work{Seq: f, Tokens: make([]int32, n), Logits: 1})
		}
		if _, err := r.Forward(t.Context(), batch, nil); err != nil {
			t.Fatal(err)
		}
	}
	step(1)
	if n := d.inputs.room.lists; n != leastLists {
		t.Errorf("room for %d words of lists for 4 forks with a token each, want %d", n, leastLists)
	}
	for range 4 {
		step(1)
	}
	counts := d.backend.Stats()
	for range 20 {
		step(1)
	}
	if got := d.backend.Stats(); got.Buffers != counts.Buffers || got.Graphs != counts.Graphs {
		t.Errorf("20 steps of forks made %d buffers and %d graphs, want none", got.Buffers-counts.Buffers, got.Graphs-counts.Graphs)
	}
	for range 3 {
		step(100)
	}
	if n := d.inputs.room.lists; n < 4*300 || n > 4*leastLists {
		t.Errorf("room for %d words of lists for 4 forks of 300 tokens, want at least one a token, and not much more", n)
	}
	for _, f := range forks[1:] {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

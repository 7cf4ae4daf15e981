package ebb_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
)

// settled waits for goroutines that are ending, and returns how many are left.
func settled(want int) int {
	for range 200 {
		if runtime.NumGoroutine() <= want {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return runtime.NumGoroutine()
}

func TestCloseReturnsEveryByteAndGoroutine(t *testing.T) {
	requireDevice(t, "cpu")
	for _, p := range cpuPlaces {
		for _, policy := range policies {
			before := runtime.NumGoroutine()
			e, err := ebb.Open(modelPath("tiny-gqa"), ebb.Options{Cache: policy, ForcedCopies: p.copies, Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			s := e.NewSeq()
			forward(t, e, s, prompt(1, 60), 1)
			forward(t, e, s, prompt(2, 1), 1)
			if err := e.Close(); err != nil { // with the sequence still open
				t.Fatalf("%s, %v: %v", p.name, policy, err)
			}
			if total := e.Stats().Device.Total(); total != 0 {
				t.Errorf("%s, %v: %d bytes in use after Close", p.name, policy, total)
			}
			c := e.Stats().Cache
			if c.DeviceBytes != 0 || c.HostBytes != 0 {
				t.Errorf("%s, %v: the cache counts %d bytes on the device and %d off it after Close", p.name, policy, c.DeviceBytes, c.HostBytes)
			}
			closeSeq(t, s)
			if n := settled(before); n > before {
				t.Errorf("%s, %v: %d goroutines; %d before Open", p.name, policy, n, before)
			}
		}
	}
}

// TestCancellingAStepLeavesTheSequenceAsItWas cancels at many moments, and compares what follows
// with a sequence that never was cancelled.
func TestCancellingAStepLeavesTheSequenceAsItWas(t *testing.T) {
	requireDevice(t, "cpu")
	for _, policy := range policies {
		t.Run(policy.String(), func(t *testing.T) {
			// a slow link makes the waits long enough to be cancelled
			o := ebb.Options{Cache: policy, ChunkTokens: 16, Context: 512}
			if policy == kv.Offloaded || policy == kv.OffloadedStatic {
				o.Link = 20e6
			}
			e := cpuCopies.open(t, modelPath("tiny-gqa"), o)
			s, control := e.NewSeq(), e.NewSeq()
			defer closeSeq(t, s)
			defer closeSeq(t, control)
			start := prompt(1, 200)
			forward(t, e, s, start, 1)
			forward(t, e, control, start, 1)
			cancelled := 0
			for i := range 40 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Microsecond)
				_, err := e.Forward(ctx, []kv.Work{{Seq: s, Tokens: prompt(100+i, 50), Logits: 1}})
				cancel()
				switch {
				case err == nil:
					if err := s.Truncate(200); err != nil {
						t.Fatal(err)
					}
				case errors.Is(err, context.DeadlineExceeded):
					cancelled++
				default:
					t.Fatal(err)
				}
				if s.Len() != 200 {
					t.Fatalf("%d tokens after a cancelled step; want 200", s.Len())
				}
			}
			if cancelled == 0 {
				t.Error("no step was cancelled")
			}
			next := prompt(2, 1)
			if err := sameBits(forward(t, e, s, next, 1), forward(t, e, control, next, 1)); err != nil {
				t.Errorf("after %d cancelled steps: %v", cancelled, err)
			}
		})
	}
}

func TestCloseDuringGenerationEndsIt(t *testing.T) {
	requireDevice(t, "cpu")
	before := runtime.NumGoroutine()
	e, err := ebb.Open(modelPath("tiny-gqa"), ebb.Options{Cache: kv.Offloaded, ForcedCopies: true, Link: 50e6, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	first := make(chan struct{})
	var once sync.Once
	failures := make(chan error, 3)
	for i := range 3 {
		running.Go(func() {
			s := e.NewSeq()
			for in := prompt(i, 30); ; in = prompt(i, 1) {
				_, err := e.Forward(context.Background(), []kv.Work{{Seq: s, Tokens: in, Logits: 1}})
				if err != nil {
					failures <- err
					return
				}
				once.Do(func() { close(first) })
			}
		})
	}
	<-first
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	running.Wait()
	close(failures)
	for err := range failures {
		if !errors.Is(err, kv.ErrClosed) && !errors.Is(err, kv.ErrFull) {
			t.Errorf("a generation ended with %v; want %v", err, kv.ErrClosed)
		}
	}
	if n := settled(before); n > before {
		t.Errorf("%d goroutines; %d before Open", n, before)
	}
}

func TestCancellingAStepDoesNotWaitForWhatTheLastOneFetchesAhead(t *testing.T) {
	requireDevice(t, "cpu")
	for _, p := range cpuPlaces {
		e := p.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: kv.Offloaded, Link: 1}) // hours a layer
		s := e.NewSeq()
		defer closeSeq(t, s)
		forward(t, e, s, prompt(1, 30), 1)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_, err := e.Forward(ctx, []kv.Work{{Seq: s, Tokens: prompt(2, 1), Logits: 1}})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v; want %v", p.name, err, context.DeadlineExceeded)
		}
		if s.Len() != 30 {
			t.Errorf("%s: %d tokens; want 30", p.name, s.Len())
		}
	}
}

func TestCloseDoesNotWaitForASlowLink(t *testing.T) {
	requireDevice(t, "cpu")
	e, err := ebb.Open(modelPath("tiny-gqa"), ebb.Options{Cache: kv.Offloaded, ForcedCopies: true, Link: 100, Threads: 1}) // an hour a layer
	if err != nil {
		t.Fatal(err)
	}
	s := e.NewSeq()
	forward(t, e, s, prompt(1, 30), 1)
	failed := make(chan error, 1)
	go func() {
		_, err := e.Forward(context.Background(), []kv.Work{{Seq: s, Tokens: prompt(2, 1), Logits: 1}})
		failed <- err
	}()
	time.Sleep(20 * time.Millisecond) // most likely it waits for the link by now; else it is refused
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; !errors.Is(err, kv.ErrClosed) {
		t.Errorf("the step that waited ended with %v; want %v", err, kv.ErrClosed)
	}
}

func TestGoroutinesGetWhatTheyWouldGetAlone(t *testing.T) {
	requireDevice(t, "cpu")
	e := cpuCopies.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: kv.Offloaded, KVType: "f32"})
	want := make([][]int32, 4)
	for i := range want {
		want[i], _ = greedy(t, e, prompt(i, 10+i), 12)
	}
	var all sync.WaitGroup
	for i := range want {
		all.Go(func() {
			got, _ := greedy(t, e, prompt(i, 10+i), 12)
			for j := range got {
				if got[j] != want[i][j] {
					t.Errorf("sequence %d: %v; alone %v", i, got, want[i])
					return
				}
			}
		})
	}
	all.Wait()
}

func TestSecondStepOfAShapeAllocatesAndBuildsNothing(t *testing.T) {
	requireDevice(t, "cpu")
	type arm struct {
		place  place
		kind   attend.Kind
		policy kv.Policy
	}
	var arms []arm
	for _, p := range allPlaces {
		for _, policy := range []kv.Policy{kv.Static, kv.OffloadedStatic} {
			if p.short() && (policy == kv.Static) != p.shared {
				continue // one of both on each
			}
			arms = append(arms, arm{p, attend.Auto, policy})
			if p.device == "cpu" {
				arms = append(arms, arm{p, attend.Flash, policy})
			}
		}
	}
	for _, a := range arms {
		p, policy := a.place, a.policy
		t.Run(p.name+"/"+a.kind.String()+"/"+policy.String(), func(t *testing.T) {
			e := p.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: policy, Context: 512, Attention: a.kind})
			s := e.NewSeq()
			defer closeSeq(t, s)
			forward(t, e, s, prompt(1, 250), 1)
			for range 2 { // the first step of the shape, and one behind which what the prompt needed is given back
				forward(t, e, s, prompt(2, 1), 1)
			}
			before := e.Stats().Counts
			for s.Len() < 256 {
				forward(t, e, s, prompt(3, 1), 1)
			}
			after := e.Stats().Counts
			layers := len(e.Config().Layers)
			masked := p.masked(t, a.kind, layers)
			if kept := before.Plans >= int64(layers); kept != (masked == 0) || after.Plans != before.Plans {
				t.Errorf("%d plans are kept, and %d more made for the next steps; want one a layer where ebb's kernel attends, and no more", before.Plans, after.Plans-before.Plans)
			}
			if after.Buffers != before.Buffers || after.Graphs != before.Graphs {
				t.Errorf("decoding to cell 256: %d buffers allocated, %d graphs built; want none",
					after.Buffers-before.Buffers, after.Graphs-before.Graphs)
			}
			forward(t, e, s, prompt(4, 1), 1) // attention now spans another block
			crossed := e.Stats().Counts
			if got := crossed.Graphs - after.Graphs; got != masked {
				t.Errorf("crossing the block: %d graphs built; want %d, one a layer that has a mask", got, masked)
			}
			if p.device == "cpu" && crossed.Buffers != after.Buffers {
				t.Errorf("crossing the block: %d buffers allocated; want none", crossed.Buffers-after.Buffers)
			}
		})
	}
}

// masked returns how many of a model's layers have a mask, and are so built for a number of cells:
// those that ebb's kernel on the CPU does not attend to.
func (p place) masked(t *testing.T, kind attend.Kind, layers int) int64 {
	t.Helper()
	set, err := isa.Parse(os.Getenv(isa.Variable))
	if err != nil {
		t.Fatal(err)
	}
	library, err := ggml.Load()
	if err != nil {
		t.Fatal(err)
	}
	cpu, err := library.Device("cpu")
	if err != nil {
		t.Fatal(err)
	}
	const dim = 32 // of the tiny models' heads
	switch kernel := attend.On(cpu, kind, set).Kernel(ggml.F16, ggml.F16, dim, dim); {
	case kernel && p.shared:
		return int64((layers + 1) / 2)
	case kernel && p.device == "cpu":
		return 0
	default:
		return int64(layers)
	}
}

func TestDeviceBytesOfOffloadedAreSlotsAndResidentLayers(t *testing.T) {
	requireDevice(t, "cpu")
	const context, row = 512, 2 * 2 * 32 * 2 // K and V, KV heads, head dim, bytes of f16
	layer := int64(context * row)
	bytes := func(policy kv.Policy, resident int) int64 {
		e := cpuCopies.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: policy, Context: context, ResidentLayers: resident})
		s := e.NewSeq()
		defer closeSeq(t, s)
		forward(t, e, s, prompt(1, context), 1)
		return e.Stats().Cache.DeviceBytesPeak
	}
	static := bytes(kv.Static, 0)
	if want := 5 * layer; static != want {
		t.Errorf("static: %d bytes; want %d: five layers", static, want)
	}
	for resident := range 5 {
		slots := int64(min(2, 5-resident))
		got, want := bytes(kv.Offloaded, resident), (slots+int64(resident))*layer
		if got != want {
			t.Errorf("%d resident layers: %d bytes; want %d", resident, got, want)
		}
		if streamed := 5 - resident; streamed > 2 && got >= static {
			t.Errorf("%d layers stream through 2 slots: %d bytes; static takes %d", streamed, got, static)
		}
	}
}

func TestRunningOutOfDeviceMemoryIsAnErrorThatNamesIt(t *testing.T) {
	requireDevice(t, "cpu")
	_, err := ebb.Open(modelPath("tiny-gqa"), ebb.Options{Cache: kv.Static}.WithLimit(1<<12))
	if !errors.Is(err, ggml.ErrNoMemory) {
		t.Errorf("open with 4 KiB: %v; want %v", err, ggml.ErrNoMemory)
	}
	e, err := ebb.Open(modelPath("tiny-gqa"), ebb.Options{Cache: kv.Offloaded, ForcedCopies: true}.WithLimit(24<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	s := e.NewSeq()
	forward(t, e, s, prompt(1, 100), 1) // rows off the device do not count
}

func TestTooLittleMemoryNamesTheLeastThatWorks(t *testing.T) {
	requireDevice(t, "cpu")
	const least = 2 * 256 * 256 // two slots of a block of cells of 256 bytes
	_, err := ebb.Open(modelPath("tiny-gqa"), ebb.Options{Cache: kv.Offloaded, KVMemory: least - 1})
	if want := "the least that works is 128.0 KiB"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("open: %v; want an error that says %q", err, want)
	}
	e := cpuCopies.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: kv.Offloaded, KVMemory: least})
	if e.Context() != 256 || len(e.Notes()) != 1 {
		t.Errorf("a context of %d with the notes %q; want 256 and one that says so", e.Context(), e.Notes())
	}
}

func TestMemoryForASecondSequenceIsRefusedNotTaken(t *testing.T) {
	requireDevice(t, "cpu")
	path := testmodel.WriteFile(t, testmodel.Options{Layers: 4, Seed: 3})
	e := cpuCopies.open(t, path, ebb.Options{Cache: kv.Offloaded, Context: 256, ResidentLayers: 2, KVMemory: 1 << 18})
	a, b := e.NewSeq(), e.NewSeq()
	defer closeSeq(t, b)
	forward(t, e, a, prompt(1, 10), 1)
	_, err := e.Forward(t.Context(), []kv.Work{{Seq: b, Tokens: prompt(2, 10), Logits: 1}})
	if err == nil || !strings.Contains(err.Error(), "close a sequence") {
		t.Fatalf("a second sequence: %v; want an error that says what to do", err)
	}
	forward(t, e, a, prompt(3, 1), 1) // the first goes on
	closeSeq(t, a)
	forward(t, e, b, prompt(2, 10), 1)
}

func TestTokensOutsideTheVocabularyAreRefused(t *testing.T) {
	requireDevice(t, "cpu")
	e := cpuInPlace.open(t, modelPath("tiny-gqa"), ebb.Options{})
	s := e.NewSeq()
	defer closeSeq(t, s)
	for _, id := range []int32{-1, 264, 1 << 30} {
		_, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: []int32{1, id}, Logits: 1}})
		if err == nil || !strings.Contains(err.Error(), "263") {
			t.Errorf("token %d: %v; want an error that names the last id, 263", id, err)
		}
	}
	if s.Len() != 0 {
		t.Errorf("the sequence has %d tokens; want 0", s.Len())
	}
}

package ebb_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// copying are the places where streamed rows are copied, so that the host can attend instead.
func copying() []place {
	return slices.DeleteFunc(slices.Clone(allPlaces), func(p place) bool { return p.device == "cpu" && !p.copies })
}

func TestGreedyWithAttentionAtTheHostEqualsHuggingFace(t *testing.T) {
	for _, p := range copying() {
		for _, model := range goldenModels {
			if p.device != "cpu" && model != "tiny-gqa" && !testAll {
				continue // shaders of other shapes take minutes to compile
			}
			for _, policy := range []kv.Policy{kv.Offloaded, kv.OffloadedStatic} {
				if !slices.Contains(p.policies(), policy) {
					continue
				}
				t.Run(p.name+"/"+model+"/"+policy.String(), func(t *testing.T) {
					e := p.open(t, goldenPath(t, model), ebb.Options{Cache: policy, KVType: "f32", Attend: ebb.AttendAtHost})
					for _, c := range golden[goldenGreedy](t, "greedy_"+model) {
						if !p.prompt(len(c.Prompt)) {
							continue
						}
						n := firstUnsure(c.Margins, p)
						if got, _ := greedy(t, e, c.Prompt, n); !slices.Equal(got, c.IDs[:n]) {
							t.Errorf("prompt of %d:\n got %v\nwant %v", len(c.Prompt), got, c.IDs[:n])
						}
					}
				})
			}
		}
	}
}

// The host's kernels add in another order than the device's, and the software Vulkan device in half
// precision.
func TestAttentionAtTheHostEqualsAttentionAtTheDevice(t *testing.T) {
	for _, p := range copying() {
		t.Run(p.name, func(t *testing.T) {
			o := ebb.Options{KVType: "f32", Context: 512, ChunkTokens: 64}
			want := script(t, p.open(t, modelPath("tiny-gqa"), o), p.repeats())
			hosts := []int{0, 1, 2} // all, and some between those that visit
			if p.short() {
				hosts = []int{p.devices()} // that all do is shown by the greedy test
			}
			for _, host := range hosts {
				o.Cache, o.Attend, o.HostLayers = kv.Offloaded, ebb.AttendAtHost, host
				e := p.open(t, modelPath("tiny-gqa"), o)
				got := script(t, e, p.repeats())
				if p.device == "cpu" {
					if err := near(t, got, want); err != nil {
						t.Errorf("%d layers: %v", host, err)
					}
				} else if d := worst(t, got, want); d > p.tolerance() {
					t.Errorf("%d layers: logits differ by %g; want at most %g", host, d, p.tolerance())
				}
				if s := e.Stats().Cache; s.HostLayers == 0 || host > 0 && s.HostLayers != host {
					t.Errorf("%d layers attended at the host; want %d (0: all)", s.HostLayers, host)
				}
			}
		})
	}
}

// Rows that are attended to where they are kept do not move: the new ones are written there.
func TestAttentionAtTheHostMovesNoRows(t *testing.T) {
	p := cpuCopies
	e := p.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: kv.Offloaded, Attend: ebb.AttendAtHost})
	s := e.NewSeq()
	defer closeSeq(t, s)
	forward(t, e, s, prompt(1, 100), 1) // a prompt visits the device
	forward(t, e, s, prompt(2, 1), 1)
	other := e.NewSeq()
	forward(t, e, other, prompt(3, 1), 1)
	closeSeq(t, other) // ends what the prompt's step fetches ahead
	before := e.Stats().Cache
	if before.StoredBytes == 0 {
		t.Fatal("the prompt's rows were not stored")
	}
	for i := range 20 {
		forward(t, e, s, prompt(i, 1+i%16), 1)
	}
	if after := e.Stats().Cache; after.FetchedBytes != before.FetchedBytes || after.StoredBytes != before.StoredBytes {
		t.Errorf("%d bytes fetched and %d stored by small steps", after.FetchedBytes-before.FetchedBytes, after.StoredBytes-before.StoredBytes)
	}
}

func TestACPUThatOnlyAttendsIsAmongTheDevices(t *testing.T) {
	p := onGPU
	e := p.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: kv.Offloaded, Attend: ebb.AttendAtHost})
	s := e.NewSeq()
	defer closeSeq(t, s)
	forward(t, e, s, prompt(1, 2), 1)
	got := e.Stats().Devices
	if len(got) != 2 || got[1].Name != "cpu" {
		t.Fatalf("devices %+v: want %s and the CPU", got, p.device)
	}
	if got[1].Device.Current[ggml.Inputs] == 0 || got[1].Counts.Computes == 0 {
		t.Errorf("the CPU has %d bytes of inputs and has computed %d graphs, want more than none", got[1].Device.Current[ggml.Inputs], got[1].Counts.Computes)
	}
}

func TestWhereToAttendIsMeasured(t *testing.T) {
	p := cpuCopies
	e := p.open(t, modelPath("tiny-gqa"), ebb.Options{Cache: kv.Offloaded, Attend: ebb.AttendAuto, Link: 1e6})
	if s := e.Stats().Cache; s.HostLayers == 0 {
		t.Error("a link of 1 MB/s is used for all layers")
	}
	if notes := strings.Join(e.Notes(), "\n"); !strings.Contains(notes, "attention at the host for") {
		t.Errorf("notes %q do not say what was decided", notes)
	}
	for _, c := range golden[goldenGreedy](t, "greedy_tiny-gqa")[:1] {
		if got, _ := greedy(t, e, c.Prompt, 8); !slices.Equal(got, c.IDs[:8]) {
			t.Errorf("got %v, want %v", got, c.IDs[:8])
		}
	}
}

func TestMoreLayersThanVisitCannotBeAttendedToAtTheHost(t *testing.T) {
	requireDevice(t, "cpu")
	_, err := ebb.Open(modelPath("tiny-gqa"), ebb.Options{
		Threads: 1, Cache: kv.Offloaded, ForcedCopies: true, ResidentLayers: 2, Attend: ebb.AttendAtHost, HostLayers: 4,
	})
	if err == nil || !strings.Contains(err.Error(), "for 4 layers: 3 layers visit a device") {
		t.Errorf("error %v", err)
	}
}

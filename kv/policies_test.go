package kv

import (
	"fmt"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
)

// setting is one way to keep a cache, to be compared with static.
type setting struct {
	policy   Policy
	typ      ggml.Type
	layers   int
	resident int // 0: none, 1: some, 2: all
}

func (s setting) String() string {
	return fmt.Sprintf("%v/%v/%d layers/%s resident", s.policy, s.typ, s.layers, [...]string{"none", "some", "all"}[s.resident])
}

func (s setting) options(copies bool) Options {
	o := rigOptions(s.policy, s.layers, s.typ)
	o.ForcedCopies = copies
	if s.policy.streams() { // under auto, how many never leave
		o.ResidentLayers = []int{0, (s.layers + 1) / 2, s.layers}[s.resident]
	}
	if s.policy.adapts() && copies { // as little memory as three trees need
		o.Trees = 3
		o.Memory = o.Plan().Least()
	}
	return o
}

// settings returns all settings, or as many as have every pair of values together.
func settings(all bool) (list []setting) {
	layers := []int{1, 2, 3, 5}
	others := []Policy{Dynamic, Offloaded, OffloadedStatic, Auto} // compared with static
	for i, typ := range types {
		for j, n := range layers {
			if !all { // (i+j)%4 and (i+2j)%3 take all twelve pairs of values
				list = append(list, setting{others[(i+j)%4], typ, n, (i + 2*j) % 3})
				continue
			}
			for _, p := range others {
				for resident := range 3 {
					list = append(list, setting{p, typ, n, resident})
				}
			}
		}
	}
	return list
}

func TestSettingsHaveEveryPair(t *testing.T) {
	pairs := func(list []setting) map[string]bool {
		seen := map[string]bool{}
		for _, s := range list {
			v := []string{fmt.Sprint("p", s.policy), fmt.Sprint("t", s.typ), fmt.Sprint("l", s.layers), fmt.Sprint("r", s.resident)}
			for i := range v {
				for j := range i {
					seen[v[j]+v[i]] = true
				}
			}
		}
		return seen
	}
	if got, want := len(pairs(settings(false))), len(pairs(settings(true))); got != want {
		t.Errorf("%d pairs; want %d", got, want)
	}
}

// Whatever the policy, where rows live and whether they are copied: attention gives the bits that
// it gives with all rows on the device.
func TestEveryPolicyGivesTheBitsOfStatic(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds: make test runs it")
	}
	devices := []struct {
		name   string
		open   func(rapid.TB) *ggml.Backend
		copies bool
		script func(*rig)
	}{
		{"cpu in place", onCPU, false, conversation},
		{"cpu copies", onCPU, true, conversation},
		{"vulkan", onVulkan, true, dialogue},
	}
	all := os.Getenv("EBB_TEST_ALL") != ""
	for _, d := range devices {
		t.Run(d.name, func(t *testing.T) {
			b := d.open(t)
			wants := map[setting][][]byte{}
			for _, s := range settings(all) {
				t.Run(s.String(), func(t *testing.T) {
					static := setting{policy: Static, typ: s.typ, layers: s.layers}
					want, ok := wants[static]
					if !ok {
						want, _ = played(t, b, static.options(false), d.script)
						finite(t, want)
						wants[static] = want
					}
					o := s.options(d.copies)
					got, stats := played(t, b, o, d.script)
					if i := differ(got, want); i >= 0 {
						t.Errorf("step %d differs from static", i)
					}
					streams := s.policy.streams() && o.ResidentLayers < s.layers
					if s.policy.adapts() {
						streams = stats.Demotions > 0
						if !streams && d.copies && s.layers > DefaultSlots && s.resident == 0 {
							t.Error("no layer has left: the test shows nothing")
						}
					}
					if copied := stats.StoredBytes > 0; copied != (streams && d.copies) {
						t.Errorf("%d bytes stored with %d layers streamed", stats.StoredBytes, stats.StreamedLayers)
					}
				})
			}
		})
	}
}

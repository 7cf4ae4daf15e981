package measure

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpeedIsComparedWithTheFasterPeerAndWithFlashAttention(t *testing.T) {
	row := Row{Workload: "decode", Threads: 2, KVType: "f16", Depth: 8, Tokens: 1, Arm: "ours", Summary: Summary{P25: 4}}
	const flash, eager = "peer, flash", "peer"
	score := func(by string, value, target float64) Score {
		return Score{Workload: "decode", Threads: 2, KVType: "f16", Depth: 8, Tokens: 1, Name: "ours / " + by, Value: value, Target: target}
	}
	peer := func(arm string, p25 float64) peerRow {
		return peerRow{Row{Arm: arm, Summary: Summary{P25: p25}}, arm == flash}
	}
	both, deep := Targets{Fastest: 0.9, Flash: 1}, Targets{Flash: 1}
	for _, tt := range []struct {
		name  string
		of    Targets
		peers []peerRow
		want  []Score
	}{
		{"no peer", both, nil, nil},
		{"with flash attention it is the fastest", both, []peerRow{peer(flash, 3), peer(eager, 9)}, []Score{score(flash, 0.75, 0.9)}},
		{"without it is", both, []peerRow{peer(flash, 5), peer(eager, 2)}, []Score{score(eager, 0.5, 0.9), score(flash, 1.25, 1)}},
		{"there is no other", both, []peerRow{peer(eager, 2)}, []Score{score(eager, 0.5, 0.9)}},
		{"the target is flash attention, the fastest", deep, []peerRow{peer(flash, 3), peer(eager, 9)}, []Score{score(flash, 0.75, 1)}},
		{"the target is flash attention, not the fastest", deep, []peerRow{peer(flash, 5), peer(eager, 2)}, []Score{score(eager, 0.5, 0), score(flash, 1.25, 1)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(againstPeers(row, tt.peers, tt.of), tt.want); diff != "" {
				t.Errorf("scores (-got +want):\n%s", diff)
			}
		})
	}
}

package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/internal/measure"
)

func TestPeerThatCannotRunTheModelIsLeftOutWithANote(t *testing.T) {
	s := measure.Setting{Threads: 1, KVType: "f16"}
	for _, tt := range []struct {
		name string
		o    measure.Options
		want []string // parts of the notes
	}{
		{"no such file", measure.Options{Model: "nowhere.gguf"}, []string{"nowhere.gguf", "nowhere.gguf"}}, // one for each attention setting
		{"another device", measure.Options{Model: "nowhere.gguf", Device: "vulkan0"}, []string{"on the CPU only"}},
	} {
		o := Options{Options: tt.o, Peer: PeerLlama}
		peers, notes := o.openPeers(s, 8)
		if len(peers) != 0 || len(notes) != len(tt.want) {
			t.Errorf("%s: %d peers, notes %q: want none, and %d notes", tt.name, len(peers), notes, len(tt.want))
			continue
		}
		for i, part := range tt.want {
			if !strings.HasPrefix(notes[i], "Without llama.cpp: ") || !strings.Contains(notes[i], part) {
				t.Errorf("%s: note %q: want one with %q", tt.name, notes[i], part)
			}
		}
	}
}

func TestPeersAreOpenedOnlyWhereTheyAreAskedFor(t *testing.T) {
	small(t) // skips without libraries
	names := func(kvType, peer string) (names []string) {
		o := small(t)
		o.Peer = peer
		o.Prepare()
		if o.Peers == nil {
			return nil
		}
		peers, notes := o.Peers(measure.Setting{Threads: 1, KVType: kvType}, 8)
		if len(notes) > 0 {
			t.Errorf("%s: notes %q: want none", kvType, notes)
		}
		for _, p := range peers {
			names = append(names, p.Name())
			if p.Flash != (p.Name() == peerFlash) {
				t.Errorf("%s: flash attention %t", p.Name(), p.Flash)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		return names
	}
	for _, tt := range []struct {
		kvType, peer string
		want         []string
	}{
		{"f16", "", nil},
		{"f16", PeerLlama, []string{peerFlash, peerEager}},
		{"q8_0", PeerLlama, []string{peerFlash}}, // quantized V needs flash attention
	} {
		if diff := cmp.Diff(names(tt.kvType, tt.peer), tt.want); diff != "" {
			t.Errorf("peer %q with %s (-got +want):\n%s", tt.peer, tt.kvType, diff)
		}
	}
}

package exec

import (
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/product"
)

func TestWeightsArePackedUnlessTheyAreToStayMappedOrMemoryHasNoRoom(t *testing.T) {
	// 288 tokens are whole panels. Matrices of 64 KiB and more may stay mapped.
	file := testmodel.WriteFile(t, testmodel.Options{Layers: 2, Hidden: 512, FF: 512, Vocab: 288, Type: ggml.Q4_0})
	for _, tt := range []struct {
		name   string
		noPack bool
		set    isa.ISA
		room   int64 // 0: not known; model.NoRoom: none
		mapped bool
		note   string
	}{
		{name: "packed", set: isa.Go},
		{name: "to stay mapped", set: isa.Go, noPack: true, mapped: true},
		{name: "no products, to stay mapped", set: isa.GGML, noPack: true, mapped: true},
		{
			name: "no room", set: isa.Go, room: 100 << 10, mapped: true,
			note: "copies of the weights take 1.1 MiB, and 100.0 KiB of memory are free: the weights stay in their file, and the CPU computes slower",
		},
		{
			name: "no room for all else", set: isa.Go, room: 2 << 20, mapped: true,
			note: "copies of the weights take 1.1 MiB beside at least 96.5 MiB for all else, and 2.0 MiB of memory are free: the weights stay in their file, and the CPU computes slower",
		},
		{
			name: "no byte is free", set: isa.Go, room: model.NoRoom, mapped: true,
			note: "copies of the weights take 1.1 MiB, and 0 B of memory are free: the weights stay in their file, and the CPU computes slower",
		},
		{name: "room", set: isa.Go, room: 1 << 40},
	} {
		s := setting{devices: cpu, file: file, Options: Options{NoPack: tt.noPack, ISA: tt.set}}
		if tt.room != 0 {
			s.HostRoom = func() (int64, bool) { return max(0, tt.room), true }
		}
		r := s.mustOpen(t)
		f, err := gguf.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		// Norms are copied too, because they are small.
		packed, private := model.PackedBytes(f, product.Of(tt.set)), r.Stats()[0].Device.Current[ggml.Weights]-r.mapped()
		if norms := private - packed; !tt.mapped && (norms < 0 || norms > 32<<10) {
			t.Errorf("%s: %d bytes are private memory, and %d are said to be packed", tt.name, private, packed)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if mapped := r.mapped() > 1<<20; mapped != tt.mapped {
			t.Errorf("%s: %d bytes are mapped", tt.name, r.mapped())
		}
		if got := strings.Join(r.Notes(), "; "); got != tt.note {
			t.Errorf("%s: got the notes %q, want %q", tt.name, got, tt.note)
		}
	}
}

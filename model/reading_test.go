package model

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/product"
)

// A file that becomes shorter while its weights are packed or copied is an error, after which nothing is
// left of them.
func TestAFileThatBecomesShorterIsAnError(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the file is read when it is opened")
	}
	for name, last := range map[string]gguf.TensorData{
		"packed": quantized(t, "last.weight", ggml.Q4_0, 64, 64),
		"copied": vector("last.weight", 64), // a small one
	} {
		t.Run(name, func(t *testing.T) {
			b := testmodel.CPU(t, 1)
			f := openTensors(t, quantized(t, "first.weight", ggml.Q4_0, 256, 8192), last)
			source, _ := f.Tensor("last.weight")
			if err := os.Truncate(f.Parts()[0].Path, source.Offset+10); err != nil {
				t.Fatal(err)
			}
			l := NewLoader(f, Devices{Input: b, Output: b, Products: product.Of(isa.Go)})
			l.Linear("first", 256, 8192)
			if name == "packed" {
				l.Linear("last", 64, 64)
			} else {
				l.Vector("last.weight", 64)
			}
			if _, err := l.Load(); !errors.Is(err, gguf.ErrTruncated) {
				t.Errorf("got %v, want an error that is ErrTruncated", err)
			}
			if got := b.Usage().Current[ggml.Weights]; got != 0 {
				t.Errorf("%d bytes of weights are left", got)
			}
		})
	}
}

// Of the goroutines that find together that the file has become shorter, one says so.
func TestAFileThatBecomesShorterIsOneError(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the file is read when it is opened")
	}
	b := testmodel.CPU(t, 1)
	f := openTensors(t, quantized(t, "large.weight", ggml.Q4_0, 256, 16384))
	source, _ := f.Tensor("large.weight")
	if err := os.Truncate(f.Parts()[0].Path, source.Offset+10); err != nil {
		t.Fatal(err)
	}
	for range 20 { // as often as not, one is faster than the others
		l := NewLoader(f, Devices{Input: b, Output: b, Products: product.Of(isa.Go)})
		l.Linear("large", 256, 16384)
		if _, err := l.Load(); err == nil || strings.Count(err.Error(), "became shorter") != 1 {
			t.Fatalf("got %v, want an error that says once that the file became shorter", err)
		}
	}
}

// What is read ahead has room beside the weights that were packed.
func TestWeightsInPlaceAreReadAheadBesideThePackedOnes(t *testing.T) {
	const in, out = 256, 1024
	b := testmodel.CPU(t, 1)
	plain := func(name string) gguf.TensorData {
		m := vector(name, in*out)
		m.Shape = []int64{in, out}
		return m
	}
	packed := quantized(t, "packed.weight", ggml.Q8_0, in, out)
	f := openTensors(t, plain("a.weight"), packed, plain("b.weight"))
	each, private := int64(4*in*out), int64(len(packed.Data))
	for _, tt := range []struct {
		room int64
		want int
	}{{0, 0}, {NoRoom, 0}, {private + each - 1, 0}, {private + each, 1}, {private + 2*each - 1, 1}, {private + 2*each, 2}} {
		d := Devices{Input: b, Output: b, Room: tt.room, Mapped: tt.room == NoRoom, Products: product.Of(isa.Go)}
		w := loadAll(t, f, d, func(l *Loader) {
			for _, name := range []string{"a", "packed", "b"} {
				l.Linear(name, in, out)
			}
		})
		if f.Mapping(0) == nil {
			t.Skip("files are not mapped here")
		}
		if got := len(w.wanted(tt.room - w.private)); got != tt.want || (w.reader != nil) != (tt.want > 0) {
			t.Errorf("room for %d bytes beside %d of packed weights: %d of the matrices are read ahead, want %d", tt.room-private, private, got, tt.want)
		}
	}
}

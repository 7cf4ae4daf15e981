package measure

import (
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

func TestStepReadsTheEmbeddingOnlyWhereItIsTheOutputToo(t *testing.T) {
	const hidden, vocab, float = 64, 264, 4
	for _, tt := range []struct {
		tied   bool
		unread int64
	}{{true, 0}, {false, hidden * vocab * float}} {
		f, err := gguf.Parse(testmodel.Llama(testmodel.Options{Layers: 1, Hidden: hidden, Vocab: vocab, Context: 99, Tied: tt.tied}))
		if err != nil {
			t.Fatal(err)
		}
		m := modelOf(f)
		if m.Context != 99 || m.Weights == 0 || m.Weights-m.StepBytes != tt.unread {
			t.Errorf("tied %t: %+v, want a context of 99 and %d bytes that a step leaves out", tt.tied, m, tt.unread)
		}
	}
}

package ebb_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
)

// smallOf are small models of each architecture, one for each kind of layers.
var smallOf = map[string][]string{
	"llama": {"tiny-one", "tiny-mixtral"}, "mistral3": {"tiny-mistral3"}, "smollm3": {"tiny-smollm3"}, "granite": {"tiny-granite"},
	"phi3": {"tiny-longrope"}, "qwen2": {"tiny-qwen2"}, "qwen3": {"tiny-qwen3"}, "qwen2moe": {"tiny-qwen2moe"}, "qwen3moe": {"tiny-qwen3moe"},
	"glm4": {"tiny-glm4"}, "glm4moe": {"tiny-glm4moe"}, "gemma3": {"tiny-gemma3"}, "gemma4": {"tiny-gemma4", "tiny-gemma4-moe", "tiny-gemma4-e"},
	"gpt-oss": {"tiny-gptoss"}, "qwen35": {"tiny-qwen35-mtp"}, "qwen35moe": {"tiny-qwen35moe"}, "qwen3next": {"tiny-qwen3next", "tiny-qwen3next-old"},
	"lfm2": {"tiny-lfm2"}, "lfm2moe": {"tiny-lfm2moe"}, "granitehybrid": {"tiny-granitehybrid", "tiny-granitehybrid-moe"},
	"nemotron_h": {"tiny-nemotron"}, "nemotron_h_moe": {"tiny-nemotron-moe", "tiny-nemotron-latent"},
}

// Whatever one value of a file's metadata is, the model opens and computes, or there is an error, and
// opening it takes no more of Go's heap than the file and a little. Each key of a file is given some of
// the values, so that each value is given to some key; with EBB_TEST_ALL each is given all.
func TestAFileWithAnyValueInItsMetadataIsAnErrorOrWorks(t *testing.T) {
	requireDevice(t, "cpu")
	path := filepath.Join(t.TempDir(), "model.gguf")
	opened, refused, turn := 0, 0, 0
	for _, architecture := range ebb.Architectures() {
		if len(smallOf[architecture]) == 0 {
			t.Errorf("no small model of %s", architecture)
		}
		for _, name := range smallOf[architecture] {
			data := testmodel.Golden(t, name)
			file, err := gguf.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			values := testmodel.HostileValues(model.LayerCount(file))
			keys, own := testmodel.Keys(file)
			for k, key := range keys {
				for v, value := range values {
					if turn++; !testAll && (k >= own || turn%17 != 0) {
						continue
					}
					err := openOnce(t, path, testmodel.Edit(t, data, []gguf.KV{{Key: key, Value: value}}))
					switch {
					case errors.Is(err, errOpened):
						t.Errorf("%s with the value %d, %.60v, of %s: %v", name, v, value, key, err)
					case err == nil:
						opened++
					default:
						refused++
					}
				}
			}
		}
	}
	t.Logf("%d files opened, and %d were refused", opened, refused)
	if opened == 0 || refused == 0 {
		t.Error("the test shows nothing")
	}
}

// errOpened wraps what went wrong behind Open.
var errOpened = errors.New("the model was opened, but")

// openOnce writes a model to a file, opens it, computes with it and closes it.
func openOnce(t *testing.T, path string, data []byte) error {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e, err := ebb.Open(path, ebb.Options{Device: "cpu", Threads: 1, Context: 64, Cache: kv.Offloaded, ForcedCopies: true})
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(len(data))+4<<20 {
		t.Errorf("opening the file took %d bytes of Go's heap", n)
	}
	if err != nil {
		return err
	}
	s := e.NewSeq()
	_, err = e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: []int32{5, 6, 7}, Logits: 1}})
	ids := slices.Repeat([]int32{263}, 3)
	if text := e.Tokenizer().Decode(ids, false); err == nil && text == "" {
		err = errors.New("tokens have no text")
	}
	if err = errors.Join(err, s.Close(), e.Close()); err != nil {
		return errors.Join(errOpened, err)
	}
	return nil
}

package testmodel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The files of real models that make models fetches.
const (
	Gemma3    = "gemma-3-270m-q4_k_m.gguf"                // Gemma 3 270M, which knows no chat
	QwenCoder = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf" // Qwen2.5-Coder 0.5B Instruct
	SmolLM2   = "SmolLM2-135M-Instruct.Q4_1.gguf"         // SmolLM2 135M Instruct
)

// Real returns the path of a real model. It skips the test unless EBB_TEST_ALL is set, because what
// such models compute takes minutes, and where the model was not fetched.
func Real(tb testing.TB, file string) string {
	tb.Helper()
	if os.Getenv("EBB_TEST_ALL") == "" {
		tb.Skip("real models are tested where EBB_TEST_ALL is set")
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		tb.Skipf("no cache folder: %v", err)
	}
	path := filepath.Join(dir, "ebb", "models", file)
	if _, err := os.Stat(path); err != nil {
		tb.Skipf("%s is not in the cache: run make models", file)
	}
	return path
}

// Story returns a text of some sentences, all different, of words that every vocabulary has: text to
// fill a real model's context with.
func Story(sentences int) string {
	who := []string{"The farmer", "My sister", "A tired sailor", "The old doctor", "Our neighbour", "The young king", "A small child"}
	did := []string{"counted", "bought", "lost", "painted", "remembered", "sold", "found", "hid", "carried"}
	what := []string{"silver coins", "wooden boxes", "letters", "apples", "maps of the coast", "broken clocks", "white horses", "keys", "books", "lamps", "stories"}
	where := []string{"in the garden", "near the river", "at the station", "behind the church", "on the way home"}
	var b strings.Builder
	for i := range sentences {
		pick := func(of []string) string { return of[i%len(of)] } // the lengths have no common divisor
		b.WriteString(pick(who) + " " + pick(did) + " " + pick(what) + " " + pick(where) + ". ")
	}
	return b.String()
}

package ollama

import "testing"

func TestParametersAreWrittenAsOllamaDoes(t *testing.T) {
	for n, want := range map[int64]string{0: "", 494032768: "494.03M", 7615616512: "7.6B", 1235814432: "1.2B"} {
		if got := parameters(n); got != want {
			t.Errorf("%d parameters are %q, want %q", n, got, want)
		}
	}
}

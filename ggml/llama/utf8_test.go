package llama

import "testing"

func TestRepairReplacesWhatLibllamaCannotTake(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"ascii", "plain\x00text", "plain\x00text"},
		{"every length", "aé€😀", "aé€😀"},
		{"last code point", "\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
		{"first past the last", "\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
		{"five bits of nothing", "\xF7\xBF\xBF\xBF", "\uFFFD\uFFFD\uFFFD\uFFFD"},
		{"lone continuation", "ok\x80\x81ok", "ok\uFFFD\uFFFDok"},
		{"cut short", "a\xE2\x82", "a\uFFFD\uFFFD"},
		{"overlong", "\xC0\x80", "\uFFFD\uFFFD"},
		{"surrogate is kept", "\xED\xA0\x80", "\xED\xA0\x80"},
		{"surrogate cut short", "\xED\xA0", "\uFFFD\uFFFD"},
		{"U+FFFD itself", "\uFFFD", "\uFFFD"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := string(repair([]byte(tc.in))); got != tc.want {
				t.Errorf("repair(% x) = % x, want % x", tc.in, got, tc.want)
			}
		})
	}
}

package textfile

import "testing"

func TestTextIsReadWithoutByteOrderMark(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"a":                              "a",
		"\xEF\xBB\xBFé":                  "é",
		"a\xEF\xBB\xBF":                  "a\uFEFF", // one within the text belongs to it
		"\xFF\xFEa\x00\xE9\x00":          "aé",
		"\xFE\xFF\x00a\x00\xE9":          "aé",
		"\xFF\xFE\x3D\xD8\x99\xDD\n\x00": "\U0001F599\n",
		"\xFF\xFEa\x00\n":                "a", // half a character is cut off
		"\xFF\xFE\x00\xD8":               "\uFFFD",
	} {
		if got := string(Decode([]byte(text))); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

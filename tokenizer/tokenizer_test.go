package tokenizer_test

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml/llama"
	"github.com/seed4d217819/ebb/tokenizer"
)

// tiny has a token for every byte, <s>, </s>, <pad> and five merges.
const tiny = "../testdata/models/tiny-gqa.gguf"

func TestTinyModelsAllOpen(t *testing.T) {
	paths, err := filepath.Glob("../testdata/models/*.gguf")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no models: %v", err)
	}
	for _, path := range paths {
		tok := open(t, path)
		if got := tok.Size(); got != 264 {
			t.Errorf("%s: size %d, want 264", path, got)
		}
		ids, err := tok.Encode("in there</s>", tokenizer.Options{AddSpecial: true, ParseSpecial: true})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int32{261, 259, 260, 263, 257}, ids); diff != "" {
			t.Errorf("%s: ids (-want +got):\n%s", path, diff)
		}
	}
}

func TestDecodeLeavesSpecialTokensOutWhenAsked(t *testing.T) {
	tok := open(t, tiny)
	ids := []int32{256, 261, 259, 260, 257}
	for skip, want := range map[bool]string{false: "<s>in the</s>", true: "in the"} {
		if got := tok.Decode(ids, skip); got != want {
			t.Errorf("Decode, skip special %t = %q, want %q", skip, got, want)
		}
		if got := streamed(tok, ids, skip); got != want {
			t.Errorf("Decoder, skip special %t = %q, want %q", skip, got, want)
		}
	}
}

func TestPiecesAreTheBytesOfSingleTokens(t *testing.T) {
	tok := open(t, tiny)
	for _, tc := range []struct {
		id      int32
		special bool
		want    string
	}{{259, false, " t"}, {257, false, ""}, {257, true, "</s>"}, {0xFF, false, "\xFF"}} {
		if got, err := tok.Piece(tc.id, tc.special); string(got) != tc.want || err != nil {
			t.Errorf("Piece(%d, %t) = %q, %v; want %q", tc.id, tc.special, got, err, tc.want)
		}
	}
	if _, err := tok.Piece(264, true); err == nil {
		t.Error("Piece of an id outside the vocabulary: no error")
	}
}

func TestUnknownIdsBecomeReplacementCharacters(t *testing.T) {
	tok := open(t, tiny)
	ids := []int32{-1, 'a', 264, 1<<31 - 1, 'b', -1 << 31}
	const want = "\uFFFDa\uFFFD\uFFFDb\uFFFD"
	if got := tok.Decode(ids, true); got != want {
		t.Errorf("Decode = %q, want %q", got, want)
	}
	if got := streamed(tok, ids, true); got != want {
		t.Errorf("Decoder = %q, want %q", got, want)
	}
}

func TestDecoderHoldsUnfinishedCharactersBack(t *testing.T) {
	tok := open(t, tiny)
	for _, tc := range []struct {
		name string
		ids  []int32
		want []string // after each id, then of Flush
	}{
		{"four bytes", []int32{0xF0, 0x9F, 0x98, 0x80}, []string{"", "", "", "😀", ""}},
		{"never finished", []int32{'a', 0xE2, 0x82}, []string{"a", "", "", "\xE2\x82"}},
		{"broken off", []int32{0xE2, 0x82, 'b'}, []string{"", "", "\xE2\x82b", ""}},
		{"cannot become a character", []int32{0xFF, 0x80, 0xC0}, []string{"\xFF", "\x80", "\xC0", ""}},
		{"two begin", []int32{0xE2, 0xC3, 0xA9}, []string{"", "\xE2", "é", ""}},
		{"a special token between", []int32{0xC3, 257, 0xA9}, []string{"", "", "é", ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := tok.NewDecoder(true)
			var got []string
			for _, id := range tc.ids {
				got = append(got, d.Next(id))
			}
			got = append(got, d.Flush())
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if again := d.Flush(); again != "" {
				t.Errorf("a second Flush gives %q", again)
			}
		})
	}
}

func TestTextSurvivesTheRoundTrip(t *testing.T) {
	tok := open(t, tiny)
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.String().Draw(rt, "text")
		parse := rapid.Bool().Draw(rt, "parse special")
		roundTrip(rt, tok, text, parse)
	})
}

// SmolLM2 has no token for some control characters and for the planes from the fourth on, and drops
// them.
func TestTextSurvivesTheRoundTripOfSmolLM2(t *testing.T) {
	tok := smollm2(t)
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune("\t\n \u00a0azAZ09.,'<|>_{}éßñ中文日本語한국어हिन्दी😀👋🏽\u200d"))).Draw(rt, "text")
		roundTrip(rt, tok, text, false)
	})
}

func roundTrip(t *rapid.T, tok *tokenizer.Tokenizer, text string, parse bool) {
	ids, err := tok.Encode(text, tokenizer.Options{ParseSpecial: parse})
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.Decode(ids, false); got != text {
		t.Fatalf("Decode(Encode(%q)) = %q", text, got)
	}
	if got := streamed(tok, ids, false); got != text {
		t.Fatalf("the Decoder gives %q for %q", got, text)
	}
}

func TestInvalidTextIsEncodedAsReplacementCharacters(t *testing.T) {
	tok := open(t, tiny)
	for _, text := range []string{"\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xF7\xBF\xBF\xBF", "a\xFFb", "\xC0\x80"} {
		got, err := tok.Encode(text, tokenizer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want, err := tok.Encode(strings.Map(func(r rune) rune { return r }, text), tokenizer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("% x (-want +got):\n%s", text, diff)
		}
	}
}

func TestOneTokenizerServesManyGoroutines(t *testing.T) {
	tok := open(t, tiny)
	const text = "then, in the end: 中文 😀 </s>"
	want, err := tok.Encode(text, tokenizer.Options{ParseSpecial: true})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				got, err := tok.Encode(text, tokenizer.Options{ParseSpecial: true})
				if err != nil || !cmp.Equal(got, want) {
					t.Errorf("ids %v, %v; want %v", got, err, want)
					return
				}
				if back := tok.Decode(got, false); back != text {
					t.Errorf("text %q, want %q", back, text)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestCloseWaitsForCallsAndEndsTheRest(t *testing.T) {
	tok, err := tokenizer.Open(tiny)
	if err != nil {
		t.Fatal(err)
	}
	d := tok.NewDecoder(true)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				if _, err := tok.Encode("the end", tokenizer.Options{}); err != nil {
					if !errors.Is(err, llama.ErrClosed) {
						t.Errorf("error %v, want ErrClosed", err)
					}
					return
				}
			}
		})
	}
	if err := tok.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if got := tok.Decode([]int32{'a'}, true) + d.Next('a'); got != "" {
		t.Errorf("text after Close: %q, want none", got)
	}
}

func TestTokensAreReadAfterCloseWhileTheVocabularyIsHeld(t *testing.T) {
	tok, err := tokenizer.Open(tiny)
	if err != nil {
		t.Fatal(err)
	}
	release, other := tok.Hold(), tok.Hold()
	for range 2 {
		if err := tok.Close(); err != nil {
			t.Error(err)
		}
	}
	release()
	release()
	if got := tok.Spell('a'); got != "a" {
		t.Errorf("the token a is %q while the vocabulary is held", got)
	}
	other()
	if got := tok.Spell('a'); got != "" {
		t.Errorf("the token a is %q when nobody holds the vocabulary", got)
	}
}

// FuzzEncode also decodes what the bytes are as ids: whatever it is given, the C library must not
// end the process.
func FuzzEncode(f *testing.F) {
	tok := open(f, tiny)
	for _, seed := range []string{
		"", "plain text", "</s><s>", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xF7\xBF\xBF\xBF", "a\xF6\xA0\x90\x80b",
		"\xED\xA0\x80\xED\xBF\xBF", "\xC0\x80", "\xE2\x82", "\x00\x04", strings.Repeat("a", 5000), "<|im_start|>",
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, special bool) {
		ids, err := tok.Encode(string(data), tokenizer.Options{AddSpecial: special, ParseSpecial: special})
		if err != nil {
			t.Fatal(err)
		}
		text := tok.Decode(ids, false)
		if utf8.Valid(data) && text != string(data) {
			t.Errorf("%q comes back as %q", data, text)
		}
		hostile := make([]int32, len(data))
		for i, b := range data {
			hostile[i] = int32(b)<<(i%25) - 1
		}
		if got, want := streamed(tok, hostile, false), tok.Decode(hostile, false); got != want {
			t.Errorf("ids %v: the Decoder gives %q, Decode %q", hostile, got, want)
		}
	})
}

// A text asks for each of its tokens, and the answers leave nothing to the garbage collector but the text.
func TestTextsOfTokensLeaveNoGarbage(t *testing.T) {
	tok := open(t, tiny)
	if n := testing.AllocsPerRun(100, func() { _ = tok.Spell('a') + tok.Control('a') }); n > 0 {
		t.Errorf("what spells a token leaves %v objects, want none", n)
	}
	d := tok.NewDecoder(true)
	if n := testing.AllocsPerRun(100, func() { _ = d.Next('a') }); n > 1 {
		t.Errorf("the text of a token leaves %v objects, want at most 1", n)
	}
}

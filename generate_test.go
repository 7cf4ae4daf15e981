package ebb_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

const tinyGQA = "testdata/models/tiny-gqa.gguf"

// endless never ends a text by itself.
var endless = ebb.TokenIDs{}

// openEngine opens a tiny model with f32 K/V, or skips the test.
func openEngine(t *testing.T, o ebb.Options) *ebb.Engine {
	t.Helper()
	if _, err := ggml.Load(); errors.Is(err, ggml.ErrNoLibrary) {
		t.Skip("no ggml libraries: run make libs")
	}
	o.KVType, o.Threads = "f32", 1
	e, err := ebb.Open(tinyGQA, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// newSeq returns a sequence that is closed at the end of the test.
func newSeq(t *testing.T, e *ebb.Engine) *kv.Seq {
	t.Helper()
	seq := e.NewSeq()
	t.Cleanup(func() {
		if err := seq.Close(); err != nil {
			t.Error(err)
		}
	})
	return seq
}

// greedyCase is what Hugging Face generated from a prompt.
type greedyCase struct{ Prompt, IDs []int32 }

func greedyCases(t *testing.T) []greedyCase {
	t.Helper()
	data, err := os.ReadFile("testdata/cases/greedy_tiny-gqa.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []greedyCase }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return file.Cases
}

// generateIDs collects a stream of tokens.
func generateIDs(ctx context.Context, e *ebb.Engine, seq *kv.Seq, prompt []int32, c ebb.GenerationConfig) (ids []int32, err error) {
	for token, err := range e.GenerateTokens(ctx, seq, prompt, c) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, token.ID)
	}
	return ids, nil
}

func TestGenerateTokensContinuesWhatTheSequenceHolds(t *testing.T) {
	e := openEngine(t, ebb.Options{Cache: kv.Offloaded, ForcedCopies: true})
	for _, tc := range greedyCases(t) {
		seq := newSeq(t, e)
		half := ebb.GenerationConfig{MaxNewTokens: 32, EOSTokenID: endless}
		got, err := generateIDs(t.Context(), e, seq, tc.Prompt, half)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := seq.Len(), len(tc.Prompt)+31; got != want {
			t.Errorf("the sequence holds %d tokens, want %d: all but the last", got, want)
		}
		rest, err := generateIDs(t.Context(), e, seq, got[31:], half)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append(got, rest...), tc.IDs); diff != "" {
			t.Errorf("prompt of %d tokens (-got +want):\n%s", len(tc.Prompt), diff)
		}
	}
}

func TestContinueTokensComputesNoPromptAgain(t *testing.T) {
	e := openEngine(t, ebb.Options{})
	tc := greedyCases(t)[1]
	seq := newSeq(t, e)
	rows, err := e.Forward(t.Context(), []kv.Work{{Seq: seq, Tokens: tc.Prompt, Logits: 2}})
	if err != nil {
		t.Fatal(err)
	}
	var ids []int32
	for token, err := range e.ContinueTokens(t.Context(), seq, rows[0][1], ebb.GenerationConfig{MaxNewTokens: 10, EOSTokenID: endless}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, token.ID)
	}
	if diff := cmp.Diff(ids, tc.IDs[:10]); diff != "" {
		t.Errorf("ids (-got +want):\n%s", diff)
	}
	if got, want := e.Stats().Cache.Steps, 10; got != want { // the prompt, and all new tokens but the last
		t.Errorf("%d steps, want %d", got, want)
	}
}

func TestGenerateYieldsWholeCharactersAndFreesItsCells(t *testing.T) {
	e := openEngine(t, ebb.Options{Cache: kv.Offloaded, ForcedCopies: true})
	c := ebb.GenerationConfig{MaxNewTokens: 20, EOSTokenID: endless}
	var pieces []string
	for text, err := range e.Generate(t.Context(), "\x16", c) { // token 22
		if err != nil {
			t.Fatal(err)
		}
		pieces = append(pieces, text)
	}
	want := string([]rune(e.Tokenizer().Decode(greedyCases(t)[0].IDs[:20], true))) // U+FFFD for bytes that are not UTF-8
	if got := strings.Join(pieces, ""); got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	if got := e.Stats().Cache.HostBytes; got != 0 {
		t.Errorf("%d bytes of K/V left after the stream, want 0", got)
	}
	for _, err := range e.Generate(t.Context(), "\x16", c) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	if got := e.Stats().Cache.HostBytes; got != 0 {
		t.Errorf("%d bytes of K/V left after break, want 0", got)
	}
}

func TestAFullCacheKeepsWhatWasGeneratedAndWorksAfterTruncate(t *testing.T) {
	for _, policy := range []kv.Policy{kv.Dynamic, kv.Static, kv.Offloaded, kv.OffloadedStatic} {
		t.Run(policy.String(), func(t *testing.T) {
			e := openEngine(t, ebb.Options{Cache: policy, Context: 10})
			tc := greedyCases(t)[0]
			seq := newSeq(t, e)
			c := ebb.GenerationConfig{MaxNewTokens: 50, EOSTokenID: endless}
			got, err := generateIDs(t.Context(), e, seq, tc.Prompt, c)
			if !errors.Is(err, kv.ErrFull) {
				t.Errorf("error %v, want %v", err, kv.ErrFull)
			}
			if diff := cmp.Diff(got, tc.IDs[:10]); diff != "" {
				t.Errorf("ids before the error (-got +want):\n%s", diff)
			}
			if err := seq.Truncate(5); err != nil {
				t.Fatal(err)
			}
			c.MaxNewTokens = 5
			again, err := generateIDs(t.Context(), e, seq, tc.IDs[4:5], c)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(again, tc.IDs[5:10]); diff != "" {
				t.Errorf("ids after Truncate (-got +want):\n%s", diff)
			}
		})
	}
}

func TestBreakAndCancelLeaveTheSequenceUsable(t *testing.T) {
	e := openEngine(t, ebb.Options{Cache: kv.OffloadedStatic, ForcedCopies: true})
	tc := greedyCases(t)[0]
	seq := newSeq(t, e)
	c := ebb.GenerationConfig{MaxNewTokens: 50, EOSTokenID: endless}
	n := 0
	for _, err := range e.GenerateTokens(t.Context(), seq, tc.Prompt, c) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 4 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := generateIDs(ctx, e, seq, tc.IDs[3:4], c); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if got, want := seq.Len(), len(tc.Prompt)+3; got != want {
		t.Errorf("the sequence holds %d tokens, want %d", got, want)
	}
	c.MaxNewTokens = 6
	got, err := generateIDs(t.Context(), e, seq, tc.IDs[3:4], c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, tc.IDs[4:10]); diff != "" {
		t.Errorf("ids afterwards (-got +want):\n%s", diff)
	}
}

func TestWhatCannotBeGeneratedIsRefusedBeforeAnythingIsComputed(t *testing.T) {
	e := openEngine(t, ebb.Options{Cache: kv.Static, Context: 30})
	for _, tt := range []struct {
		name   string
		prompt int
		config ebb.GenerationConfig
		is     error
		want   string
	}{
		{"prompt", 31, ebb.GenerationConfig{MaxNewTokens: 1}, ebb.ErrPromptTooLong, "31 tokens, and the context holds 30"},
		{"max_length", 25, ebb.GenerationConfig{MaxLength: 21}, nil, "the prompt has 25 tokens, and max_length is 21"},
		{"config", 1, ebb.GenerationConfig{NumBeams: 2}, nil, "num_beams is 2"},
		{"more texts than tokens", 1, ebb.GenerationConfig{DoSample: true, NumReturnSequences: 1 << 40}, nil, "num_return_sequences is 1099511627776"},
		{"more beams than tokens", 1, ebb.GenerationConfig{NumBeams: 31, NumReturnSequences: 2}, nil, "num_beams is 31: want at most 30"},
		{"another cache", 1, ebb.GenerationConfig{CacheImplementation: "offloaded"}, nil, `"offloaded", and the engine was opened with "static"`},
		{"a larger cache", 1, ebb.GenerationConfig{CacheConfig: &ebb.CacheConfig{MaxCacheLen: 31}}, nil, "max_cache_len is 31"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := generateIDs(t.Context(), e, newSeq(t, e), make([]int32, tt.prompt), tt.config)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v, want %v", err, tt.is)
			}
			if got := e.Stats().Cache.Steps; got != 0 {
				t.Errorf("%d steps were computed, want none", got)
			}
		})
	}
}

// All of the text that is generated comes, whatever the pieces, up to the stop string.
func TestAStopStringAcrossTokensEndsTheTextBeforeIt(t *testing.T) {
	e := openEngine(t, ebb.Options{})
	tc := greedyCases(t)[0]
	whole := e.Tokenizer().Decode(tc.IDs[:12], true)
	for _, stop := range []string{whole[2:5], whole[4:6], whole[7:8], whole[:2], "never there"} {
		c := ebb.GenerationConfig{MaxNewTokens: 12, EOSTokenID: endless, StopStrings: ebb.Strings{"nor there", stop}}
		want, _, found := strings.Cut(whole, stop)
		var text strings.Builder
		for piece, err := range e.Generate(t.Context(), "\x16", c) { // token 22
			if err != nil {
				t.Fatal(err)
			}
			text.WriteString(piece)
		}
		if got, want := text.String(), string([]rune(want)); got != want { // U+FFFD for bytes that are not UTF-8
			t.Errorf("stop string %q: text %q, want %q", stop, got, want)
		}
		ids, err := generateIDs(t.Context(), e, newSeq(t, e), tc.Prompt, c)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Tokenizer().Decode(ids, true); found && (!strings.Contains(got, stop) || strings.Contains(e.Tokenizer().Decode(ids[:len(ids)-1], true), stop)) {
			t.Errorf("stop string %q: tokens of %q, want those up to the one that completes it", stop, got)
		}
	}
}

func TestNoTextOfABeamSearchHasAStopString(t *testing.T) {
	e := openEngine(t, ebb.Options{})
	c := ebb.GenerationConfig{MaxNewTokens: 12, NumBeams: 4, NumReturnSequences: 4, EOSTokenID: endless}
	before, err := e.Complete(t.Context(), []int32{22}, c)
	if err != nil {
		t.Fatal(err)
	}
	stop := before[0].Text[3:5]
	c.StopStrings, c.LengthPenalty = ebb.Strings{stop}, new(0.0) // short texts are better
	after, err := e.Complete(t.Context(), []int32{22}, c)
	if err != nil {
		t.Fatal(err)
	}
	stopped := 0
	for _, s := range after {
		if strings.Contains(s.Text, stop) {
			t.Errorf("text %q has the stop string %q", s.Text, stop)
		}
		if s.Finish == generate.StopString {
			stopped++
		}
	}
	if stopped == 0 {
		t.Errorf("no beam was ended by %q", stop)
	}
}

func TestGenerateYieldsTheBestTextOfABeamSearch(t *testing.T) {
	e := openEngine(t, ebb.Options{})
	c := ebb.GenerationConfig{MaxNewTokens: 12, NumBeams: 4, NumReturnSequences: 2, EOSTokenID: endless}
	want, err := e.Complete(t.Context(), []int32{22}, c)
	if err != nil {
		t.Fatal(err)
	}
	var pieces []string
	for text, err := range e.Generate(t.Context(), "\x16", c) {
		if err != nil {
			t.Fatal(err)
		}
		pieces = append(pieces, text)
	}
	if diff := cmp.Diff(pieces, []string{want[0].Text}); diff != "" {
		t.Errorf("text (-got +want):\n%s", diff)
	}
	c.MaxNewTokens = 0
	c.MaxLength = 1
	for _, err := range e.Generate(t.Context(), "\x16", c) {
		if err == nil {
			t.Error("a prompt as long as max_length was taken")
		}
	}
}

func TestAGrammarHoldsForEverySearch(t *testing.T) {
	e := openEngine(t, ebb.Options{})
	pieces, err := e.Pieces()
	if err != nil {
		t.Fatal(err)
	}
	g, err := pieces.Grammar(`root ::= "the " [0-9] [0-9]? " men" "."?`)
	if err != nil {
		t.Fatal(err)
	}
	follows := regexp.MustCompile(`^the [0-9][0-9]? men\.?$`)
	for name, c := range map[string]ebb.GenerationConfig{
		"greedy":  {},
		"lookup":  {PromptLookupNumTokens: 4},
		"sampled": {DoSample: true, Seed: new(uint64(1)), NumReturnSequences: 4},
		"beams":   {NumBeams: 4, NumReturnSequences: 4},
		"drawn":   {NumBeams: 4, NumReturnSequences: 4, DoSample: true, Seed: new(uint64(2))},
		"groups":  {NumBeams: 4, NumBeamGroups: 2, DiversityPenalty: 1, NumReturnSequences: 4},
	} {
		t.Run(name, func(t *testing.T) {
			c.MaxNewTokens, c.Grammar, c.EOSTokenID = 20, g, ebb.TokenIDs{257}
			found, err := e.Complete(t.Context(), prompt(4, 9), c)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range found {
				if !follows.MatchString(s.Text) || s.Finish != generate.EndToken {
					t.Errorf("text %q (%v), want one that follows the grammar and ends", s.Text, s.Finish)
				}
			}
		})
	}
}

func TestCompleteGrammarEndsATextWithoutEndTokens(t *testing.T) {
	e, c := openEngine(t, ebb.Options{}), grammarConfig(t, `root ::= "ab"`)
	c.EOSTokenID = endless
	for _, beams := range []int{1, 2} {
		c.NumBeams = beams
		found, err := e.Complete(t.Context(), []int32{22}, c)
		if err != nil {
			t.Errorf("%d beams: %v", beams, err)
		}
		if len(found) != 1 || found[0].Text != "ab" || found[0].Finish != generate.GrammarEnd {
			t.Errorf("%d beams: found %+v, want the complete text, ended by the grammar", beams, found)
		}
	}
	c.NumBeams = 1
	var finish []generate.Finish
	for token, err := range e.GenerateTokens(t.Context(), newSeq(t, e), []int32{22}, c) {
		if err != nil {
			t.Errorf("stream: %v", err)
		}
		finish = append(finish, token.Finish)
	}
	if n := len(finish); n == 0 || finish[n-1] != generate.GrammarEnd {
		t.Errorf("tokens of the stream finish by %v, want the last one by %v", finish, generate.GrammarEnd)
	}
}

func TestGrammarThatCannotGoOnIsAnErrorAndKeepsTheText(t *testing.T) {
	e, c := openEngine(t, ebb.Options{}), grammarConfig(t, `root ::= "ab"`)
	c.EOSTokenID, c.MinNewTokens = ebb.TokenIDs{257}, 9 // neither the grammar nor the end may go on
	for _, beams := range []int{1, 2} {
		c.NumBeams = beams
		found, err := e.Complete(t.Context(), []int32{22}, c)
		if err == nil || !strings.Contains(err.Error(), "token 3: ") {
			t.Errorf("%d beams: error %v, want one that names token 3", beams, err)
		}
		if len(found) != 1 || found[0].Text != "ab" {
			t.Errorf("%d beams: found %+v, want what came before", beams, found)
		}
	}
}

// grammarConfig returns a config whose texts follow a grammar.
func grammarConfig(t *testing.T, gbnf string) ebb.GenerationConfig {
	t.Helper()
	pieces, err := openEngine(t, ebb.Options{}).Pieces()
	if err != nil {
		t.Fatal(err)
	}
	g, err := pieces.Grammar(gbnf)
	if err != nil {
		t.Fatal(err)
	}
	return ebb.GenerationConfig{MaxNewTokens: 9, Grammar: g}
}

package main

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
)

func TestEveryFieldOfAGenerationConfigHasAFlagOrIsRefusedAsOne(t *testing.T) {
	flags, fields := fieldNames(), []string{"bos_token_id", "use_cache"} // a file may have these two; they say nothing
	for field := range reflect.TypeFor[ebb.GenerationConfig]().Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" {
			fields = append(fields, name)
		}
	}
	slices.Sort(flags)
	slices.Sort(fields)
	if diff := cmp.Diff(flags, fields); diff != "" {
		t.Errorf("flags (-got +want):\n%s", diff)
	}
}

func TestTheDocumentationExplainsEveryField(t *testing.T) {
	doc, err := os.ReadFile("../../docs/generation.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range fieldNames() {
		if rows := strings.Count(string(doc), "\n| `"+name+"` | "); rows != 1 {
			t.Errorf("docs/generation.md has %d rows for %s, want 1", rows, name)
		}
	}
}

// fieldNames returns the fields that have a flag or are refused as one.
func fieldNames() (names []string) {
	for _, f := range generationFields {
		names = append(names, f.name)
	}
	for _, f := range fieldsWithoutFlag {
		names = append(names, f.name)
	}
	return names
}

func TestTextsOfFlagsBecomeJSON(t *testing.T) {
	for _, tt := range []struct {
		kind  fieldKind
		given []string
		want  string
	}{
		{number, []string{"3"}, `3`},
		{number, []string{"3", "4"}, `4`}, // the last one wins
		{number, []string{"-1.5e3"}, `-1.5e3`},
		{number, []string{".5"}, `0.5`},
		{number, []string{"+1"}, `1`},
		{number, []string{"inf"}, `"inf"`},
		{number, []string{"null"}, `"null"`},
		{number, []string{""}, `""`},
		{yesNo, []string{"true"}, `true`},
		{yesNo, []string{"yes"}, `"yes"`},
		{word, []string{"false"}, `false`},
		{word, []string{"never"}, `"never"`},
		{text, []string{`a "b"`}, `"a \"b\""`},
		{texts, []string{"a,b", ""}, `["a,b",""]`},
		{ids, []string{"3,7"}, `[3,7]`},
		{ids, []string{" 3, 7"}, `[3,7]`},
		{ids, []string{"[3, 7]"}, `[3, 7]`},
		{ids, []string{""}, `[]`},
		{ids, []string{"3,,7"}, `[3,"",7]`},
		{pair, []string{"5,1.1"}, `[5,1.1]`},
		{raw, []string{`[[4],[5,6]]`}, `[[4],[5,6]]`},
		{raw, []string{`[[4]`}, `"[[4]"`},
	} {
		if got := string(tt.kind.toJSON(tt.given)); got != tt.want {
			t.Errorf("%v as kind %d: %s, want %s", tt.given, tt.kind, got, tt.want)
		}
	}
}

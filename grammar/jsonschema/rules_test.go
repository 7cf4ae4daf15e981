package jsonschema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/grammar"
	"github.com/seed4d217819/ebb/grammar/internal/grammartest"
)

func ExampleRules() {
	r := NewRules()
	schema := []byte(`{"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}`)
	lines, err := r.Members(schema, Spelling{Stop: "\n", Outermost: true}, func(name, value string) string {
		return grammar.Literal(name+"=") + " " + value + ` "\n"`
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	gbnf, err := r.Grammar(lines)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(gbnf)
	// Output:
	// root ::= members
	// members ::= "city=" city "\n" ("days=" days "\n")?
	// days ::= integer
	// city ::= own-string
	// own-string ::= text
	// text ::= "" | [\x09\x20-\x7E\x80-\U0010FFFF] text
	// integer ::= "0" | "-"? [1-9] [0-9]{0,14}
}

func TestSpellingsAllowTheirTexts(t *testing.T) {
	const schema = `{"type": "object", "properties": {
		"a": {"type": "string"}, "odd name": {"enum": ["x<y", 1, ["<"], {"k<": null}]}, "c": {"type": "string", "minLength": 2, "maxLength": 3},
		"d": {"type": "string", "format": "date"}, "e": {"pattern": "^[<a]+$", "type": "string"}, "f": {"items": {"type": "string"}, "type": "array"}, "g": {}, "h": {"type": "object", "additionalProperties": {"type": "null"}}}}`
	quotes := Spelling{Stop: "$$", Quote: `"$$"`, Bare: true}
	raw := Spelling{Stop: "<end>", Outermost: true}
	each := func(name, value string) string { return grammar.Literal(name+":") + " " + value + ` "<end>"` }
	for _, tc := range []struct {
		name    string
		write   func(*Rules) (string, error)
		yes, no []string
	}{
		{
			"with quotes of its own", func(r *Rules) (string, error) { return r.Object([]byte(schema), quotes) },
			[]string{
				"{}", "{a:$$$$}", "{a:$$x\"y<\n$z$$}", "{$$odd name$$:$$x<y$$}", "{$$odd name$$:1}", "{$$odd name$$:[$$<$$]}", "{$$odd name$$:{$$k<$$:null}}", "{c:$$ab$$,d:$$2024-02-03$$}", "{e:$$<a<$$}",
				"{f:[$$$$,$$b$$]}", "{g:[1,{$$x$$:$$y$$},$$z$$,null]}", "{h:{}}", "{h:{$$n$$:null,$$$$:null}}",
			},
			[]string{`{"a":$$$$}`, "{a: $$$$}", `{a:"x"}`, "{a:$$x$$y$$}", "{c:$$a$$}", "{d:$$2024-13-03$$}", "{e:$$b$$}", "{a:$$\x01$$}", "{h:{n:null}}"},
		},
		{
			"as it is", func(r *Rules) (string, error) { return r.Members([]byte(schema), raw, each) },
			[]string{
				"", "a:<end>", "a:x\"y<\n<e<end>", "odd name:x<y<end>", "odd name:1<end>", "odd name:[\"\\u003c\"]<end>", "odd name:{\"k\\u003c\": null}<end>", "c:ab<end>d:2024-02-03<end>",
				"f:[\"\", \"b\"]<end>", "g:whatever 1<end>", "h:{\"n\": null}<end>",
			},
			[]string{"d:2024-02-03<end>c:ab<end>", "a:x<end>y<end>", "f:[\"<end>\"]<end>", "f:[\"<\"]<end>", "f:[b]<end>", "e:<<end>", "h:{\"<\": null}<end>"},
		},
		{
			"texts without others", func(r *Rules) (string, error) { return r.TextWithout("aab", "ba"), nil },
			[]string{"", "a", "aaa", "ab", "abb", "xaax", "bb"},
			[]string{"aab", "ba", "xaab", "aaab", "abba", "xbax"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewRules()
			root, err := tc.write(r)
			if err != nil {
				t.Fatal(err)
			}
			gbnf, err := r.Grammar(root)
			if err != nil {
				t.Fatal(err)
			}
			g, err := grammar.New(grammartest.Letters(), gbnf)
			if err != nil {
				t.Fatal(err)
			}
			p := g.Processor(0, nil)
			for _, text := range tc.yes {
				if !grammartest.Matches(p, text) {
					t.Errorf("%s is not allowed", text)
				}
			}
			for _, text := range tc.no {
				if grammartest.Matches(p, text) {
					t.Errorf("%s is allowed", text)
				}
			}
		})
	}
}

// A schema with a fault leaves no trace in those that follow, and references are to its own definitions.
func TestSchemasOfOneGrammarAreReadEachForItself(t *testing.T) {
	r := NewRules()
	if _, err := r.Object([]byte(`{"type": "object", "properties": {"a": {"type": "strin"}}}`), Spelling{}); err == nil || !strings.Contains(err.Error(), `#/properties/a: type "strin" is unknown`) {
		t.Errorf("error %v", err)
	}
	var exprs []string
	for _, value := range []string{"1", "2"} {
		expr, err := r.Object([]byte(`{"type": "object", "properties": {"a": {"$ref": "#/$defs/d"}}, "required": ["a"], "$defs": {"d": {"const": `+value+`}}}`), Spelling{})
		if err != nil {
			t.Fatal(err)
		}
		exprs = append(exprs, expr)
	}
	gbnf, err := r.Grammar(strings.Join(exprs, ` ";" `))
	if err != nil {
		t.Fatal(err)
	}
	g, err := grammar.New(grammartest.Letters(), gbnf)
	if err != nil {
		t.Fatal(err)
	}
	if p := g.Processor(0, nil); !grammartest.Matches(p, `{"a":1};{"a":2}`) || grammartest.Matches(p, `{"a":2};{"a":2}`) {
		t.Errorf("the grammar is\n%s", gbnf)
	}
}

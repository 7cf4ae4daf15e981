package jsonschema_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/grammar/jsonschema"
)

func Example() {
	gbnf, err := jsonschema.Grammar([]byte(`{
		"type": "object",
		"properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0, "maximum": 149}},
		"required": ["name"]
	}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(gbnf)
	// Output:
	// root ::= part
	// part ::= "{" ws member "}"
	// member ::= "\"name\":" ws name more
	// more ::= "," ws "\"age\":" ws age ws | ws
	// age ::= [0-9] | [1-9] [0-9] | "1" ([0-4] [0-9])
	// name ::= string
	// char ::= plain | "\\" (["\\/bfnrt] | "u" ([0-9a-cefA-CEF] hex{3} | [dD] [0-7] hex{2}))
	// hex ::= [0-9a-fA-F]
	// plain ::= [^"\\\x00-\x1F\x7F]
	// string ::= "\"" char* "\""
	// ws ::= "" | " " | "\n" [ \t]{0,20}
}

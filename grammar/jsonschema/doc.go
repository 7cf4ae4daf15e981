// Package jsonschema writes JSON schemas as grammars: texts that follow the grammar of a schema are
// valid by the schema.
//
// A schema is read once, part by part; [Grammar] lists the keywords that are supported. Each part
// becomes a rule of a grammar in GBNF, which package grammar keeps output to. Patterns are the
// regular expressions of ECMA-262, as the standard says (ecma.go). A keyword that a grammar cannot
// express is an error with its place in the schema.
package jsonschema

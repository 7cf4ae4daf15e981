// Package jsonschema writes JSON schemas as grammars: texts that follow the grammar of a schema are valid by the schema.
//
// A schema is read once, part by part ([Grammar] says what is known of JSON Schema). Each part becomes a rule of a grammar in
// GBNF, which package grammar keeps output to. Patterns are the regular expressions of ECMA-262, as the standard says
// (pattern.go). What a schema asks for and a grammar cannot do is an error with the place in the schema.
package jsonschema

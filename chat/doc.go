// Package chat renders a conversation as the text that a model was trained on, with the Jinja
// template that comes in the model's file. Its nouns are
//
//   - [Message]: who says what;
//   - [Template]: a compiled template;
//   - [Vars]: the spellings of tokens that templates refer to.
//
// The text is that of Python's jinja2 with the settings of transformers, or there is an error: see
// package chat/jinja, which also bounds what a template, a program by whoever made the file, can
// take.
package chat

// Package chat renders a conversation as the text that a model was trained on, with the Jinja
// template that comes in the model's file, and reads the model's answers back. Its nouns are
//
//   - [Message]: who says, thinks or calls what, or the result of a call;
//   - [Tool]: a function that the model may call;
//   - [Template]: a compiled template;
//   - [Vars]: the spellings of tokens that templates refer to;
//   - [Format]: how a family of models writes reasoning and tool calls, and the grammar of its calls;
//   - [Parser]: turns an answer, as it comes, into events;
//   - [Event]: a part of an answer: text, reasoning, or a part of a call.
//
// The text is that of Python's jinja2 with the settings of transformers, or there is an error: see
// package chat/jinja, which also bounds what a template, a program by whoever made the file, can
// take. A parser loses nothing: what is no well-formed call is text.
package chat

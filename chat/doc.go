// Package chat renders a conversation as the text that a model was trained on,
// with the Jinja template that comes in the model's file. Its nouns are
//
//   - [Message]: who says what;
//   - [Template]: a compiled template;
//   - [Vars]: the spellings of tokens that templates refer to.
//
// White space comes out exactly as in Jinja with the settings of transformers;
// what is within tags is the interpreter's (github.com/ardanlabs/jinja).
//
// A template is a program by whoever made the file. Rendering is bounded: the
// source, the output, the time, how deep macros call each other and how long a
// range is; whatever passes a bound, and whatever panics, is an error. What the
// interpreter gives no hold on is the memory that one expression takes, such as
// a string multiplied by a billion, and a list or dict made to contain itself
// and then printed: a template that is not trusted at all needs a process of its
// own.
package chat

// Package jinja renders Jinja templates as Python's jinja2 3.1.6 does with the settings of
// transformers: trim_blocks and lstrip_blocks on, the immutable sandbox, loop controls, the
// generation tag, raise_exception, strftime_now and tojson without escapes for HTML. Its nouns are
//
//   - [Template]: a parsed template;
//   - [Value]: what a template computes with, as Python knows it;
//   - [Limits]: what one rendering may take.
//
// A template renders exactly as in Python, or [Template.Render] returns an error. Where this
// package does not implement something that Python has, the error wraps [ErrUnsupported] and names
// it; nothing is skipped or guessed.
//
// A template is a program by whoever made a model's file. Rendering counts its steps, its bytes and
// its depth, and returns an error that wraps [ErrLimit] when one of them passes its limit.
//
// Within the package an error of a template is a panic with an [*Error], which [Parse] and
// [Template.Render] recover: nearly every function can fail, and none can go on.
package jinja

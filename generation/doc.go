// Package generation is Hugging Face's generation configuration: its fields, their JSON, and what
// may be in them.
//
// A [Config] is one configuration. [Load] reads it from a file, [Config.Validate] reports what is
// wrong with it, [Config.Warnings] reports what has no effect, and [Config.Search] turns it into
// the search that package generate carries out.
//
// Names, defaults and rules are those of Hugging Face transformers 4.49.
package generation

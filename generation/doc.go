// Package generation is Hugging Face's generation configuration: its fields, their JSON, and what
// may be in them.
// [Config] is one, [Load] reads a file, [Config.Validate] reports what is wrong, [Config.Warnings] what has no effect, and
// [Config.Search] turns it into what package generate carries out.
//
// Names, defaults and rules are those of Hugging Face transformers 4.49.
package generation

// Package ebb runs language models whose KV cache does not fit where the model
// computes. The cache lives in host memory; one layer at a time visits the
// device, fetched ahead while the layer before computes, and only new rows are
// written back. The tokens are those of a cache that never moved.
//
// There are five nouns:
//
//   - An [Engine] is an opened model on a device, with a cache under a policy.
//   - A sequence ([kv.Seq], from [Engine.NewSeq]) is tokens with their rows of
//     K and V. It can be continued, truncated and forked.
//   - [Engine.Forward] takes a batch of works ([kv.Work]), new tokens of one
//     sequence each, through the model once and returns logits.
//   - A [GenerationConfig] says how [Engine.Generate] goes on from a prompt. Its
//     fields are those of Hugging Face's generation_config.json.
//   - A [Batch] generates for several prompts at once, each with its own config:
//     greedily, by drawing, or with beams.
//
// The way of a step, and where to read it: [Engine.Forward] in forward.go is the
// layer loop; package kv moves the rows; graphs.go builds what is computed.
package ebb

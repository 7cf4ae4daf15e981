// Package ebb runs language models whose KV cache does not fit where the model computes. The cache
// lives in host memory; one layer at a time visits the device, fetched ahead while the layer before
// computes, and only new rows are written back. The tokens are those of a cache that never moved.
//
// There are five nouns:
//
//   - An [Engine] is an opened model on a device, with a cache under a policy.
//   - A sequence ([kv.Seq], from [Engine.NewSeq]) is tokens with their rows of K and V. It can be
//     continued, truncated and forked.
//   - [Engine.Forward] takes a batch of works ([kv.Work]), new tokens of one sequence each, through
//     the model once and returns logits.
//   - A [GenerationConfig] says how [Engine.Generate] continues a prompt. Its fields are those of
//     Hugging Face's generation_config.json.
//   - A [Batch] generates for several prompts at once, each with its own config: greedily, by
//     drawing, or with beams.
//
// The layer loop is Runner.step in internal/exec/forward.go. From the command `ebb run` to the copy
// of one layer these eight functions lead to each other. Small functions that lie between two of them
// stand in parentheses:
//
//  1. generateAnswer (cmd/ebb/answer.go) answers a prompt.
//  2. [Engine.GenerateTokens] checks the config and the length of the prompt (called by
//     answer.stream, through [Engine.Decode]).
//  3. [generate.Tokens] chooses one token after the other.
//  4. exec.Runner.Forward checks the tokens and cuts long prompts into steps (called by
//     stream.compute).
//  5. exec.Runner.step takes one step through all layers: the layer loop.
//  6. [kv.Pool.Begin] reserves cells and starts the movers of each device.
//  7. walk.fetchAll (kv/walk.go) decides when a slot is free for the next layer (a mover runs it,
//     started by Step.startCopies and transfers.start).
//  8. transfers.fetch (kv/transfers.go) copies that layer's rows to the slot.
//
// Meanwhile the layer loop waits in [kv.Step.Layers] until its layer has arrived.
package ebb

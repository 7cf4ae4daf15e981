// Package anthropic translates the messages API of Anthropic: POST /v1/messages and
// POST /v1/messages/count_tokens. It computes nothing and keeps nothing.
//
// Its nouns:
//
//   - A request is the body of either, which becomes a service.Request.
//   - A block is a part of a message: text, thinking, a call of a tool, or its result.
//   - A draft is the message that an answer becomes, block by block, and the events that tell of it.
//
// What the API has and ebb has not is an error that names it, if a client would miss it: images and
// documents. The tools that Anthropic's own servers run (web search and others) are not shown to the
// model; the header X-Ebb-Skipped of the response names them. Whatever is about prices and caches is
// ignored (cache_control, service_tier), since all that is computed is kept.
//
// Thinking comes with the fixed signature "ebb": it signs nothing, but programs drop thinking without
// a signature from the history. Whatever comes back with thinking is accepted. Thinking that is
// redacted cannot be read by the model, and is ignored.
package anthropic

// Package responses translates OpenAI's responses API: POST /v1/responses, and GET and DELETE of those
// that are kept. It computes nothing.
//
// Its nouns:
//
//   - A request is the body of POST /v1/responses, which becomes a service.Request.
//   - An item is a part of a conversation: a message, reasoning, a call of a tool, or its result.
//   - A response is what comes of a request: items, and how it ended.
//   - A draft is the response that an answer becomes, item by item, and the events that tell of it.
//   - A record is a response and the items that it answers, as they are kept.
//   - A store keeps records, in files or in memory, the ones that were used last.
//
// A request that names the response before (previous_response_id) continues what led to that one.
// Instructions are those of the request alone, as with OpenAI.
//
// What the API has and ebb has not is an error that names it, if a client would miss it: images and
// files, background responses, prompts and conversations that OpenAI keeps. Tools other than functions
// are not shown to the model, and items that are theirs are left out of the conversation; the header
// X-Ebb-Skipped of the response names their types.
//
// Reasoning is a reasoning item with its text as content. Where a request includes
// reasoning.encrypted_content, the item has it there as well, and not encrypted: programs that keep
// nothing but that give it back.
package responses

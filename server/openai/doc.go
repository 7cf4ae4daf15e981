// Package openai translates OpenAI's API, as far as it is about texts, and the routes of llama-server
// that programs ask beside it.
//
// Its nouns:
//
//   - A Handler has the routes.
//   - A sampling has the fields of a body that say how to generate; a chatBody and a completionBody have
//     the others.
//   - A choice is one text of an answer, as it is told so far.
//   - A chunk is an event of a stream.
//
// A request goes through three steps: a body becomes a service.Request (chat_body.go, sampling.go,
// completion_body.go), its answer is read event by event (chat.go, completion.go), and each event is
// added to a whole response or sent as a chunk (chat_stream.go, completion.go).
package openai

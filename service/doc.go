// Package service answers the requests of many clients with one engine: one goroutine takes the steps
// of one batch. It knows no wire format: the packages server/… translate those.
//
// Its nouns:
//
//   - A Service has an engine, the queue, and the goroutine that computes.
//   - A Request is what a client wants continued, a Chat or tokens, and how.
//   - An Answer is what comes of a request. Its client reads Events from it at the client's own pace:
//     the goroutine that computes appends tokens to the answer, and never waits for a reader.
//   - A Usage says what an answer has cost, and what was not computed because it was kept.
//
// A request goes through four files: render.go makes a prompt of it, loop.go computes, answer.go keeps
// the tokens, and reader.go makes events of them.
package service

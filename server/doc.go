// Package server serves models over HTTP: routes, keys, limits, starting and draining. The packages
// below it translate one API each, and package service answers.
//
// Its nouns:
//
//   - A Server is the handler of all routes, and has the life of their connections.
//   - A Source is a model that may be loaded, and Loaded is one that answers.
//   - Models are the sources of a server, of which one is loaded at a time.
//   - A Key is what a client shows, and the salt that follows from it.
//   - The description is openapi.yaml, which says what all routes take and answer.
//   - A record is what is logged of a request: never its text.
//
// A request passes, in this order: record.go, which counts it and ends a panic; origin.go, which
// refuses the pages of others; key.go; and the routes in server.go. life.go is about the
// connections.
package server

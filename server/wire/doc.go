// Package wire reads the bodies of requests, and writes JSON, errors and streams of events. The
// packages that translate an API each are built on it; the shapes of what they write are theirs.
//
// Its nouns:
//
//   - A Fault is why a request is not answered: a status, and words for whoever sent it.
//   - A Stream is a body that is written event by event.
//   - Options say how requests are read, and how they wait for their model.
//   - A Mux is what routes are added to.
//
// A body is read whole before anything is computed: net/http notices only then that a client goes
// away. Whoever writes sets a deadline on the connection at each write, so that a client that does not
// read ends its own answer and nobody else's. A deadline stays on the connection; the server therefore
// sets one at the beginning of each request (http.Server.WriteTimeout does).
package wire

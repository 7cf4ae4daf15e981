// Package clients tests `ebb serve` with the programs that people use: clients of the APIs in Python
// and Go, and a browser for the page at /. `make test-clients` fetches them and runs the tests, which
// start the command with SmolLM2-135M.
package clients

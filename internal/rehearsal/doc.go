// Package rehearsal times decode steps of a model of which only the header is known: a few of its
// layers, with weights that mean nothing, compute on the device that the model is for. The engine's
// own code does that, so what is measured is what a step will cost.
package rehearsal

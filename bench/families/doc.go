// Package families writes models of the families that people run, with random weights: the layers
// have the shapes of a member's layers and the types that people load, and there are only a few of
// them, with a small vocabulary. Their text makes no sense; they serve to measure speed.
//
// A layer of such a model takes as long as one of the real model. What a real model does once a step,
// as scoring the next token, takes less here.
package families

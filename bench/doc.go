// Package bench measures what ebb claims to be good at, against what it is
// measured by, in one run.
//
// A [Report] has rows and scores. A row is how long a decode step took for one
// arm of a workload: ebb under one policy, or llama.cpp from the same
// libraries. A score is a ratio of rows, with the target it should reach.
//
// The arms of a workload take turns within each round, so that a machine that
// slows down does so for all of them. Threads that wait for work poll, and
// would slow down those that are measured: a turn begins when the process uses
// no CPU time. A round in which other processes used the CPU is repeated.
package bench

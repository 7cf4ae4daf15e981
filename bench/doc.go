// Package bench measures what ebb claims to be good at, against what it is
// measured by, in one run.
//
// A [Report] has rows, scores, figures and curves. A row is how long a step took
// for one arm of a workload: ebb under one policy, llama.cpp from the same
// libraries, or the memory that has to be read. A score is a ratio of rows, with
// the target it should reach. A figure is any other number, with its unit. A
// curve is what package bench/plot draws.
//
// The arms of a workload take turns within each round, so that a machine that
// slows down does so for all of them. Threads that wait for work poll, and
// would slow down those that are measured: a turn begins when the process uses
// no CPU time. A round in which other processes used the CPU is repeated.
//
// A new workload is a file with a function that runs it, and a line in
// workloads.
package bench

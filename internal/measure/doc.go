// Package measure times programs against each other and against what bounds them.
//
// A [Report] has rows, scores, figures and curves. A row is how long the steps of one arm of a
// workload took: ebb under one policy, another program, or a loop that reads the memory that a step
// must read. A score is a ratio of rows, with the target that it should reach. A figure is any
// other number, with its unit. A curve is drawn by package bench/plot.
//
// The arms of a workload take turns within each round, so that a machine that slows down does so
// for all of them. Threads that wait for work poll, and would slow the measured arm down: a turn
// begins when the process uses no CPU time. A round in which other processes used the CPU is
// repeated.
//
// [Workloads] lists those that the ebb command has. The module bench has the others; a new
// workload is a file there with a function that runs it, and a line in its list.
package measure

// Package bench has the workloads that the ebb command does not: comparisons with llama.cpp, and
// measurements that only a developer of ebb needs. Package internal/measure runs them together with
// the command's own and says how arms take turns; package plot draws what they measured.
//
// A new workload is a file with a function that runs it, and a line in [Options.Workloads].
package bench

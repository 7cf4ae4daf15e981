// Package trace says what happened when.
//
// A [Span] is something that took time, with real timestamps: the computation of a layer, or a
// transfer of rows to or from a device. A caller that wants spans passes a [Func] to the code that
// does the work; without one, nothing is timed. A [Writer] writes spans to a file that Chrome's
// trace viewer and Perfetto can open.
package trace

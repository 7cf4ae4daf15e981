// Package trace says what happened when.
//
// A [Span] is something that took time, from real timestamps: the computation of
// a layer, rows on their way to a device or off it. Whoever wants to see them
// gives a [Func] to the one who works; without one nothing is timed. A [Writer]
// keeps spans in a file that Chrome's trace viewer and Perfetto open.
package trace

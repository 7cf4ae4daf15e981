// Package plan is the arithmetic of what fits where, and how fast it will be. It is pure: it takes
// shapes, footprints, budgets and measured rates, measures and allocates nothing, and knows no
// device.
//
//   - A [Cache] is the K/V of a model as shapes. [Cache.Place] says for each device which layers
//     stay there, how many slots the others visit, and what that takes: a [Placement].
//   - [Kinds] are a cache's layers by what they keep: all rows, a ring of them, or none.
//   - A [Footprint] is what a device takes besides K/V, and a [Budget] what it may take in all.
//     [Cache.Fit] gives K/V what the budget leaves, and cuts a context that was left open to what
//     fits.
//   - A [Sweep] is the time of a decode step by where it is spent. [HostLayers] says for how many
//     layers the host should compute attention.
//   - A [Forecast] is a plan made from a model's header for a [Machine]: what lies where, and how fast
//     decoding is at best. [Request.On] makes it.
//
// Everything that decides or prints what fits asks this package.
package plan

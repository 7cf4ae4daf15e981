// Package deps keeps two promises about imports, by its tests:
//
//   - A package imports only the packages of this module that its row in the policy names, so that
//     an architecture never sees a cache, a tier never sees a tensor and a sampler never sees an
//     engine. Unsafe code stays where the kernels are bound, and nothing needs a C compiler.
//   - The modules in the ebb binary are those that deps.txt lists: a new one is a decision, seen in
//     review.
//
// Test files may import what they like.
package deps

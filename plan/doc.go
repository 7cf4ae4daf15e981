// Package plan computes, from shapes and measured bandwidths, where work should
// be done and what speed to expect. It is pure: it measures and allocates
// nothing.
package plan

// Package roof finds how many whole-number operations a processor computes in a second: the bound of
// products with quantised weights, where memory is none. Its loops multiply registers, and do nothing
// else.
package roof

// Package tiertest is the suite that every [tier.Tier] passes, and a [tier.Memory] of plain bytes
// to run it with.
//
// The test of a driver is one line:
//
//	tiertest.Run(t, func(layouts []tier.Layout) tier.Tier { return mine.New(layouts) })
package tiertest

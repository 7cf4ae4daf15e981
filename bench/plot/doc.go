// Package plot draws what package bench measured: curves as text for a terminal
// and as SVG, and the timeline of a step as SVG.
package plot

// Package plot draws the curves of a report as text for a terminal and as SVG, and its timelines as
// SVG.
package plot

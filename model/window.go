package model

import "github.com/seed4d217819/ebb/gguf"

// Windows gives layers the window that the file has for them: attention.sliding_window tokens
// (Beltagy et al., 2020), in the layers that attention.sliding_window_pattern says. The pattern is
// an array with a truth value for each layer, true where there is a window, or a number n: every
// n-th layer sees all tokens. every is that number where the file has neither; 0: the file must have
// one. Without attention.sliding_window no layer has a window.
func (l *Loader) Windows(all []Layer, every int) {
	window := l.IntOr("attention.sliding_window", 0)
	windowed := l.windowed(len(all), every)
	for i := range all {
		if windowed[i] {
			all[i].Window = window
		}
	}
}

// SameWindow gives all layers a window of attention.sliding_window tokens. 0 is none, and so is one
// that no token leaves within the context that the model was made for.
func (l *Loader) SameWindow(all []Layer) {
	const name = "attention.sliding_window"
	n, there := get(l, name, l.file.Int)
	if !there || n == 0 {
		return
	}
	if window := l.count(name, n); window < l.IntOr("context_length", defaultContext) {
		for i := range all {
			all[i].Window = window
		}
	}
}

// windowed returns for each layer whether it has a window.
func (l *Loader) windowed(layers, every int) []bool {
	const name = "attention.sliding_window_pattern"
	windowed := make([]bool, layers)
	if v, _ := l.file.Value(l.key(name)); v.Kind() == gguf.KindArray {
		pattern, there := get(l, name, l.file.Bools)
		if there && len(pattern) != layers && len(pattern) != layers+l.drafting() {
			l.fault("metadata %s has %d values: want one for each of the %d layers", l.key(name), len(pattern), layers)
		}
		copy(windowed, pattern)
		return windowed
	}
	if every == 0 {
		l.need(name)
	}
	if every = l.IntOr(name, every); every > 0 {
		for i := range windowed {
			windowed[i] = i%every != every-1
		}
	}
	return windowed
}

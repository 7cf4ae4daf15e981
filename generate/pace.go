package generate

import (
	"math/bits"
	"time"
)

// pace decides how many tokens of prompts a step takes beside texts that grow, so that it takes as long
// as it should. It knows nothing of the model: it goes by how long steps have taken.
type pace struct {
	target float64 // seconds of a step; 0: prompts are computed whole
	alone  float64 // seconds of a step without prompts, or what they are at most; 0: not known
	tokens int     // of prompts in the next step; 0: not known
}

// granule is how many tokens the kernels compute as fast as one more: passes are multiples of it.
const granule = 16

// least is the share of a step without prompts that prompts may add where that step alone takes about as
// long as it should. Without it no prompt would ever end there.
const least = 0.25

// next returns how many tokens of prompts the next step takes.
func (p *pace) next() int {
	switch {
	case p.tokens > 0:
		return p.tokens
	case p.alone == 0:
		return granule
	}
	// A token of a prompt costs no more than a step of one token, so as many of these would fit.
	return max(1, min(int(p.left()/p.alone), granule))
}

// left returns how many seconds of a step are left for prompts.
func (p *pace) left() float64 { return max(p.target-p.alone, least*p.alone) }

// saw learns from a step of texts that grow, with or without tokens of prompts.
func (p *pace) saw(tokens int, elapsed time.Duration) {
	took := elapsed.Seconds()
	if tokens == 0 {
		if p.alone == 0 {
			p.alone = took
		}
		p.alone = (p.alone + took) / 2
		return
	}
	p.alone = min(p.alone, took)
	planned := p.next()
	if tokens < planned && took <= p.target {
		return // the end of a prompt: few tokens cost more each than many
	}
	// What a token costs follows from the time that the tokens have added. The number at most doubles,
	// so that a step which was short enough is followed by one of at most twice the time, whatever of
	// it was due to the tokens.
	n := 2 * planned
	if added := took - p.alone; added > 0 {
		n = int(min(float64(n), float64(tokens)*p.left()/added))
	}
	p.tokens = max(1, wholeGranules(n))
}

// wholeGranules rounds a number of tokens down to a multiple of granule, and to three binary digits, so
// that there are few different ones: each has graphs of its own. Fewer tokens than a granule stay as
// they are.
func wholeGranules(n int) int {
	if n < granule {
		return n
	}
	unit := max(granule, 1<<(bits.Len(uint(n))-3))
	return n / unit * unit
}

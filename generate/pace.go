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
	each   float64 // seconds that a token of a prompt adds; 0: not known
	tokens int     // of prompts in the next step; 0: not known
}

// granule is how many tokens the kernels compute as fast as one more: passes are multiples of it.
const granule = 16

// least is the share of a step without prompts that prompts may add where that step alone takes about as
// long as it should. Without it no prompt would ever end there.
const least = 0.25

// tolerance is how much more than they should the tokens of prompts may take before there are fewer.
const tolerance = 1.25

// next returns how many tokens of prompts the next step takes.
func (p *pace) next() int {
	switch {
	case p.tokens > 0:
		return p.tokens
	case p.alone == 0:
		return granule
	}
	// A token of a prompt costs no more than a step of one token, so as many of these would fit.
	return wholeGranules(max(1, min(int(p.left()/p.alone), granule)))
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
	// What a token costs follows from the time that the tokens have added. Half of it counts, because a
	// step may take long for other reasons: graphs of a new shape, or other programs.
	each := (took - p.alone) / float64(tokens)
	if p.each > 0 {
		each = (p.each + each) / 2
	}
	p.each = each
	// The number stays as it is where it is about right, as each has graphs of its own. It at most doubles,
	// so that a step which was short enough is followed by one of at most twice the time, whatever of it
	// was due to the tokens.
	fit := 2 * float64(planned)
	if each > 0 {
		fit = min(fit, p.left()/each)
	}
	if n := float64(planned); p.tokens == 0 || n > fit*tolerance || 2*n <= fit {
		p.tokens = max(1, wholeGranules(int(fit)))
	}
}

// wholeGranules rounds a number of tokens down to a multiple of granule of two binary digits, or to a power
// of two below, so that there are few different ones.
func wholeGranules(n int) int {
	digits := 2
	if n < 2*granule {
		digits = 1
	}
	unit := 1 << max(bits.Len(uint(n))-digits, 0)
	return n / unit * unit
}

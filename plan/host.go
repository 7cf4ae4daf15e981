package plan

// Sweep is what one decode step costs at some depth, in seconds.
type Sweep struct {
	Compute float64 // of the device: weights, and K/V that are there
	Fetch   float64 // of the link, if all streamed layers come over it
	Attend  float64 // of the host, if all streamed layers are attended to there
}

// Seconds returns how long the step takes at least if the host attends to a share of the streamed
// layers. The link fetches the others meanwhile; the device waits for the host.
func (s Sweep) Seconds(share float64) float64 {
	return max((1-share)*s.Fetch, s.Compute+share*s.Attend)
}

// HostLayers returns to how many of n streamed layers the host should attend, so that a step is
// shortest: where link and host finish together, their bandwidths add up. If more layers gain
// nothing it takes fewer.
func HostLayers(n int, s Sweep) (layers int) {
	best := s.Seconds(0)
	for m := 1; m <= n; m++ {
		if t := s.Seconds(float64(m) / float64(n)); t < best {
			layers, best = m, t
		}
	}
	return layers
}

// HostDepth returns from how many tokens on the host should attend at all: before, the link brings
// everything while the device computes. Fetch grows by so many seconds a token.
func HostDepth(compute, fetchToken float64) int {
	if fetchToken <= 0 {
		return 0
	}
	return int(compute / fetchToken)
}

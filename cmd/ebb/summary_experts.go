package main

import (
	"slices"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/model"
)

// expertsSummary is what a file says of its mixtures of experts.
type expertsSummary struct {
	Count       int64 `json:"count"`        // in a layer
	Used        int64 `json:"used"`         // by each token, in the layer with the most
	FeedForward int64 `json:"feed_forward"` // width of the widest
	Bytes       int64 `json:"bytes"`        // of all their weights: what --cpu-experts leaves in host memory
	ReadBytes   int64 `json:"read_bytes"`   // of these, what a step of one token reads
}

// maxExperts bounds the experts that a header may claim, so that products stay within 64 bits. It is
// far above those of all models.
const maxExperts = 1 << 16

// summarizeExperts returns nil for a model without experts, and for numbers that make no sense.
func summarizeExperts(f *gguf.File, architecture string) *expertsSummary {
	largest := func(name string) int64 {
		list := perLayer(f, architecture+"."+name)
		if len(list) == 0 {
			return 0
		}
		return slices.Max(list)
	}
	e := expertsSummary{Count: largest("expert_count"), Used: largest("expert_used_count"), FeedForward: largest("expert_feed_forward_length")}
	if e.Used < 1 || e.Used > e.Count || e.Count > maxExperts || e.FeedForward < 0 || e.FeedForward > maxWidth {
		return nil
	}
	whole, read := model.ExpertBytes(f)
	for l := range whole {
		e.Bytes, e.ReadBytes = e.Bytes+whole[l], e.ReadBytes+read[l]
	}
	return &e
}

// widestFeedForward returns the width of a network that takes as much memory as a layer's widest
// network or, if that is more, as all experts of a token together, whose results are apart until
// they are added up.
func (s summary) widestFeedForward() int {
	widest := int64(0)
	if len(s.FeedForward) > 0 {
		widest = slices.Max(s.FeedForward)
	}
	if e := s.Experts; e != nil {
		widest = max(widest, e.Used*(3*e.FeedForward+2*int64(s.Hidden))/3)
	}
	return int(widest)
}

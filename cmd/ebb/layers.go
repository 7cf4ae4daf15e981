package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/plan"
)

// layerKind is layers of a model that keep the same K/V.
type layerKind struct {
	Kind     string `json:"kind"` // full, windowed, shared, recurrent or plain
	Layers   int    `json:"layers"`
	Window   int    `json:"window,omitempty"` // tokens that a token sees
	KVHeads  int    `json:"kv_heads,omitempty"`
	KeyDim   int    `json:"key_dim,omitempty"`
	ValueDim int    `json:"value_dim,omitempty"`
	State    int64  `json:"state_bytes,omitempty"` // of one sequence in one layer
}

// readLayers returns what a header says of each layer's K/V. Of an architecture that ebb does not know
// the keys that most have in common are read.
func readLayers(f *gguf.File, s summary) ([]model.Layer, error) {
	if slices.Contains(ebb.Architectures(), s.Architecture) {
		c, err := ebb.ReadConfig(f)
		return c.Layers, err
	}
	if n := len(s.KVHeads); s.Layers < 0 || s.Layers > maxLayers || n != 1 && n != s.Layers {
		return nil, nil
	}
	layers := make([]model.Layer, s.Layers)
	for l := range layers {
		layers[l] = model.Layer{KVHeads: int(s.KVHeads[l%len(s.KVHeads)]), KeyDim: int(s.KeyDim), ValueDim: int(s.ValueDim)}
	}
	return layers, nil
}

// kindsOf groups layers by what they keep, the most layers first.
func kindsOf(layers []model.Layer) (kinds []layerKind) {
	for _, l := range layers {
		k := layerKind{Kind: "full", Window: l.Window, KVHeads: l.KVHeads, KeyDim: l.KeyDim, ValueDim: l.ValueDim}
		switch {
		case l.SharesKV:
			k = layerKind{Kind: "shared"}
		case l.Recurrent():
			k = layerKind{Kind: "recurrent", State: stateBytes(l)}
		case l.KVHeads == 0:
			k = layerKind{Kind: "plain"}
		case l.Window > 0:
			k.Kind = "windowed"
		}
		i := slices.IndexFunc(kinds, func(have layerKind) bool { have.Layers = 0; return have == k })
		if i < 0 {
			i, kinds = len(kinds), append(kinds, k)
		}
		kinds[i].Layers++
	}
	slices.SortStableFunc(kinds, func(a, b layerKind) int { return b.Layers - a.Layers })
	return kinds
}

// String says what the layers see and keep.
func (k layerKind) String() string {
	shape := fmt.Sprintf("%s, key dim %d, value dim %d", count(k.KVHeads, "KV head"), k.KeyDim, k.ValueDim)
	switch k.Kind {
	case "shared":
		if k.Layers == 1 {
			return "1 layer that uses the K/V of an earlier one"
		}
		return count(k.Layers, "layer") + " that use the K/V of earlier ones"
	case "recurrent":
		return fmt.Sprintf("%s that %s a state of %s, of each sequence", count(k.Layers, "recurrent layer"), carry(k.Layers), bytesize.Format(k.State))
	case "plain":
		return count(k.Layers, "layer") + " without attention or a state"
	case "windowed":
		return fmt.Sprintf("%s with a window of %s: %s", count(k.Layers, "layer"), count(k.Window, "token"), shape)
	default:
		return fmt.Sprintf("%s with the whole context: %s", count(k.Layers, "layer"), shape)
	}
}

func carry(layers int) string {
	if layers == 1 {
		return "carries"
	}
	return "carry"
}

// stateBytes returns what the state of one sequence takes in a layer.
func stateBytes(l model.Layer) int64 { return kv.Shape{State: l.State.Values()}.StateBytes() }

// planLayers returns the K/V of layers in a type; ok is false if heads are no multiple of its block.
func planLayers(layers []model.Layer, t gguf.Type) (all []plan.Layer, ok bool) {
	for _, l := range layers {
		if l.SharesKV {
			all = append(all, plan.Layer{Window: l.Window, Shares: true, Of: l.KVOf})
			continue
		}
		if l.KVHeads == 0 {
			all = append(all, plan.Layer{NoRows: true, StateBytes: stateBytes(l)})
			continue
		}
		k, v := int64(l.KeyDim), int64(l.ValueDim)
		if k%t.BlockSize() != 0 || v%t.BlockSize() != 0 {
			return nil, false
		}
		all = append(all, plan.Layer{RowBytes: int64(l.KVHeads) * (t.RowSize(k) + t.RowSize(v)), Window: l.Window})
	}
	return all, true
}

// describeKinds says how many layers keep how much of the context, and what a sequence takes.
func describeKinds(k plan.Kinds) string {
	all := count(k.Full+k.Windowed+k.Shared+k.Recurrent+k.Plain, "layer")
	if alike(k) {
		return all
	}
	parts := []string{fmt.Sprintf("%d full", k.Full)}
	switch {
	case k.Windowed > 0 && k.LeastWindow == k.MostWindow:
		parts = append(parts, fmt.Sprintf("%d with a window of %d", k.Windowed, k.MostWindow))
	case k.Windowed > 0:
		parts = append(parts, fmt.Sprintf("%d with windows of %d to %d", k.Windowed, k.LeastWindow, k.MostWindow))
	}
	if k.Shared > 0 {
		parts = append(parts, fmt.Sprintf("%d that share K/V", k.Shared))
	}
	if k.Recurrent > 0 {
		parts = append(parts, fmt.Sprintf("%d recurrent", k.Recurrent))
	}
	if k.Plain > 0 {
		parts = append(parts, fmt.Sprintf("%d without attention or a state", k.Plain))
	}
	text := fmt.Sprintf("%s: %s; %s a token", all, strings.Join(parts, ", "), bytesize.Format(k.TokenBytes))
	if k.Windowed > 0 {
		text += fmt.Sprintf(", and %s that do not grow with the context", bytesize.Format(k.RingBytes))
	}
	if k.Recurrent > 0 {
		text += fmt.Sprintf(", and a state of %s", bytesize.Format(k.StateBytes))
	}
	return text
}

// alike reports whether all layers keep the whole context.
func alike(k plan.Kinds) bool { return k.Windowed+k.Shared+k.Recurrent+k.Plain == 0 }

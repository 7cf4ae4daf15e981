package main

import (
	"encoding/json"
	"io"

	"github.com/seed4d217819/ebb/plan"
)

// planOutput is what --output json prints. Scripts read it: names stay.
type planOutput struct {
	Model     planModel    `json:"model"`
	Machine   plan.Machine `json:"machine"`
	KVType    string       `json:"kv_type"`
	Context   int          `json:"context"`
	Sequences int          `json:"sequences"`
	Beams     int          `json:"beams"`
	Device    planDevice   `json:"device"`
	Host      planPlace    `json:"host"`
	Disk      planPlace    `json:"disk"`
	Experts   *planExperts `json:"cpu_experts,omitempty"`
	Growth    planGrowth   `json:"contexts"`
	Decode    []planDecode `json:"decode"` // in the middle of the context, and at its end
	Command   string       `json:"command,omitempty"`
}

type planModel struct {
	Name         string `json:"name,omitempty"`
	Architecture string `json:"architecture"`
	Layers       int    `json:"layers"`
	Context      int    `json:"context"`

	FullLayers     int   `json:"full_layers"`
	WindowedLayers int   `json:"windowed_layers"`
	SharedLayers   int   `json:"shared_layers"`
	TokenBytes     int64 `json:"token_bytes"` // of a token's K/V in the full layers

	RecurrentLayers int   `json:"recurrent_layers,omitempty"`
	StateBytes      int64 `json:"state_bytes,omitempty"` // of one sequence in the recurrent layers
}

type planDevice struct {
	Budget         int64  `json:"budget_bytes"`
	Weights        int64  `json:"weights_bytes"`
	Packed         int64  `json:"packed_bytes,omitempty"` // of the weights, in private memory
	Step           int64  `json:"step_bytes"`
	Draft          int64  `json:"draft_bytes,omitempty"` // K/V of the block that drafts
	Slots          int    `json:"slots"`
	SlotsBytes     int64  `json:"slots_bytes"`
	ResidentLayers int    `json:"resident_layers"`
	ResidentBytes  int64  `json:"resident_bytes"`
	WindowedBytes  int64  `json:"windowed_bytes"`         // of the resident bytes: they do not grow with the context
	StatesBytes    int64  `json:"states_bytes,omitempty"` // of the resident bytes: states of all sequences, which do not grow either
	Resident       []bool `json:"resident"`               // by layer
	Free           int64  `json:"free_bytes"`
}

type planPlace struct {
	Budget int64 `json:"budget_bytes"`
	Bytes  int64 `json:"bytes"`
	Tokens int   `json:"tokens"` // of each sequence
	Past   int64 `json:"past_windows_bytes"`
	States int64 `json:"states_bytes,omitempty"` // beside those of K/V: states that visit the device
}

// planExperts are the experts that the CPU computes.
type planExperts struct {
	Layers  int   `json:"layers"`
	Weights int64 `json:"weights_bytes"` // in host memory
	Read    int64 `json:"read_bytes"`    // by a step of one token
}

// planGrowth is the longest contexts, in tokens, with which the request could be planned.
type planGrowth struct {
	Resident int `json:"resident"` // all layers stay on the device
	NoDisk   int `json:"no_disk"`  // nothing lies on the disk
	Most     int `json:"most"`
}

type planDecode struct {
	Depth     int        `json:"depth"`
	Read      int64      `json:"read_bytes"`
	Moved     int64      `json:"link_bytes"`
	FromDisk  int64      `json:"disk_bytes"`
	Compute   float64    `json:"compute_seconds"`
	Experts   float64    `json:"experts_seconds,omitempty"`
	Link      float64    `json:"link_seconds"`
	Disk      float64    `json:"disk_seconds"`
	Serial    bool       `json:"serial"`
	Seconds   float64    `json:"step_seconds"`
	PerSecond float64    `json:"tokens_per_second"`
	LimitedBy plan.Limit `json:"limited_by"`

	Expected planExpected `json:"expected"`
}

// planExpected is what is expected of a step; the fields before are bounds.
type planExpected struct {
	Compute   float64    `json:"compute_seconds"`
	Experts   float64    `json:"experts_seconds,omitempty"`
	Link      float64    `json:"link_seconds"`
	Disk      float64    `json:"disk_seconds"`
	Seconds   float64    `json:"step_seconds"`
	PerSecond float64    `json:"tokens_per_second"`
	LimitedBy plan.Limit `json:"limited_by"`
}

// printJSON prints a plan for programs.
func (p planned) printJSON(w io.Writer) error {
	f, r := p.forecast, p.request
	hostTokens := 0
	if f.Host+f.Disk > 0 {
		hostTokens = min(f.HostCells, f.Context)
	}
	kinds := r.Kinds()
	out := planOutput{
		Model:   planModel{p.model.Name, p.model.Architecture, len(r.Layers), p.model.Context, kinds.Full, kinds.Windowed, kinds.Shared, kinds.TokenBytes, kinds.Recurrent, kinds.StateBytes},
		Machine: p.machine, KVType: p.flags.kvType, Context: f.Context, Sequences: f.Sequences, Beams: p.flags.beams,
		Device: planDevice{
			Budget: r.DeviceMemory, Weights: f.Footprint.Weights, Packed: p.packed(), Step: f.Footprint.Total() - f.Footprint.Weights - f.Footprint.Draft,
			Draft: f.Footprint.Draft,
			Slots: f.Placement.Slots, SlotsBytes: int64(f.Placement.Slots) * f.Placement.SlotBytes,
			ResidentLayers: len(r.Layers) - f.Placement.Streamed, ResidentBytes: f.Placement.TreeBytes * int64(f.Sequences),
			WindowedBytes: f.Placement.RingBytes() * int64(f.Sequences),
			StatesBytes:   f.Placement.StatesBytes() * int64(f.Sequences),
			Resident:      f.Placement.Resident, Free: r.DeviceMemory - f.Device(),
		},
		Host:    planPlace{f.HostMemory, f.Host, hostTokens, f.HostPast, f.HostStates},
		Disk:    planPlace{r.DiskMemory, f.Disk, 0, f.DiskPast, 0},
		Growth:  planGrowth(f.Growth),
		Command: p.command(),
	}
	if r.CPUExperts.Layers > 0 {
		out.Experts = (*planExperts)(&r.CPUExperts)
	}
	if f.Disk > 0 {
		out.Disk.Tokens = f.Context - hostTokens
	}
	for _, d := range []plan.Decode{f.Half, f.Full} {
		out.Decode = append(out.Decode, planDecode{
			d.Depth, d.Read, d.Moved, d.FromDisk, d.Compute, d.Experts, d.Link, d.Disk, d.Serial, d.Seconds, d.PerSecond, d.LimitedBy,
			planExpected(d.Expected),
		})
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}

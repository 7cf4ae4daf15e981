package kv

import (
	"testing"

	"github.com/seed4d217819/ebb/ggml"
)

func TestLeastIsTheLeastMemoryThatWorks(t *testing.T) {
	small, large := Shape{Heads: 1, KeyDim: 32, ValueDim: 32}, Shape{Heads: 4, KeyDim: 64, ValueDim: 64}
	for _, o := range []Options{
		{Policy: Static, Layers: []Shape{small, large, small}},
		{Policy: Dynamic, Layers: []Shape{small, large}, Trees: 3},
		{Policy: Offloaded, Layers: []Shape{large, large, large, large}},
		{Policy: Offloaded, Layers: []Shape{small, large, small}}, // where a resident large layer makes the slots small
		{Policy: Offloaded, Layers: []Shape{large, large, large}, ResidentLayers: 1},
		{Policy: OffloadedStatic, Layers: []Shape{large, small, large}, Slots: 3, Trees: 2},
		{Policy: Offloaded, Layers: []Shape{large, small, large, small}, On: []int{1, 0, 1, 0}},
	} {
		o.TypeK, o.TypeV, o.Cells = ggml.F16, ggml.Q8_0, 700
		for device, least := range Least(o) {
			one := o.withDefaults().on(device)
			one.Memory = least
			if p, err := Place(one); err != nil || p.DeviceBytes > least {
				t.Errorf("%v on device %d: with %d bytes: %d are taken, %v", o.Policy, device, least, p.DeviceBytes, err)
			}
			one.Memory = least - 1
			if p, err := Place(one); err == nil {
				t.Errorf("%v on device %d: with %d bytes there is the placement %+v, want an error", o.Policy, device, one.Memory, p)
			}
		}
	}
}

func TestABlankLayerHasTheRowsItWasGiven(t *testing.T) {
	rows := []Rows{{ID: 3}, {ID: 5}}
	l := Blank(7, rows)
	if l.Index != 7 || l.Rows(0) != rows[0] || l.Rows(1) != rows[1] {
		t.Errorf("layer %d with the rows %v and %v, want layer 7 with %v", l.Index, l.Rows(0), l.Rows(1), rows)
	}
}

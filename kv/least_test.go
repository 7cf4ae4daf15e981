package kv

import "testing"

func TestABlankLayerHasTheRowsItWasGiven(t *testing.T) {
	rows := []Rows{{ID: 3}, {ID: 5}}
	l := Blank(7, rows)
	if l.Index != 7 || l.Rows(0) != rows[0] || l.Rows(1) != rows[1] {
		t.Errorf("layer %d with the rows %v and %v, want layer 7 with %v", l.Index, l.Rows(0), l.Rows(1), rows)
	}
}

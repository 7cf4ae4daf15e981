package oracle

import (
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// The numbers are sizeof and offsetof of llama.h, printed by a C compiler.
func TestStructsHaveTheLayoutOfTheHeader(t *testing.T) {
	var d tokenData
	var a tokenDataArray
	got := map[string]uintptr{
		"token_data":                unsafe.Sizeof(d),
		"token_data.logit":          unsafe.Offsetof(d.logit),
		"token_data.p":              unsafe.Offsetof(d.p),
		"token_data_array":          unsafe.Sizeof(a),
		"token_data_array.size":     unsafe.Offsetof(a.size),
		"token_data_array.selected": unsafe.Offsetof(a.selected),
		"token_data_array.sorted":   unsafe.Offsetof(a.sorted),
	}
	want := map[string]uintptr{
		"token_data":                12,
		"token_data.logit":          4,
		"token_data.p":              8,
		"token_data_array":          32,
		"token_data_array.size":     8,
		"token_data_array.selected": 16,
		"token_data_array.sorted":   24,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("layouts differ (-want +got):\n%s", diff)
	}
}

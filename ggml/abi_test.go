package ggml

import (
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// field is where C has a field.
type field struct {
	Name         string
	Offset, Size uintptr
}

// The numbers are those of C on every 64-bit platform, taken with offsetof and sizeof from ggml
// 0.25.1.
func TestStructsLieInMemoryAsInC(t *testing.T) {
	tests := []struct {
		value  any
		size   uintptr
		fields []field
	}{
		{Tensor{}, 336, []field{
			{"typ", 0, 4},
			{"buffer", 8, 8},
			{"ne", 16, 32},
			{"nb", 48, 32},
			{"op", 80, 4},
			{"params", 84, 64},
			{"flags", 148, 4},
			{"src", 152, 80},
			{"viewSrc", 232, 8},
			{"viewOffs", 240, 8},
			{"data", 248, 8},
			{"name", 256, 64},
			{"extra", 320, 8},
		}},
		{initParams{}, 24, []field{{"memSize", 0, 8}, {"memBuffer", 8, 8}, {"noAlloc", 16, 1}}},
		{devProps{}, 56, []field{
			{"name", 0, 8}, {"description", 8, 8}, {"memoryFree", 16, 8}, {"memoryTotal", 24, 8}, {"typ", 32, 4}, {"deviceID", 40, 8}, {"caps", 48, 5},
		}},
		{threadpoolParams{}, 528, []field{
			{"cpumask", 0, 512}, {"threads", 512, 4}, {"prio", 516, 4}, {"poll", 520, 4}, {"strictCPU", 524, 1}, {"paused", 525, 1},
		}},
		{typeTraits{}, 56, []field{
			{"name", 0, 8}, {"blockSize", 8, 8}, {"interleave", 16, 8}, {"size", 24, 8}, {"quantized", 32, 1}, {"toFloat", 40, 8}, {"fromFloat", 48, 8},
		}},
	}
	for _, tt := range tests {
		typ := reflect.TypeOf(tt.value)
		t.Run(typ.Name(), func(t *testing.T) {
			if got := typ.Size(); got != tt.size {
				t.Errorf("size %d, want %d", got, tt.size)
			}
			var got []field
			for f := range typ.Fields() {
				if f.Name != "_" {
					got = append(got, field{f.Name, f.Offset, f.Type.Size()})
				}
			}
			if d := cmp.Diff(got, tt.fields); d != "" {
				t.Errorf("fields (-got +want):\n%s", d)
			}
		})
	}
	caps := reflect.TypeOf(devProps{}.caps)
	if f, _ := caps.FieldByName("bufferFromHostPtr"); f.Offset != 2 {
		t.Errorf("bufferFromHostPtr at %d of caps, want 2", f.Offset)
	}
}

func TestEnumsAreNumberedAsInC(t *testing.T) {
	got := map[string]int{
		"f32": int(F32), "f16": int(F16), "q4_0": int(Q4_0), "q4_1": int(Q4_1), "q5_0": int(Q5_0), "q5_1": int(Q5_1),
		"q8_0": int(Q8_0), "q2_k": int(Q2_K), "q3_k": int(Q3_K), "q4_k": int(Q4_K), "q5_k": int(Q5_K), "q6_k": int(Q6_K),
		"iq2_xxs": int(IQ2_XXS), "iq2_xs": int(IQ2_XS), "iq3_xxs": int(IQ3_XXS), "iq1_s": int(IQ1_S), "iq4_nl": int(IQ4_NL),
		"iq3_s": int(IQ3_S), "iq2_s": int(IQ2_S), "iq4_xs": int(IQ4_XS), "iq1_m": int(IQ1_M), "mxfp4": int(MXFP4),
		"i32": int(I32), "i64": int(I64), "bf16": int(BF16),
		"cpu": int(CPU), "gpu": int(GPU), "igpu": int(IGPU), "accel": int(Accel),
		"normal": ModeNormal, "neox": ModeNeoX, "prec f32": precF32,
	}
	want := map[string]int{
		"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7,
		"q8_0": 8, "q2_k": 10, "q3_k": 11, "q4_k": 12, "q5_k": 13, "q6_k": 14,
		"iq2_xxs": 16, "iq2_xs": 17, "iq3_xxs": 18, "iq1_s": 19, "iq4_nl": 20,
		"iq3_s": 21, "iq2_s": 22, "iq4_xs": 23, "iq1_m": 29, "mxfp4": 39,
		"i32": 26, "i64": 27, "bf16": 30,
		"cpu": 0, "gpu": 1, "igpu": 2, "accel": 3,
		"normal": 0, "neox": 2, "prec f32": 10,
	}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
}

// The loaded library fills structs where the binding reads them.
func TestLibraryAgreesWithTheBinding(t *testing.T) {
	if _, err := Load(); err != nil {
		t.Fatal(err)
	}
	const object = 32 // struct ggml_object, which stands before each tensor
	if got, want := c.TensorOverhead(), unsafe.Sizeof(Tensor{})+object; got != want {
		t.Errorf("ggml_tensor_overhead is %d, want %d", got, want)
	}
	for typ, l := range layouts {
		traits := c.TypeTraits(typ)
		got := []any{strings.ToLower(goString(traits.name)), traits.blockSize, int64(traits.size), traits.quantized, c.BlockSize(typ), int64(c.TypeSize(typ))}
		want := []any{l.name, l.block, l.size, typ.Quantized(), l.block, l.size}
		if d := cmp.Diff(got, want); d != "" {
			t.Errorf("%s (-got +want):\n%s", typ, d)
		}
	}
	params := new(threadpoolParams)
	c.ThreadpoolParamsInit(params, 7)
	if params.threads != 7 || params.poll != 50 || params.prio != 0 || params.strictCPU || params.paused {
		t.Errorf("ggml_threadpool_params_init gave threads %d poll %d prio %d strict %t paused %t, want 7 50 0 false false",
			params.threads, params.poll, params.prio, params.strictCPU, params.paused)
	}
}

func TestLibraryWritesTensorFieldsWhereTheBindingReadsThem(t *testing.T) {
	b := openCPU(t, 0)
	r := newRig(t, b)
	x := r.tensor(Q8_0, 64, 3, 5, 2)
	x.SetName("weight of a layer")
	g := b.NewGraph(2)
	defer g.Close()
	v := g.View2D(x, 32, 2, 68, 34)
	g.Output(v)
	scaled := g.RMSNorm(r.tensor(F32, 4), 0.25)

	got := []any{x.typ, x.ne, x.nb, x.op, x.viewSrc == nil, x.data == r.buf.base, x.buffer == r.buf.ptr, goString(uintptr(unsafe.Pointer(&x.name)))}
	want := []any{Q8_0, [4]int64{64, 3, 5, 2}, [4]uint64{34, 68, 204, 1020}, int32(opNone), true, true, true, "weight of a layer"}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("tensor (-got +want):\n%s", d)
	}
	got = []any{v.viewSrc == x, v.viewOffs, v.src[0] == x, v.data == x.data+34, v.nb, c.OpDesc(v), v.flags, goString(uintptr(unsafe.Pointer(&v.name)))}
	want = []any{true, uint64(34), true, true, [4]uint64{34, 68, 136, 136}, "VIEW", int32(2), "weight of a layer (view)"}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("view (-got +want):\n%s", d)
	}
	if eps := *(*float32)(unsafe.Pointer(&scaled.params[0])); eps != 0.25 {
		t.Errorf("the parameter of RMSNorm is read as %g, want 0.25", eps)
	}
}

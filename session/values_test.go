package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
)

func named(t *testing.T, name string) valueType {
	t.Helper()
	v, err := typeNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestEveryValueOf16BitsComesBack(t *testing.T) {
	for _, name := range []string{"f16", "bf16"} {
		v := named(t, name)
		all := make([]byte, 2<<16)
		for i := range 1 << 16 {
			binary.LittleEndian.PutUint16(all[2*i:], uint16(i))
		}
		values, back := make([]float32, 1<<16), make([]byte, len(all))
		v.decode(values, all)
		v.encode(back, values)
		for i, x := range values {
			if x == x && !bytes.Equal(back[2*i:2*i+2], all[2*i:2*i+2]) {
				t.Fatalf("%s: %#04x is %g and comes back as %x", name, i, x, back[2*i:2*i+2])
			}
			if again := back[2*i:]; x != x {
				v.decode(values[i:i+1], again)
				if values[i] == values[i] {
					t.Fatalf("%s: %#04x is NaN and comes back as %g", name, i, values[i])
				}
			}
		}
	}
}

func TestValuesRoundToTheNearest(t *testing.T) {
	for _, tt := range []struct {
		typ  string
		x    float32
		want uint16
		fit  bool
	}{
		{"f16", 1 + 1.0/2048, 0x3c00, true}, // a tie, to even
		{"f16", 1 + 3.0/2048, 0x3c02, true},
		{"f16", -65519, 0xfbff, true},
		{"f16", 65520, 0x7c00, false}, // a tie with what would be the next one
		{"f16", 1e9, 0x7c00, false},
		{"f16", 0x1p-25, 0, true},
		{"f16", 0x1.8p-25, 1, true},
		{"bf16", 1 + 1.0/256, 0x3f80, true},
		{"bf16", -(1 + 3.0/256), 0xbf82, true},
		{"bf16", math.MaxFloat32, 0x7f80, false},
	} {
		got := make([]byte, 2)
		fit := named(t, tt.typ).encode(got, []float32{tt.x})
		if bits := binary.LittleEndian.Uint16(got); bits != tt.want || fit != tt.fit {
			t.Errorf("%g as %s: %#04x, fits %t; want %#04x, %t", tt.x, tt.typ, bits, fit, tt.want, tt.fit)
		}
	}
	for _, name := range []string{"q8_0", "q4_0"} {
		v, large := named(t, name), make([]float32, quantised)
		large[3] = 1e8
		if v.encode(make([]byte, v.bytes), large) {
			t.Errorf("%s takes 1e8, whose scale is infinite", name)
		}
		large[3] = 0
		if zero := make([]byte, v.bytes); !v.encode(zero, large) {
			t.Errorf("%s does not take zeros", name)
		} else if v.decode(large, zero); largest(large) != 0 {
			t.Errorf("%s: zeros come back as %g", name, large)
		}
	}
}

// What is imported has the bits that ggml would have stored.
func TestTypesAreThoseOfGGML(t *testing.T) {
	if _, err := ggml.Load(); errors.Is(err, ggml.ErrNoLibrary) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([]float32, 64*quantised)
	for i := range values {
		values[i] = float32(rng.NormFloat64() * math.Pow(10, float64(i/quantised%9-6)))
	}
	for _, typ := range []ggml.Type{ggml.F16, ggml.BF16, ggml.Q8_0, ggml.Q4_0} {
		v := named(t, typ.String())
		want, err := ggml.Quantize(typ, values, quantised)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, v.size(len(values)))
		if !v.encode(got, values) || !bytes.Equal(got, want) {
			t.Errorf("%v: other bits", typ)
		}
		decoded := make([]float32, len(values))
		v.decode(decoded, got)
		for i, x := range ggml.Dequantize(typ, want, len(values)) {
			if decoded[i] != x {
				t.Fatalf("%v: value %d is %g; want %g", typ, i, decoded[i], x)
			}
		}
	}
}

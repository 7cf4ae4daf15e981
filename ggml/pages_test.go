package ggml

import (
	"bytes"
	"testing"
)

func TestPagesAreZeroEachTime(t *testing.T) {
	for range 3 {
		data, err := pages(1<<20 + 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) != 1<<20+1 || len(bytes.Trim(data, "\x00")) > 0 {
			t.Fatalf("%d bytes, not all of them zero", len(data))
		}
		for i := range data {
			data[i] = 0xFF
		}
		freePages(data)
	}
	if _, err := pages(1 << 60); err == nil {
		t.Error("no error for 2^60 bytes")
	}
}

package llamacpp

import (
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// The numbers are sizeof and offsetof of llama.h, printed by a C compiler.
func TestStructsHaveTheLayoutOfTheHeader(t *testing.T) {
	var c contextParams
	var b batch
	got := map[string]uintptr{
		"context":                 unsafe.Sizeof(c),
		"context.n_batch":         unsafe.Offsetof(c.nBatch),
		"context.n_threads":       unsafe.Offsetof(c.nThreads),
		"context.n_threads_batch": unsafe.Offsetof(c.nThreadsBatch),
		"context.ctx_type":        unsafe.Offsetof(c.ctxType),
		"context.flash_attn_type": unsafe.Offsetof(c.flashAttn),
		"context.rope_freq_base":  unsafe.Offsetof(c.ropeBase),
		"context.yarn_orig_ctx":   unsafe.Offsetof(c.yarnOrigCtx),
		"context.cb_eval":         unsafe.Offsetof(c.eval),
		"context.type_k":          unsafe.Offsetof(c.typeK),
		"context.type_v":          unsafe.Offsetof(c.typeV),
		"context.abort_callback":  unsafe.Offsetof(c.abort),
		"context.embeddings":      unsafe.Offsetof(c.embeddings),
		"context.offload_kqv":     unsafe.Offsetof(c.offloadKQV),
		"context.no_perf":         unsafe.Offsetof(c.noPerf),
		"context.op_offload":      unsafe.Offsetof(c.opOffload),
		"context.swa_full":        unsafe.Offsetof(c.swaFull),
		"context.kv_unified":      unsafe.Offsetof(c.kvUnified),
		"context.samplers":        unsafe.Offsetof(c.samplers),
		"context.n_samplers":      unsafe.Offsetof(c.nSamplers),
		"context.ctx_other":       unsafe.Offsetof(c.other),
		"batch":                   unsafe.Sizeof(b),
		"batch.token":             unsafe.Offsetof(b.token),
		"batch.embd":              unsafe.Offsetof(b.embd),
		"batch.pos":               unsafe.Offsetof(b.pos),
		"batch.n_seq_id":          unsafe.Offsetof(b.nSeqID),
		"batch.seq_id":            unsafe.Offsetof(b.seqID),
		"batch.logits":            unsafe.Offsetof(b.logits),
	}
	want := map[string]uintptr{
		"context":                 160,
		"context.n_batch":         4,
		"context.n_threads":       28,
		"context.n_threads_batch": 32,
		"context.ctx_type":        36,
		"context.flash_attn_type": 52,
		"context.rope_freq_base":  56,
		"context.yarn_orig_ctx":   80,
		"context.cb_eval":         88,
		"context.type_k":          104,
		"context.type_v":          108,
		"context.abort_callback":  112,
		"context.embeddings":      128,
		"context.offload_kqv":     129,
		"context.no_perf":         130,
		"context.op_offload":      131,
		"context.swa_full":        132,
		"context.kv_unified":      133,
		"context.samplers":        136,
		"context.n_samplers":      144,
		"context.ctx_other":       152,
		"batch":                   56,
		"batch.token":             8,
		"batch.embd":              16,
		"batch.pos":               24,
		"batch.n_seq_id":          32,
		"batch.seq_id":            40,
		"batch.logits":            48,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("layouts differ (-want +got):\n%s", diff)
	}
}

// A library whose structs moved gives its defaults in other places.
func TestDefaultContextParamsLieWhereTheStructSays(t *testing.T) {
	l, err := load()
	if err != nil {
		t.Fatal(err)
	}
	c := l.contextDefaultParams()
	const f16 = 1
	if c.nCtx != 512 || c.flashAttn != -1 || c.typeK != f16 || c.typeV != f16 || !c.offloadKQV || c.embeddings || c.other != 0 {
		t.Errorf("n_ctx %d, flash_attn %d, types %d %d, offload_kqv %t, embeddings %t, ctx_other %#x; want 512, -1, 1 1, true, false, 0",
			c.nCtx, c.flashAttn, c.typeK, c.typeV, c.offloadKQV, c.embeddings, c.other)
	}
}

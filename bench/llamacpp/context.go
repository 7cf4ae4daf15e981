package llamacpp

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// contextParams is struct llama_context_params of llama.h.
//
// ABI (64-bit, version 0.5): 160 bytes; n_ctx@0 n_batch@4 n_ubatch@8 n_threads@28 n_threads_batch@32 ctx_type@36
// flash_attn_type@52 rope_freq_base@56 yarn_orig_ctx@80 cb_eval@88 type_k@104 type_v@108 abort_callback@112
// embeddings@128 offload_kqv@129 no_perf@130 samplers@136 ctx_other@152.
type contextParams struct {
	nCtx              uint32
	nBatch            uint32
	nUbatch           uint32
	nSeqMax           uint32
	nRsSeq            uint32
	nOutputsMax       uint32
	nOutputsMaxPerSeq uint32
	nThreads          int32
	nThreadsBatch     int32
	ctxType           int32
	ropeScaling       int32
	pooling           int32
	attention         int32
	flashAttn         int32
	ropeBase          float32
	ropeScale         float32
	yarnExt           float32
	yarnAttn          float32
	yarnBetaFast      float32
	yarnBetaSlow      float32
	yarnOrigCtx       uint32
	defragThold       float32
	eval              uintptr
	evalUser          uintptr
	typeK             int32
	typeV             int32
	abort             uintptr
	abortUser         uintptr
	embeddings        bool
	offloadKQV        bool
	noPerf            bool
	opOffload         bool
	swaFull           bool
	kvUnified         bool
	_                 [2]bool
	samplers          uintptr
	nSamplers         uint64
	other             uintptr
}

// batch is struct llama_batch of llama.h.
//
// ABI (64-bit, version 0.5): 56 bytes; n_tokens@0 token@8 embd@16 pos@24 n_seq_id@32 seq_id@40 logits@48.
type batch struct {
	nTokens int32
	_       int32
	token   *int32
	embd    uintptr
	pos     *int32
	nSeqID  uintptr // 0: every token belongs to sequence 0
	seqID   uintptr
	logits  *int8
}

// threadpoolParamsSize is the size of struct ggml_threadpool_params. ggml_threadpool_params_init
// fills it, and this package reads no field of it.
const threadpoolParamsSize = 528

// ContextOptions says what a Context can hold. Ctx is the number of positions and must be given.
// Batch is the number of tokens of one pass; 0 means 512. Threads is the number of threads that
// compute; 0 means one a core.
type ContextOptions struct {
	Ctx, Batch, Threads int

	// Computed says that Repeat is not called. Layers with a window then keep what llama.cpp keeps for
	// one sequence: the rows inside the window, with those of a pass.
	Computed bool

	// FlashAttn computes attention in one operation instead of two matrix products.
	FlashAttn bool

	// TypeK and TypeV are ggml's type numbers of the KV cache: 0 is F32, 1 is F16, 8 is Q8_0. A
	// quantized TypeV needs FlashAttn.
	TypeK, TypeV int32
}

// Context is one sequence that llama.cpp decodes, with threads of its own that live as long as it
// does. It may be used from one goroutine at a time.
type Context struct {
	model     *Model
	handle    uintptr
	pool      uintptr
	freePool  func(pool uintptr)
	size      int // positions that it can hold
	computed  bool
	used      int // positions decoded
	original  int // of them, decoded before the first Repeat; 0: there was none
	repeated  int // of them, filled by Repeat
	kept      int // of a hybrid: the positions after which its state was kept
	positions []int32
	wanted    []int8
	ready     bool // the last Decode left logits
}

// NewContext allocates a KV cache and starts the threads that compute. The caller closes the
// context before the model.
func (m *Model) NewContext(o ContextOptions) (*Context, error) {
	if o.Batch == 0 {
		o.Batch = min(512, o.Ctx)
	}
	if o.Threads == 0 {
		o.Threads = runtime.NumCPU()
	}
	if o.Ctx < 1 || o.Batch < 1 || o.Threads < 1 {
		return nil, fmt.Errorf("llamacpp: new context: positions %d, batch %d, threads %d; want at least 1 of each", o.Ctx, o.Batch, o.Threads)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing {
		return nil, errors.New("llamacpp: new context: the model is closed")
	}
	l := m.lib
	pool, free, err := l.newThreadpool(o.Threads)
	if err != nil {
		return nil, err
	}
	p := l.contextDefaultParams()
	p.nCtx = uint32(o.Ctx)
	p.nSeqMax, p.kvUnified = sequences, true // Repeat needs those beside the first
	if o.Computed {
		p.nSeqMax, p.swaFull = 1, false
	}
	p.nBatch, p.nUbatch = uint32(o.Batch), uint32(o.Batch)
	p.nThreads, p.nThreadsBatch = int32(o.Threads), int32(o.Threads)
	p.flashAttn = 0
	if o.FlashAttn {
		p.flashAttn = 1
	}
	p.typeK, p.typeV = o.TypeK, o.TypeV
	p.offloadKQV, p.opOffload, p.noPerf = false, false, true
	var handle uintptr
	why := l.Reported(func() { handle = l.contextInit(m.handle, p) })
	if handle == 0 {
		free(pool)
		return nil, fmt.Errorf("llamacpp: new context of %d positions: %w", o.Ctx, why)
	}
	l.attachThreadpool(handle, pool, pool)
	m.users++
	return &Context{
		model:     m,
		handle:    handle,
		pool:      pool,
		freePool:  free,
		size:      o.Ctx,
		computed:  o.Computed,
		positions: make([]int32, o.Batch),
		wanted:    make([]int8, o.Batch),
	}, nil
}

// newThreadpool starts threads for the CPU backend. Without a pool every graph would start its own
// threads, and a step would take ten times as long.
func (l *library) newThreadpool(threads int) (pool uintptr, free func(uintptr), err error) {
	reg := l.regByName("CPU")
	if reg == 0 {
		return 0, nil, errors.New("llamacpp: ggml has no CPU backend loaded")
	}
	newAddress, freeAddress := l.procAddress(reg, "ggml_threadpool_new"), l.procAddress(reg, "ggml_threadpool_free")
	if newAddress == 0 || freeAddress == 0 {
		return 0, nil, errors.New("llamacpp: ggml's CPU backend offers no ggml_threadpool_new")
	}
	params := make([]byte, threadpoolParamsSize)
	l.threadpoolParamsInit(unsafe.Pointer(unsafe.SliceData(params)), int32(threads))
	var start func(params unsafe.Pointer) uintptr
	purego.RegisterFunc(&start, newAddress)
	purego.RegisterFunc(&free, freeAddress)
	if pool = start(unsafe.Pointer(unsafe.SliceData(params))); pool == 0 {
		return 0, nil, fmt.Errorf("llamacpp: cannot start %d threads", threads)
	}
	return pool, free, nil
}

// Decode runs tokens at positions pos, pos+1, …; pos must be the number of positions decoded since
// the last Clear. wantLogits leaves the logits of the last token in Logits.
func (c *Context) Decode(tokens []int32, pos int, wantLogits bool) error {
	if len(tokens) == 0 {
		return errors.New("llamacpp: decode: no tokens")
	}
	if pos != c.used {
		return fmt.Errorf("llamacpp: decode: position %d does not follow the %d decoded so far", pos, c.used)
	}
	if len(tokens) > c.size-pos {
		return fmt.Errorf("llamacpp: decode: positions %d to %d do not fit a context of %d", pos, pos+len(tokens)-1, c.size)
	}
	for i, id := range tokens {
		if id < 0 || int(id) >= c.model.vocab {
			return fmt.Errorf("llamacpp: decode: id %d at index %d is outside the vocabulary of %d tokens", id, i, c.model.vocab)
		}
	}
	c.ready = false
	for len(tokens) > 0 {
		n := min(len(tokens), len(c.positions))
		if err := c.pass(tokens[:n], pos, wantLogits && n == len(tokens)); err != nil {
			return err
		}
		tokens, pos = tokens[n:], pos+n
		c.used = pos
	}
	c.ready = wantLogits
	runtime.Gosched() // as after ggml.Backend.Compute
	return nil
}

func (c *Context) pass(tokens []int32, pos int, last bool) error {
	n := len(tokens)
	for i := range n {
		c.positions[i] = int32(pos - c.repeated + i)
		c.wanted[i] = 0
	}
	if last {
		c.wanted[n-1] = 1
	}
	status := c.model.lib.decode(c.handle, batch{
		nTokens: int32(n),
		token:   unsafe.SliceData(tokens),
		pos:     unsafe.SliceData(c.positions),
		logits:  unsafe.SliceData(c.wanted),
	})
	runtime.KeepAlive(tokens)
	if status != 0 {
		return fmt.Errorf("llamacpp: decode %d tokens at position %d: status %d", n, pos, status)
	}
	return nil
}

// Logits returns one float a token of the vocabulary, in libllama's memory, which the next Decode
// overwrites. It returns nil if the last Decode was not asked for logits.
func (c *Context) Logits() []float32 {
	if !c.ready {
		return nil
	}
	return unsafe.Slice((*float32)(c.model.lib.logitsAt(c.handle, -1)), c.model.vocab)
}

// Clear forgets all positions; the cache keeps its memory.
func (c *Context) Clear() {
	c.ready, c.used, c.original, c.repeated, c.kept = false, 0, 0, 0, 0
	l := c.model.lib
	l.memoryClear(l.memory(c.handle), false)
}

// Close frees the cache and ends the threads. It does nothing the second time.
func (c *Context) Close() error {
	c.model.mu.Lock()
	defer c.model.mu.Unlock()
	if c.handle == 0 {
		return nil
	}
	c.ready = false
	c.model.lib.detachThreadpool(c.handle)
	c.model.lib.contextFree(c.handle)
	c.freePool(c.pool)
	c.handle = 0
	c.model.users--
	return nil
}

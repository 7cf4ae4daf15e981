package llamacpp

import (
	"sync"
	"unsafe"

	"github.com/seed4d217819/ebb/internal/libllama"
)

// library is libllama with the functions that run a model.
type library struct {
	*libllama.Library

	contextDefaultParams func() contextParams
	contextInit          func(model uintptr, params contextParams) uintptr
	contextFree          func(context uintptr)
	decode               func(context uintptr, b batch) int32
	window               func(model uintptr) int32
	hybrid               func(model uintptr) bool
	logitsAt             func(context uintptr, i int32) unsafe.Pointer
	memory               func(context uintptr) uintptr
	memoryClear          func(memory uintptr, data bool)
	memoryRemove         func(memory uintptr, seq, from, to int32) bool
	memoryCopy           func(memory uintptr, seqFrom, seqTo, from, to int32)
	stateSize            func(context uintptr, seq int32) uintptr
	stateGet             func(context uintptr, to unsafe.Pointer, size uintptr, seq int32) uintptr
	stateSet             func(context uintptr, from unsafe.Pointer, size uintptr, seq int32) uintptr
	attachThreadpool     func(context, pool, poolBatch uintptr)
	detachThreadpool     func(context uintptr)
	regByName            func(name string) uintptr
	procAddress          func(reg uintptr, name string) uintptr
	threadpoolParamsInit func(params unsafe.Pointer, threads int32)
}

// load loads libllama and binds these functions, once a process.
var load = sync.OnceValues(func() (*library, error) {
	base, err := libllama.Load()
	if err != nil {
		return nil, err
	}
	l := &library{Library: base}
	err = l.Bind([]libllama.Function{
		{Name: "llama_context_default_params", Into: &l.contextDefaultParams},
		{Name: "llama_init_from_model", Into: &l.contextInit},
		{Name: "llama_free", Into: &l.contextFree},
		{Name: "llama_decode", Into: &l.decode},
		{Name: "llama_model_n_swa", Into: &l.window},
		{Name: "llama_model_is_hybrid", Into: &l.hybrid},
		{Name: "llama_get_logits_ith", Into: &l.logitsAt},
		{Name: "llama_get_memory", Into: &l.memory},
		{Name: "llama_memory_clear", Into: &l.memoryClear},
		{Name: "llama_memory_seq_rm", Into: &l.memoryRemove},
		{Name: "llama_memory_seq_cp", Into: &l.memoryCopy},
		{Name: "llama_state_seq_get_size", Into: &l.stateSize},
		{Name: "llama_state_seq_get_data", Into: &l.stateGet},
		{Name: "llama_state_seq_set_data", Into: &l.stateSet},
		{Name: "llama_attach_threadpool", Into: &l.attachThreadpool},
		{Name: "llama_detach_threadpool", Into: &l.detachThreadpool},
		{Name: "ggml_backend_reg_by_name", Into: &l.regByName},
		{Name: "ggml_backend_reg_get_proc_address", Into: &l.procAddress},
		{Name: "ggml_threadpool_params_init", Into: &l.threadpoolParamsInit},
	}...)
	if err != nil {
		return nil, err
	}
	return l, nil
})

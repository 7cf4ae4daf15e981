package ggml

import (
	"reflect"
	"unsafe"

	"github.com/ebitengine/purego"
)

// c is the table of C functions. Loading a library is process-wide, so the table is too: Load sets
// it once, and nothing changes it afterwards.
var c symbols

// symbols lists the C functions that the package calls. Those on a hot path are plain addresses for
// call, which is three times as fast and allocates nothing; purego binds the others.
type symbols struct {
	LogSet           func(f, user uintptr)     `c:"ggml_log_set"`
	SetAbortCallback func(f uintptr)           `c:"ggml_set_abort_callback"`
	LoadAllFromPath  func(dir string)          `c:"ggml_backend_load_all_from_path"`
	LoadBackend      func(path string) uintptr `c:"ggml_backend_load"`

	DevCount             func() uintptr                                      `c:"ggml_backend_dev_count"`
	DevGet               func(i uintptr) uintptr                             `c:"ggml_backend_dev_get"`
	DevGetProps          func(dev uintptr, props *devProps)                  `c:"ggml_backend_dev_get_props"`
	DevBackendReg        func(dev uintptr) uintptr                           `c:"ggml_backend_dev_backend_reg"`
	DevInit              func(dev, params uintptr) uintptr                   `c:"ggml_backend_dev_init"`
	DevBufferType        func(dev uintptr) uintptr                           `c:"ggml_backend_dev_buffer_type"`
	DevHostBufferType    func(dev uintptr) uintptr                           `c:"ggml_backend_dev_host_buffer_type"`
	DevBufferFromHostPtr func(dev, ptr, size, maxTensorSize uintptr) uintptr `c:"ggml_backend_dev_buffer_from_host_ptr"`
	DevSupportsOp        func(dev uintptr, op *Tensor) bool                  `c:"ggml_backend_dev_supports_op"`
	RegGetProcAddress    func(reg uintptr, name string) uintptr              `c:"ggml_backend_reg_get_proc_address"`
	BackendFree          func(b uintptr)                                     `c:"ggml_backend_free"`
	ThreadpoolParamsInit func(p *threadpoolParams, threads int32)            `c:"ggml_threadpool_params_init"`
	GraphCompute         uintptr                                             `c:"ggml_backend_graph_compute"`
	PlanCreate           func(b, g uintptr) uintptr                          `c:"ggml_backend_graph_plan_create"`
	PlanFree             func(b, plan uintptr)                               `c:"ggml_backend_graph_plan_free"`
	PlanCompute          uintptr                                             `c:"ggml_backend_graph_plan_compute"`

	BuftName        func(t uintptr) string                         `c:"ggml_backend_buft_name"`
	BuftAlignment   func(t uintptr) uintptr                        `c:"ggml_backend_buft_get_alignment"`
	BuftMaxSize     func(t uintptr) uintptr                        `c:"ggml_backend_buft_get_max_size"`
	BuftAllocSize   func(t uintptr, x *Tensor) uintptr             `c:"ggml_backend_buft_get_alloc_size"`
	BuftIsHost      func(t uintptr) bool                           `c:"ggml_backend_buft_is_host"`
	BuftAllocBuffer func(t, size uintptr) uintptr                  `c:"ggml_backend_buft_alloc_buffer"`
	BufferFree      func(b uintptr)                                `c:"ggml_backend_buffer_free"`
	BufferBase      func(b uintptr) uintptr                        `c:"ggml_backend_buffer_get_base"`
	BufferType      func(b uintptr) uintptr                        `c:"ggml_backend_buffer_get_type"`
	BufferAlignment func(b uintptr) uintptr                        `c:"ggml_backend_buffer_get_alignment"`
	BufferAllocSize func(b uintptr, x *Tensor) uintptr             `c:"ggml_backend_buffer_get_alloc_size"`
	BufferIsHost    func(b uintptr) bool                           `c:"ggml_backend_buffer_is_host"`
	BufferClear     func(b uintptr, v uint8)                       `c:"ggml_backend_buffer_clear"`
	BufferSetUsage  func(b uintptr, usage int32)                   `c:"ggml_backend_buffer_set_usage"`
	TensorAlloc     func(b uintptr, t *Tensor, addr uintptr) int32 `c:"ggml_backend_tensor_alloc"`
	TensorMemset    uintptr                                        `c:"ggml_backend_tensor_memset"`
	TensorSet       uintptr                                        `c:"ggml_backend_tensor_set"`
	TensorGet       uintptr                                        `c:"ggml_backend_tensor_get"`
	TensorSet2D     uintptr                                        `c:"ggml_backend_tensor_set_2d"`
	TensorGet2D     uintptr                                        `c:"ggml_backend_tensor_get_2d"`

	Init               func(p initParams) uintptr                              `c:"ggml_init"`
	Free               func(ctx uintptr)                                       `c:"ggml_free"`
	TensorOverhead     func() uintptr                                          `c:"ggml_tensor_overhead"`
	BlockSize          func(t Type) int64                                      `c:"ggml_blck_size"`
	TypeSize           func(t Type) uintptr                                    `c:"ggml_type_size"`
	TypeTraits         func(t Type) *typeTraits                                `c:"ggml_get_type_traits"`
	RequiresImportance func(t Type) bool                                       `c:"ggml_quantize_requires_imatrix"`
	QuantizeChunk      uintptr                                                 `c:"ggml_quantize_chunk"`
	NewTensor4D        func(ctx uintptr, t Type, n0, n1, n2, n3 int64) *Tensor `c:"ggml_new_tensor_4d"`
	NewGraph           func(ctx, size uintptr, grads bool) uintptr             `c:"ggml_new_graph_custom"`
	GraphOverhead      func(size uintptr, grads bool) uintptr                  `c:"ggml_graph_overhead_custom"`
	GraphNodes         func(g uintptr) int32                                   `c:"ggml_graph_n_nodes"`
	GraphNode          func(g uintptr, i int32) *Tensor                        `c:"ggml_graph_node"`
	GraphAddNode       func(g uintptr, t *Tensor)                              `c:"ggml_graph_add_node"`
	BuildForwardExpand func(g uintptr, t *Tensor)                              `c:"ggml_build_forward_expand"`
	GallocrNew         func(buft uintptr) uintptr                              `c:"ggml_gallocr_new"`
	GallocrFree        func(a uintptr)                                         `c:"ggml_gallocr_free"`
	GallocrReserve     func(a, g uintptr) bool                                 `c:"ggml_gallocr_reserve"`
	GallocrMeasure     func(a, g, nodeBufs, leafBufs uintptr, sizes *uintptr)  `c:"ggml_gallocr_reserve_n_size"`
	GallocrAllocGraph  func(a, g uintptr) bool                                 `c:"ggml_gallocr_alloc_graph"`
	GallocrBufferSize  func(a uintptr, i int32) uintptr                        `c:"ggml_gallocr_get_buffer_size"`
	OpDesc             func(t *Tensor) string                                  `c:"ggml_op_desc"`

	GetRows    func(ctx uintptr, a, ids *Tensor) *Tensor                                                                                             `c:"ggml_get_rows"`
	SetRows    func(ctx uintptr, dst, src, idx *Tensor) *Tensor                                                                                      `c:"ggml_set_rows"`
	MulMat     func(ctx uintptr, w, x *Tensor) *Tensor                                                                                               `c:"ggml_mul_mat"`
	MulMatPrec func(t *Tensor, prec int32)                                                                                                           `c:"ggml_mul_mat_set_prec"`
	Add        func(ctx uintptr, a, b *Tensor) *Tensor                                                                                               `c:"ggml_add"`
	Mul        func(ctx uintptr, a, b *Tensor) *Tensor                                                                                               `c:"ggml_mul"`
	Scale      func(ctx uintptr, a *Tensor, f float32) *Tensor                                                                                       `c:"ggml_scale"`
	RMSNorm    func(ctx uintptr, x *Tensor, eps float32) *Tensor                                                                                     `c:"ggml_rms_norm"`
	ScaleBias  func(ctx uintptr, a *Tensor, f, b float32) *Tensor                                                                                    `c:"ggml_scale_bias"`
	Log        func(ctx uintptr, x *Tensor) *Tensor                                                                                                  `c:"ggml_log"`
	Floor      func(ctx uintptr, x *Tensor) *Tensor                                                                                                  `c:"ggml_floor"`
	SiLU       func(ctx uintptr, x *Tensor) *Tensor                                                                                                  `c:"ggml_silu"`
	GELU       func(ctx uintptr, x *Tensor) *Tensor                                                                                                  `c:"ggml_gelu"`
	Tanh       func(ctx uintptr, x *Tensor) *Tensor                                                                                                  `c:"ggml_tanh"`
	SwiGLU     func(ctx uintptr, gate, up *Tensor) *Tensor                                                                                           `c:"ggml_swiglu_split"`
	GeGLU      func(ctx uintptr, gate, up *Tensor) *Tensor                                                                                           `c:"ggml_geglu_split"`
	SwiGLUOAI  func(ctx uintptr, gate, up *Tensor, alpha, limit float32) *Tensor                                                                     `c:"ggml_swiglu_oai"`
	RoPE       func(ctx uintptr, x, pos, factors *Tensor, dims, mode, origContext int32, base, scale, ext, attn, betaFast, betaSlow float32) *Tensor `c:"ggml_rope_ext"`
	FlashAttn  func(ctx uintptr, q, k, v, mask *Tensor, scale, maxBias, softcap float32) *Tensor                                                     `c:"ggml_flash_attn_ext"`
	FlashPrec  func(t *Tensor, prec int32)                                                                                                           `c:"ggml_flash_attn_ext_set_prec"`
	FlashSinks func(t, sinks *Tensor)                                                                                                                `c:"ggml_flash_attn_ext_add_sinks"`
	SoftMax    func(ctx uintptr, x, mask *Tensor, scale, maxBias float32) *Tensor                                                                    `c:"ggml_soft_max_ext"`
	SoftSinks  func(t, sinks *Tensor)                                                                                                                `c:"ggml_soft_max_add_sinks"`
	View1D     func(ctx uintptr, a *Tensor, n0 int64, off uintptr) *Tensor                                                                           `c:"ggml_view_1d"`
	View2D     func(ctx uintptr, a *Tensor, n0, n1 int64, nb1, off uintptr) *Tensor                                                                  `c:"ggml_view_2d"`
	View3D     func(ctx uintptr, a *Tensor, n0, n1, n2 int64, nb1, nb2, off uintptr) *Tensor                                                         `c:"ggml_view_3d"`
	Reshape2D  func(ctx uintptr, a *Tensor, n0, n1 int64) *Tensor                                                                                    `c:"ggml_reshape_2d"`
	Reshape3D  func(ctx uintptr, a *Tensor, n0, n1, n2 int64) *Tensor                                                                                `c:"ggml_reshape_3d"`
	Permute    func(ctx uintptr, a *Tensor, ax0, ax1, ax2, ax3 int32) *Tensor                                                                        `c:"ggml_permute"`
	Transpose  func(ctx uintptr, a *Tensor) *Tensor                                                                                                  `c:"ggml_transpose"`
	Cont       func(ctx uintptr, a *Tensor) *Tensor                                                                                                  `c:"ggml_cont"`
	Cast       func(ctx uintptr, a *Tensor, t Type) *Tensor                                                                                          `c:"ggml_cast"`
	Concat     func(ctx uintptr, a, b *Tensor, dim int32) *Tensor                                                                                    `c:"ggml_concat"`
	MulMatID   func(ctx uintptr, w, x, ids *Tensor) *Tensor                                                                                          `c:"ggml_mul_mat_id"`
	AddID      func(ctx uintptr, x, b, ids *Tensor) *Tensor                                                                                          `c:"ggml_add_id"`
	Argsort    func(ctx uintptr, x *Tensor, order int32) *Tensor                                                                                     `c:"ggml_argsort"`
	SumRows    func(ctx uintptr, x *Tensor) *Tensor                                                                                                  `c:"ggml_sum_rows"`
	Clamp      func(ctx uintptr, x *Tensor, least, most float32) *Tensor                                                                             `c:"ggml_clamp"`
	Div        func(ctx uintptr, a, b *Tensor) *Tensor                                                                                               `c:"ggml_div"`
	Sigmoid    func(ctx uintptr, x *Tensor) *Tensor                                                                                                  `c:"ggml_sigmoid"`
	Cpy        func(ctx uintptr, a, dst *Tensor) *Tensor                                                                                             `c:"ggml_cpy"`
	Repeat     func(ctx uintptr, a *Tensor, n0, n1, n2, n3 int64) *Tensor                                                                            `c:"ggml_repeat_4d"`
	Arange     func(ctx uintptr, start, stop, step float32) *Tensor                                                                                  `c:"ggml_arange"`
	SSMScan    func(ctx uintptr, s, x, dt, a, b, cc, ids *Tensor, keep int64) *Tensor                                                                `c:"ggml_ssm_scan"`
	ReLU       func(ctx uintptr, x *Tensor) *Tensor                                                                                                  `c:"ggml_relu"`
	Sqr        func(ctx uintptr, x *Tensor) *Tensor                                                                                                  `c:"ggml_sqr"`
	Softplus   func(ctx uintptr, x *Tensor) *Tensor                                                                                                  `c:"ggml_softplus"`
	SSMConv    func(ctx uintptr, x, w *Tensor) *Tensor                                                                                               `c:"ggml_ssm_conv"`
	DeltaNet   func(ctx uintptr, q, k, v, g, beta, state *Tensor, keep int64) *Tensor                                                                `c:"ggml_gated_delta_net"`
	View4D     func(ctx uintptr, a *Tensor, n0, n1, n2, n3 int64, nb1, nb2, nb3, off uintptr) *Tensor                                                `c:"ggml_view_4d"`
	Reshape4D  func(ctx uintptr, a *Tensor, n0, n1, n2, n3 int64) *Tensor                                                                            `c:"ggml_reshape_4d"`
	Custom4D   func(ctx uintptr, t Type, n0, n1, n2, n3 int64, args **Tensor, nArgs int32, fn uintptr, tasks int32, user uintptr) *Tensor            `c:"ggml_custom_4d"`
}

// initParams is struct ggml_init_params.
type initParams struct {
	memSize   uintptr
	memBuffer uintptr
	noAlloc   bool
	_         [7]byte
}

// devProps is struct ggml_backend_dev_props.
type devProps struct {
	name        uintptr
	description uintptr
	memoryFree  uint64
	memoryTotal uint64
	typ         DeviceType
	_           int32
	deviceID    uintptr
	caps        struct{ async, hostBuffer, bufferFromHostPtr, events, mmap bool }
	_           [3]byte
}

// threadpoolParams is struct ggml_threadpool_params.
type threadpoolParams struct {
	cpumask   [512]bool
	threads   int32
	prio      int32
	poll      uint32
	strictCPU bool
	paused    bool
	_         [2]byte
}

// typeTraits is struct ggml_type_traits.
type typeTraits struct {
	name       uintptr
	blockSize  int64
	interleave int64
	size       uintptr
	quantized  bool
	_          [7]byte
	toFloat    uintptr
	fromFloat  uintptr
}

// bind fills the table with the addresses that find returns.
func (s *symbols) bind(find func(name string) (uintptr, error)) error {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		address, err := find(v.Type().Field(i).Tag.Get("c"))
		if err != nil {
			return err
		}
		field := v.Field(i)
		if field.Kind() == reflect.Uintptr {
			field.SetUint(uint64(address))
			continue
		}
		purego.RegisterFunc(field.Addr().Interface(), address)
	}
	return nil
}

// goString copies the C string at p.
func goString(p uintptr) string {
	if p == 0 {
		return ""
	}
	n := 0
	for *(*byte)(pointer(p + uintptr(n))) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(pointer(p)), n))
}

// pointer turns an address in C memory into a pointer. C memory neither moves nor is collected, so
// the rule that vet enforces does not apply to it.
func pointer(p uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&p))
}

package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/plan"
)

// healthy is a machine with nothing to fix.
func healthy() Readings {
	return Readings{
		Libraries: Libraries{
			Places: []Place{{"/x", Missing}, {"/cache", Found}}, Want: "0.25.1", Version: "0.25.1", Dir: "/cache", Llama: "0.5.0",
			Kernels: "libggml-cpu-haswell.so", Backends: []Backend{{File: "libggml-cuda.so", Loaded: true}},
		},
		Kernels: Kernels{Set: "amx", Has: []string{"amx", "avx2"}},
		Machine: Machine{CPU: "CPU", Cores: 8, Features: []string{"avx2"}, Total: 64 << 30, Available: 60 << 30, Memlock: Unlimited, HugePages: "madvise"},
		Threads: 8,
		Devices: []Device{
			{Name: "cuda0", Type: "gpu", Free: 24 << 30, Total: 24 << 30, HostBuffer: "CUDA_Host", GotBuffer: "CUDA_Host"},
			{Name: "cpu", Type: "cpu", HugeBytes: 64 << 20},
		},
		Disk: &Disk{Dir: "/tmp", Direct: true, Read: 1e9, Write: 1e9},
	}
}

func TestAHealthyMachineHasNothingToFix(t *testing.T) {
	r := healthy()
	r.Model = llama8B(r, 16<<30)
	if got := Findings(r); len(got) != 0 || !Runs(got) {
		t.Errorf("findings %+v, want none", got)
	}
}

// Pages of one size may be on where the others are off, and a CPU that could not be measured says nothing.
func TestHugePagesAreThoseThatWereCounted(t *testing.T) {
	for name, change := range map[string]func(*Readings){
		"counted, and off":   func(r *Readings) { r.Machine.HugePages = "never" },
		"not counted":        func(r *Readings) { r.Devices[1] = Device{Name: "cpu", Type: "cpu", Error: "no memory"} },
		"no Linux":           func(r *Readings) { r.Machine.HugePages, r.Devices[1].HugeBytes = "", 0 },
		"no devices, and on": func(r *Readings) { r.Devices = nil },
	} {
		r := healthy()
		change(&r)
		for _, f := range Findings(r) {
			if strings.Contains(f.What, "huge pages") {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}

// llama8B is a model of 8 billion parameters, with weights of some bytes.
func llama8B(r Readings, weights int64) *Model {
	m := &Model{
		Architecture: "llama", Known: []string{"llama"}, Weights: weights, Layers: 32, Context: 8192,
		KV: []KV{{Type: "f16", PerToken: 128 << 10}, {Type: "q8_0", PerToken: 68 << 10}, {Type: "q4_0", PerToken: 36 << 10}},
	}
	m.Fits = Fits(*m, r.Machine, r.Devices)
	return m
}

func TestFindingsSayWhatIsWrongAndWhatToDo(t *testing.T) {
	for _, test := range []struct {
		name     string
		change   func(*Readings)
		severity Severity
		what     string
		fix      string
	}{
		{"no libraries", func(r *Readings) {
			r.Libraries = Libraries{Places: []Place{{"/x", Empty}, {"/y", Missing}}, Want: "0.25.1", Error: "ggml: libraries not found"}
			r.Devices = nil
		}, Fatal, "ebb found no ggml libraries in the folders where it looks", "fetch them with `make libs`, or set EBB_GGML to a folder that holds ggml 0.25.1"},
		{"other libraries", func(r *Readings) { r.Libraries.Error = "ggml: found version 0.9.0, want 0.25.x" }, Fatal, "cannot be loaded: ggml: found version 0.9.0", "make libs"},
		{"no libllama", func(r *Readings) { r.Libraries.LlamaErr = "llama: libllama not found" }, Fatal, "libllama, which splits texts into tokens, cannot be loaded", "make libs"},
		{"plain kernels", func(r *Readings) { r.Libraries.Kernels = "libggml-cpu-sse42.so" }, Warning, "computes with libggml-cpu-sse42.so, although this CPU has AVX2", "libggml-cpu-haswell"},
		{"an instruction set that is none", func(r *Readings) { r.Kernels.Named, r.Kernels.Error = "mmx", `unknown instruction set "mmx"` }, Fatal, `EBB_ISA names no instruction set that can be used: unknown instruction set "mmx"`, "unset EBB_ISA, so that the best instruction set computes, which is amx here"},
		{"one where there are no kernels", func(r *Readings) { r.Kernels = Kernels{Named: "amx", Error: "this processor has no amx"} }, Fatal, "this processor has no amx", "so that ggml's kernels compute"},
		{"a lesser instruction set", func(r *Readings) { r.Kernels.Named, r.Kernels.Set = "avx2", "avx2" }, Note, "EBB_ISA makes attention and products compute with avx2, although this processor has amx", "unset EBB_ISA"},
		{"vulkan that does not load", func(r *Readings) { r.Libraries.Backends = []Backend{{File: "libggml-vulkan.so"}} }, Note, "libggml-vulkan.so could not be loaded", "libvulkan1"},
		{"cuda that does not load", func(r *Readings) { r.Libraries.Backends = []Backend{{File: "libggml-cuda.so"}} }, Note, "NVIDIA GPUs are not used", "NVIDIA's driver"},
		{"hidden software driver", func(r *Readings) {
			r.Machine.Software, r.Libraries.Backends, r.Devices = true, []Backend{{File: "libggml-vulkan.so", Loaded: true}}, r.Devices[1:]
		}, Note, "Mesa's software Vulkan driver is installed, but ggml does not list it", "GGML_VK_VISIBLE_DEVICES=0"},
		{"software driver", func(r *Readings) { r.Devices[0].Software = true }, Note, "computes on the CPU and is many times slower", "--device cpu is faster"},
		{"a device that fails", func(r *Readings) { r.Devices[0].Error = "out of memory" }, Warning, "cuda0 is listed but does not work: out of memory", "driver"},
		{"threads above the quota", func(r *Readings) { r.Machine.Quota = 2.5 }, Warning, "ebb computes with 8 threads, but the control group allows the time of 2.5", "--threads 2"},
		{"a quota below a core", func(r *Readings) { r.Machine.Quota = 0.5 }, Warning, "allows the time of 0.5", "--threads 1"},
		{"threads above the cores", func(r *Readings) { r.Threads = 16 }, Warning, "ebb computes with 16 threads on 8 cores", "--threads 8"},
		{"busy cores", func(r *Readings) { r.Others = 1.7 }, Warning, "other processes use 1.7 of 8 cores now", "--threads 6"},
		{"all cores busy", func(r *Readings) { r.Others = 8 }, Warning, "other processes use 8.0 of 8 cores now", "--threads 1"},
		{"memory that is not pinned", func(r *Readings) { r.Devices[0].GotBuffer = "CPU" }, Warning, "copies to cuda0 is not pinned (asked for CUDA_Host, got CPU)", "check the driver's log"},
		{"and may not be locked", func(r *Readings) { r.Devices[0].GotBuffer, r.Machine.Memlock = "CPU", 8<<20 }, Warning, "is not pinned", "the limit on locked memory, which is 8.0 MiB: ulimit -l unlimited"},
		{"no pinned memory at all", func(r *Readings) { r.Devices[0].HostBuffer, r.Devices[0].GotBuffer = "", "" }, Warning, "(asked for nothing, got nothing)", "driver"},
		{"a control group's memory", func(r *Readings) { r.Machine.Limit, r.Machine.Used = 32<<30, 1<<30 }, Note, "may use 32.0 GiB of the machine's 64.0 GiB, and uses 1.0 GiB", "--context"},
		{"no huge pages", func(r *Readings) { r.Machine.HugePages, r.Devices[1].HugeBytes = "never", 0 }, Note, "huge pages are switched off", "echo madvise"},
		{"no huge pages, and no devices", func(r *Readings) { r.Machine.HugePages, r.Devices = "never", nil }, Note, "huge pages are switched off", "echo madvise"},
		{"huge pages that are not given", func(r *Readings) { r.Devices[1].HugeBytes = 0 }, Note, "gave ebb no huge pages, though they are switched on (madvise)", "compact_memory"},
		{"a disk that cannot be written", func(r *Readings) { r.Disk = &Disk{Dir: "/x", Error: "permission denied"} }, Warning, "the disk of /x could not be measured: permission denied", "--disk"},
		{"no disk", func(r *Readings) { r.Disk.Direct = false }, Warning, "no O_DIRECT", "tmpfs"},
		{"no model", func(r *Readings) { r.Model = &Model{Error: "x.gguf: no such file"} }, Fatal, "the model cannot be opened: x.gguf", "GGUF"},
		{"another architecture", func(r *Readings) { r.Model = &Model{Architecture: "mamba", Known: []string{"llama", "qwen2"}} }, Fatal, `does not run the architecture "mamba"`, "one of: llama, qwen2"},
		{"a model larger than memory", func(r *Readings) { r.Devices = r.Devices[1:]; r.Model = llama8B(*r, 70<<30) }, Warning, "does not fit into memory: its weights and the memory for a step take 70.0 GiB, but 60.0 GiB are free, so that every token reads weights from the disk", "a smaller model"},
		{"a model larger than the device", func(r *Readings) { r.Model = llama8B(*r, 30<<30) }, Warning, "the weights do not fit on cuda0: with the memory for a step they take 30.0 GiB, but 24.0 GiB are free", "--gpu-layers"},
		{"experts larger than the device", func(r *Readings) {
			r.Model = llama8B(*r, 30<<30)
			r.Model.Experts = 27 << 30
		}, Warning, "the weights do not fit on cuda0", "(--cpu-experts), so that 3.0 GiB of weights are there, or compute only some layers"},
		{"a context larger than memory", func(r *Readings) {
			r.Devices = r.Devices[1:]
			r.Machine.Available = 17 << 29
			r.Model = llama8B(*r, 8<<30)
		}, Warning, "the whole context of 8192 tokens does not fit into memory: 4096 tokens fit with K/V of type f16", "--context 4096; --kv-type q8_0 has room for 7680"},
		{"a context larger than the device", func(r *Readings) { r.Devices[0].Free = 17 << 29; r.Model = llama8B(*r, 8<<30) }, Note, "does not fit on cuda0: 4096 tokens fit with K/V of type f16", "--cache offloaded the K/V are kept in host memory, and 8192 tokens fit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := healthy()
			test.change(&r)
			got := Findings(r)
			i := slices.IndexFunc(got, func(f Finding) bool { return strings.Contains(f.What, test.what) })
			if i < 0 {
				t.Fatalf("findings %+v, want one with %q", got, test.what)
			}
			if got[i].Severity != test.severity || !strings.Contains(got[i].Fix, test.fix) {
				t.Errorf("got  %+v\nwant %s with %q", got[i], test.severity, test.fix)
			}
			if Runs(got) != (test.severity != Fatal) {
				t.Errorf("runs: %t with %+v", Runs(got), got)
			}
			if len(got) > 2 {
				t.Errorf("one fault gave the findings %+v, want two at most", got)
			}
		})
	}
}

func TestTheWorstFindingComesFirst(t *testing.T) {
	r := healthy()
	r.Devices[1].HugeBytes, r.Others, r.Libraries.LlamaErr = 0, 3, "gone"
	var got []Severity
	for _, f := range Findings(r) {
		got = append(got, f.Severity)
	}
	if diff := cmp.Diff(got, []Severity{Fatal, Warning, Note}); diff != "" {
		t.Errorf("severities (-got +want):\n%s", diff)
	}
}

func TestFits(t *testing.T) {
	r := healthy()
	r.Devices[0].Free = 10 << 30
	m := llama8B(r, 8<<30)
	m.Step = 1 << 30
	got := Fits(*m, r.Machine, r.Devices)[:2]
	want := []Fit{
		// 1 GiB is left: 8192 cells of 128 KiB, and all of it is the context.
		{Device: "cuda0", Type: "f16", Room: 1 << 30, Tokens: 8192, Offloaded: 8192},
		{Device: "cuda0", Type: "q8_0", Room: 1 << 30, Tokens: 8192, Offloaded: 8192},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("fits (-got +want):\n%s", diff)
	}
	m.Context = 1 << 20
	r.Machine.Available = 20 << 30
	got = Fits(*m, r.Machine, r.Devices)
	want = []Fit{
		// Offloaded: 1 GiB holds two layers of 131072 tokens, 8 KiB a token; and 20 GiB of host
		// memory 163840 tokens.
		{Device: "cuda0", Type: "f16", Room: 1 << 30, Tokens: 8192, Offloaded: 131072},
		{Device: "cuda0", Type: "q8_0", Room: 1 << 30, Tokens: 15360, Offloaded: 246528},
		{Device: "cuda0", Type: "q4_0", Room: 1 << 30, Tokens: 28928, Offloaded: 465920},
		{Device: "cpu", Type: "f16", Room: 11 << 30, Tokens: 90112},
		{Device: "cpu", Type: "q8_0", Room: 11 << 30, Tokens: 169472},
		{Device: "cpu", Type: "q4_0", Room: 11 << 30, Tokens: 320256},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("fits of a long context (-got +want):\n%s", diff)
	}
	if got := Fits(*m, Machine{}, nil); len(got) != 0 {
		t.Errorf("fits of a machine of which nothing is known: %+v, want none", got)
	}
	if got := Fits(*m, Machine{Available: 9 << 30}, nil); len(got) != 3 || got[0].Device != "cpu" || got[0].Tokens != 0 {
		t.Errorf("fits without libraries: %+v, want none of the context on the CPU, for 3 types", got)
	}
}

// A model of 3 layers that keep the context and 15 with a window of 512, each with 1 KiB a token, for
// 131072 tokens: what is behind the windows lies in host memory.
func TestFitsOfLayersWithWindows(t *testing.T) {
	layers := slices.Repeat([]plan.Layer{{RowBytes: 1 << 10, Window: 512}}, 18)
	for l := 5; l < 18; l += 6 {
		layers[l].Window = 0
	}
	kv := KV{Type: "f16", PerToken: 3 << 10, Windows: 15 << 20, Past: 15 << 10, Layers: layers}
	m := Model{Layers: 18, Context: 131072, KV: []KV{kv}}
	const ring = 15 * 768 << 10 // with graphs of 256 tokens, for so long a context
	for _, test := range []struct {
		gpu, host         int64
		tokens, offloaded int
		cpu               int
	}{
		{ring + 3<<30, 3 << 30, 131072, 131072, 131072},
		{ring + 3<<20, 3 << 30, 768, 1024, 131072}, // shorter than rings, all layers keep all of it
		{ring + 3<<30, 15 << 20, 1024, 768, 256},
	} {
		got := Fits(m, Machine{Available: test.host}, []Device{{Name: "cuda0", Type: "gpu", Free: test.gpu}, {Name: "cpu", Type: "cpu"}})
		if got[0].Tokens != test.tokens || got[0].Offloaded != test.offloaded || got[1].Tokens != test.cpu {
			t.Errorf("%d bytes on a GPU and %d in host memory: %+v; want %d, %d offloaded, and %d on the CPU", test.gpu, test.host, got, test.tokens, test.offloaded, test.cpu)
		}
	}
}

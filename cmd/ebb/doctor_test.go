package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/kv"
)

func TestADiagnosisIsWrittenForPeople(t *testing.T) {
	d := diagnosis{
		Runs: true,
		Readings: doctor.Readings{
			Version: "v1", System: "linux/amd64", Threads: 8, Others: 1.25,
			Libraries: doctor.Libraries{Want: "0.25.1", Version: "0.25.1", Llama: "0.5.0", Dir: "/libs", Kernels: "libggml-cpu-haswell.so", Features: []string{"AVX2", "FMA"}},
			Kernels:   doctor.Kernels{Set: "vnni", Has: []string{"vnni", "avx512", "avx2"}},
			Machine: doctor.Machine{
				CPU: "Some CPU", Cores: 8, Features: []string{"avx2"}, Quota: 2.5, Total: 64 << 30, Available: 60 << 30, Limit: 32 << 30, Used: 1 << 30,
				Memlock: doctor.Unlimited, HugePages: "madvise",
			},
			Devices: []doctor.Device{
				{Name: "cuda0", Type: "gpu", Description: "A GPU\x1b", Free: 20 << 30, Total: 24 << 30, HostBuffer: "CUDA_Host", GotBuffer: "CUDA_Host", To: 25e9, From: 24.5e9},
				{Name: "vulkan0", Type: "gpu", Description: "Another", Free: 1 << 30, Total: 1 << 30, Error: "no memory"},
				{Name: "cpu", Type: "cpu", Description: "Some CPU", To: 30e9, From: 31e9, HugeBytes: 62 << 20},
			},
			Disk: &doctor.Disk{Dir: "/var/tmp", Free: 100 << 30, Direct: true, Read: 2.5e9, Write: 800e6},
			Model: &doctor.Model{
				Name: "M", Architecture: "llama", Weights: 4 << 30, Layers: 32, Context: 8192,
				KV: []doctor.KV{{Type: "f16", PerToken: 128 << 10}},
				Fits: []doctor.Fit{
					{Device: "cuda0", Type: "f16", Tokens: 4096, Offloaded: 8192},
					{Device: "cpu", Type: "f16", Tokens: 8192},
				},
			},
		},
		Findings: []doctor.Finding{{Severity: doctor.Warning, What: "something is slow", Fix: "make it fast"}},
	}
	var got bytes.Buffer
	printDiagnosis(&got, d)
	want := `ebb          v1 on linux/amd64
libraries    ggml 0.25.1, libllama 0.5.0, in /libs
kernels      libggml-cpu-haswell.so: AVX2 FMA
             attention and products: AVX-512 VNNI (this processor also has AVX-512, AVX2)
processor    Some CPU, 8 cores; 8 threads compute; other processes use 1.2 cores now
             avx2
memory       64.0 GiB, 60.0 GiB of it available
limits       the time of 2.5 cores, 32.0 GiB of memory, 1.0 GiB used; memory that may be locked: all; huge pages: madvise
device       cuda0, "A GPU\x1b": 20.0 GiB of 24.0 GiB free by its driver; copies to it 25.0 GB/s, back 24.5 GB/s; host memory for them: CUDA_Host, pinned
device       vulkan0, Another: 1.0 GiB of 1.0 GiB free by its driver; it does not work
device       cpu, Some CPU: copies memory at 31.0 GB/s
             62.0 MiB of the 64.0 MiB copied are in huge pages
disk         /var/tmp, 100.0 GiB free: reads 2.5 GB/s, writes 800 MB/s, past the page cache
model        M, llama: weights 4.0 GiB, 32 layers, context 8192
             K/V f16   128.0 KiB a token; cuda0 holds 4096 tokens, the whole context offloaded; cpu holds the whole context

ebb can run here. To fix or to know:

warning  something is slow
  do     make it fast
`
	if diff := cmp.Diff(got.String(), want); diff != "" {
		t.Errorf("text (-got +want):\n%s", diff)
	}
}

func TestADiagnosisSaysWhetherEbbRuns(t *testing.T) {
	fatal := []doctor.Finding{{Severity: doctor.Fatal}}
	for _, test := range []struct {
		name string
		d    diagnosis
		want string
	}{
		{"well", diagnosis{Runs: true}, "ebb can run here; there is nothing to fix.\n"},
		{"no libraries", diagnosis{Findings: fatal, Readings: doctor.Readings{Libraries: doctor.Libraries{Error: "x"}}}, "ebb cannot run here."},
		{"no model", diagnosis{Findings: fatal}, "ebb can run here, and not this model."},
		{"no such instruction set", diagnosis{Findings: fatal, Readings: doctor.Readings{Kernels: doctor.Kernels{Error: "x"}}}, "ebb cannot run here."},
	} {
		var got bytes.Buffer
		printDiagnosis(&got, test.d)
		if !bytes.Contains(got.Bytes(), []byte("\n"+test.want)) {
			t.Errorf("%s:\n%s\nwant %q in it", test.name, got.String(), test.want)
		}
	}
}

func TestKernelsAreDescribedForPeople(t *testing.T) {
	for _, test := range []struct {
		k    doctor.Kernels
		want string
	}{
		{doctor.Kernels{Set: "amx", Has: []string{"amx", "vnni"}}, "AMX (this processor also has AVX-512 VNNI)"},
		{doctor.Kernels{Set: "avx2", Has: []string{"avx2"}}, "AVX2"},
		{doctor.Kernels{Set: "ggml", Named: "ggml", Has: []string{"avxvnni", "avx2"}}, "ggml's, as EBB_ISA says (this processor also has AVX-VNNI, AVX2)"},
		{doctor.Kernels{Set: "ggml"}, "ggml's (ebb has none of its own for this processor and system)"},
		{doctor.Kernels{Named: "mmx", Error: "x", Has: []string{"avx2"}}, "none: EBB_ISA names no instruction set that can be used"},
	} {
		if got := describeKernels(test.k); got != test.want {
			t.Errorf("%+v: got %q, want %q", test.k, got, test.want)
		}
	}
}

func TestTheEstimateOfAStepIsNearWhatOneTakes(t *testing.T) {
	needLibraries(t)
	const path = "../../testdata/models/tiny-gqa.gguf"
	file, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	got := stepBytes(summarize(file))
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	// The kernels take some memory for each thread, which matters for a model as small as this.
	engine, err := ebb.Open(path, ebb.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}()
	seq := engine.NewSeq()
	if _, err := engine.Forward(t.Context(), []kv.Work{{Seq: seq, Tokens: make([]int32, engine.Context()), Logits: engine.Context()}}); err != nil {
		t.Fatal(err)
	}
	taken := int64(0)
	for purpose, n := range engine.Stats().Device.Peak {
		if purpose != ggml.Weights && purpose != ggml.Regions {
			taken += n
		}
	}
	if got < taken || got > taken*5/4 { // it is meant to say whether a model fits, not to the byte
		t.Errorf("estimated %d bytes, and %d were taken; want no less, and at most a quarter more", got, taken)
	}
}

package doctor

import "github.com/seed4d217819/ebb/plan"

// Readings are what was found on a machine. What could not be read is zero, or has an error in its
// place.
type Readings struct {
	Version   string    `json:"version"` // of ebb
	System    string    `json:"system"`  // as in linux/amd64
	Libraries Libraries `json:"libraries"`
	Kernels   Kernels   `json:"kernels"`
	Machine   Machine   `json:"machine"`
	Threads   int       `json:"threads"` // with which the CPU would compute
	Others    float64   `json:"others"`  // cores that other processes use now
	Devices   []Device  `json:"devices"`
	Disk      *Disk     `json:"disk,omitempty"`
	Model     *Model    `json:"model,omitempty"`
}

// Libraries are what ebb computes with.
type Libraries struct {
	Places   []Place   `json:"places"` // in the order of the search
	Want     string    `json:"want"`   // the version that ebb is made for
	Version  string    `json:"version,omitempty"`
	Dir      string    `json:"dir,omitempty"`
	Error    string    `json:"error,omitempty"` // why they could not be loaded; "": they are
	Llama    string    `json:"llama,omitempty"` // the version of libllama, for tokens
	LlamaErr string    `json:"llama_error,omitempty"`
	Backends []Backend `json:"backends,omitempty"` // files in Dir
	Kernels  string    `json:"kernels,omitempty"`  // the file whose CPU kernels were chosen
	Features []string  `json:"features,omitempty"` // of the CPU that those kernels use
}

// Usable reports whether ebb can compute with them.
func (l Libraries) Usable() bool { return l.Error == "" && l.LlamaErr == "" }

// Kernels are those of ebb's own, for attention and products on the CPU. Instruction sets have the names
// that EBB_ISA takes.
type Kernels struct {
	Set   string   `json:"instruction_set,omitempty"` // that computes; "ggml": there are none, or they are not wanted
	Has   []string `json:"processor_has"`             // those of the processor for which there are kernels, the best first
	Named string   `json:"ebb_isa,omitempty"`         // what EBB_ISA says; "": it is not set
	Error string   `json:"error,omitempty"`           // what is wrong with that
}

// Place is a folder where libraries may be.
type Place struct {
	Dir   string `json:"dir"`
	State string `json:"state"` // one of the states below
}

// The states of a Place.
const (
	Found   = "found"
	Empty   = "no libraries in it"
	Missing = "no such folder"
)

// Backend is a library file with kernels for one kind of device.
type Backend struct {
	File    string   `json:"file"`
	Loaded  bool     `json:"loaded"`
	Missing []string `json:"missing,omitempty"` // libraries that it needs and that are not found
}

// Device is something that computes. Rates are bytes a second, 0 where they were not measured.
type Device struct {
	Name        string  `json:"name"`
	Description string  `json:"description"`
	Type        string  `json:"type"` // cpu, gpu, igpu or accel
	Software    bool    `json:"software"`
	Free        int64   `json:"free_bytes"`
	Total       int64   `json:"total_bytes"`
	HostBuffer  string  `json:"host_buffer,omitempty"` // the kind of host memory with which its copies are fastest
	GotBuffer   string  `json:"got_buffer,omitempty"`  // the kind that it really provides
	PinnedBytes int64   `json:"pinned_bytes"`          // that the system counted for a buffer of that memory; it does not count those of every driver
	HugeBytes   int64   `json:"huge_bytes"`            // that the system counted as huge pages for such a buffer
	To          float64 `json:"to_rate"`               // from that host memory to the device
	From        float64 `json:"from_rate"`             // and back
	Error       string  `json:"error,omitempty"`
}

// Pinned reports whether the host memory for copies is pinned.
func (d Device) Pinned() bool { return d.HostBuffer != "" && d.HostBuffer == d.GotBuffer }

// cpu reports whether the device is the processor itself, which copies nothing.
func (d Device) cpu() bool { return d.Type == cpu }

// Disk is the disk of a folder. Rates are bytes a second.
type Disk struct {
	Dir    string  `json:"dir"`
	Free   int64   `json:"free_bytes"`
	Direct bool    `json:"direct"` // past the page cache (O_DIRECT)
	Write  float64 `json:"write_rate"`
	Read   float64 `json:"read_rate"`
	Error  string  `json:"error,omitempty"`
}

// Model is a model that is to be run.
type Model struct {
	Path         string   `json:"path"`
	Name         string   `json:"name,omitempty"`
	Architecture string   `json:"architecture"`
	Known        []string `json:"known_architectures"`
	Weights      int64    `json:"weights_bytes"`
	Packed       int64    `json:"packed_bytes,omitempty"`  // of these, bytes in private memory where the CPU computes; the others stay in the file
	Experts      int64    `json:"experts_bytes,omitempty"` // of these, bytes that --cpu-experts leaves in host memory
	Step         int64    `json:"step_bytes"`              // the most that activations, masks and other buffers of a step take
	Layers       int      `json:"layers"`
	Context      int      `json:"context"` // in tokens, of the model's training
	KV           []KV     `json:"kv"`      // f16, the default, first, then those of fewer bits
	Fits         []Fit    `json:"fits"`    // see Fits
	Error        string   `json:"error,omitempty"`
}

// KV is the memory that K/V of a type take.
type KV struct {
	Type     string `json:"type"`
	PerToken int64  `json:"per_token_bytes"`                    // of one token in the layers that keep the whole context
	Windows  int64  `json:"windows_bytes,omitempty"`            // of the layers with a window, whatever the context
	Past     int64  `json:"past_windows_token_bytes,omitempty"` // of one token behind the windows, in host memory

	Layers []plan.Layer `json:"-"` // nil: all are alike, and keep the whole context
}

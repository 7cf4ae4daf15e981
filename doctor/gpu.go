package doctor

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// GPU is a graphics processor on the machine's bus, whether or not ebb can compute with it.
type GPU struct {
	Vendor  string `json:"vendor"`  // NVIDIA, AMD or Intel
	Address string `json:"address"` // on the PCI bus
	Driver  string `json:"driver"`  // the kernel driver in charge of it; "" if there is none
}

// vendors are the makers of GPUs by their vendor number on the PCI bus.
var vendors = map[string]string{"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}

// ReadGPUs lists the GPUs on the PCI bus of a Linux system under root. Display adapters of virtual
// machines and of other makers are left out.
func ReadGPUs(root fs.FS) []GPU {
	const devices = "sys/bus/pci/devices"
	names, err := fs.Glob(root, devices+"/*")
	if err != nil {
		return nil
	}
	var all []GPU
	for _, name := range names {
		class := strings.TrimSpace(string(read(root, name+"/class")))
		vendor := vendors[strings.TrimSpace(string(read(root, name+"/vendor")))]
		if !strings.HasPrefix(class, "0x03") || vendor == "" { // 03 is the class of display controllers
			continue
		}
		g := GPU{Vendor: vendor, Address: path.Base(name)}
		for line := range strings.Lines(string(read(root, name+"/uevent"))) {
			if driver, ok := strings.CutPrefix(strings.TrimSpace(line), "DRIVER="); ok {
				g.Driver = driver
			}
		}
		all = append(all, g)
	}
	return all
}

// computes reports whether the device is one of the vendor's GPUs.
func (d Device) computes(vendor string) bool {
	if d.cpu() || d.Software {
		return false
	}
	text := strings.ToLower(d.Name + " " + d.Description)
	words := map[string][]string{"NVIDIA": {"cuda", "nvidia", "geforce", "quadro", "tesla"}, "AMD": {"amd", "radeon", "rocm"}, "Intel": {"intel"}}
	return slices.ContainsFunc(words[vendor], func(w string) bool { return strings.Contains(text, w) })
}

// unusedGPUs reports each GPU that is on the bus but not among the devices, and what it lacks.
func unusedGPUs(r Readings) []Finding {
	if !r.Libraries.Usable() {
		return nil // then the devices are not known
	}
	var all []Finding
	for _, g := range r.Machine.GPUs {
		if slices.ContainsFunc(r.Devices, func(d Device) bool { return d.computes(g.Vendor) }) {
			continue
		}
		if fix := g.lacks(r.Libraries); fix != "" {
			all = append(all, Finding{Warning, fmt.Sprintf("this machine has a GPU of %s (%s, kernel driver: %s), but ebb cannot compute with it", g.Vendor, g.Address, unless(g.Driver, "none")), fix})
		}
	}
	return all
}

// lacks returns what to install for an unused GPU, or "" if another finding says so.
func (g GPU) lacks(l Libraries) string {
	backend := func(name string) (there, loaded bool) {
		i := slices.IndexFunc(l.Backends, func(b Backend) bool { return strings.Contains(b.File, name) })
		return i >= 0, i >= 0 && l.Backends[i].Loaded
	}
	cuda, cudaLoaded := backend("cuda")
	vulkan, vulkanLoaded := backend("vulkan")
	switch {
	case g.Vendor == "NVIDIA" && g.Driver != "nvidia":
		return "install NVIDIA's driver (Debian: nvidia-driver, from non-free; Ubuntu: ubuntu-drivers install), and restart the machine"
	case g.Vendor == "NVIDIA" && cudaLoaded:
		return "the driver is loaded but lists no device that the libraries can use: nvidia-smi shows which GPUs it finds; in a container, pass the GPU on (docker run --gpus all); for older cards, fetch the libraries with `make libs GPU=cuda-ext`"
	case g.Vendor == "NVIDIA" && !cuda:
		return "fetch the libraries with CUDA: `make libs GPU=cuda`, or GPU=cuda-ext for cards older than the RTX 20 series"
	case g.Vendor != "NVIDIA" && g.Driver == "":
		return "load its kernel driver (amdgpu, i915 or xe); AMD's needs firmware (Debian: firmware-amd-graphics)"
	case g.Vendor != "NVIDIA" && !vulkan:
		return "use libraries with Vulkan: `make libs` fetches them"
	case g.Vendor != "NVIDIA" && vulkanLoaded:
		return "install a Vulkan driver (Debian, Ubuntu: mesa-vulkan-drivers), and make sure that this user may open /dev/dri/renderD128 (group render)"
	}
	return "" // the backend is there but does not load, which is a finding of its own
}

// packages are the packages with the libraries that backends for GPUs need.
var packages = map[string]string{
	"libcuda.so.1":   "NVIDIA's driver (Debian: nvidia-driver, from non-free; Ubuntu: ubuntu-drivers install)",
	"libvulkan.so.1": "libvulkan1 (Debian, Ubuntu), and a driver: mesa-vulkan-drivers for AMD and Intel; NVIDIA's driver includes its own",

	"libcudart.so.13": "cuda-cudart-13-0 (NVIDIA's apt repository), nvidia-cuda-runtime (pip)",
	"libcublas.so.13": "libcublas-13-0 (NVIDIA's apt repository), nvidia-cublas (pip)",
	"libcudart.so.12": "libcudart12 (Debian 13, Ubuntu 24.04), nvidia-cuda-runtime-cu12 (pip)",
	"libcublas.so.12": "libcublas12 (Debian 13, Ubuntu 24.04), nvidia-cublas-cu12 (pip)",
}

// unloaded reports why the file of a backend could not be loaded, and what to install.
func unloaded(b Backend, gpus []GPU) Finding {
	vendors, through := []string{"NVIDIA", "AMD", "Intel"}, "GPUs are not used through Vulkan"
	fix := "install the Vulkan loader (libvulkan.so.1; Debian: libvulkan1) and a driver"
	if strings.Contains(b.File, "cuda") {
		vendors, through = vendors[:1], "NVIDIA GPUs are not used through CUDA"
		fix = "install NVIDIA's driver and the CUDA libraries of the version that the file was built for"
	}
	f := Finding{Note, fmt.Sprintf("%s could not be loaded, so %s", b.File, through), fix}
	if slices.ContainsFunc(gpus, func(g GPU) bool { return slices.Contains(vendors, g.Vendor) }) {
		f.Severity = Warning
	}
	if len(b.Missing) == 0 {
		return f
	}
	f.What = fmt.Sprintf("%s could not be loaded because it lacks %s, so %s", b.File, strings.Join(b.Missing, ", "), through)
	var fixes []string
	pip := false
	for _, library := range b.Missing {
		from := packages[library]
		fixes = append(fixes, library+": "+unless(from, "the package that has this file"))
		pip = pip || strings.Contains(from, "(pip)")
	}
	f.Fix = "install " + strings.Join(fixes, "; ")
	if pip {
		f.Fix += ". Libraries that pip installed are found once their .so files are linked into the folder of " + b.File
	}
	return f
}

package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGPUsOnTheBusAreListed(t *testing.T) {
	const bus = "sys/bus/pci/devices/"
	root := files(linux, map[string]string{
		bus + "0000:00:02.0/class": "0x030000\n", bus + "0000:00:02.0/vendor": "0x8086\n", bus + "0000:00:02.0/uevent": "DRIVER=i915\nPCI_CLASS=30000\n",
		bus + "0000:01:00.0/class": "0x030200\n", bus + "0000:01:00.0/vendor": "0x10de\n", bus + "0000:01:00.0/uevent": "PCI_CLASS=30200\n",
		bus + "0000:02:00.0/class": "0x038000\n", bus + "0000:02:00.0/vendor": "0x1002\n",
		bus + "0000:03:00.0/class": "0x020000\n", bus + "0000:03:00.0/vendor": "0x8086\n", // a network card
		bus + "0000:04:00.0/class": "0x030000\n", bus + "0000:04:00.0/vendor": "0x1234\n", // of a virtual machine
		bus + "0000:05:00.0/class": "",
	})
	want := []GPU{{"Intel", "0000:00:02.0", "i915"}, {"NVIDIA", "0000:01:00.0", ""}, {"AMD", "0000:02:00.0", ""}}
	if diff := cmp.Diff(ReadMachine(root).GPUs, want); diff != "" {
		t.Errorf("GPUs (-got +want):\n%s", diff)
	}
}

func TestFindingsNameWhatAGPULacks(t *testing.T) {
	cuda, vulkan := Backend{File: "libggml-cuda.so"}, Backend{File: "libggml-vulkan.so", Loaded: true}
	loaded := Backend{File: "libggml-cuda.so", Loaded: true}
	lacking := func(names ...string) Backend { return Backend{File: "libggml-cuda.so", Missing: names} }
	nvidia, amd := GPU{"NVIDIA", "0000:01:00.0", "nvidia"}, GPU{"AMD", "0000:02:00.0", "amdgpu"}
	for _, test := range []struct {
		name     string
		gpu      GPU
		backends []Backend
		devices  []Device
		severity Severity // "": nothing to fix
		what     string
		fix      string
	}{
		{"used", nvidia, []Backend{loaded}, []Device{{Name: "cuda0", Type: "gpu", HostBuffer: "x", GotBuffer: "x"}}, "", "", ""},
		{"used through Vulkan", amd, []Backend{vulkan}, []Device{{Name: "vulkan0", Description: "AMD Radeon RX 7900", Type: "gpu", HostBuffer: "x", GotBuffer: "x"}}, "", "", ""},
		{"no driver", GPU{"NVIDIA", "0000:01:00.0", ""}, []Backend{vulkan}, nil, Warning, "a GPU of NVIDIA (0000:01:00.0, kernel driver: none)", "nvidia-driver"},
		{"nouveau", GPU{"NVIDIA", "0000:01:00.0", "nouveau"}, []Backend{vulkan}, nil, Warning, "kernel driver: nouveau", "nvidia-driver"},
		{"no CUDA library", nvidia, []Backend{vulkan}, nil, Warning, "ebb cannot compute with it", "make libs GPU=cuda"},
		{"no runtime 13", nvidia, []Backend{lacking("libcudart.so.13", "libcublas.so.13")}, nil, Warning, "lacks libcudart.so.13, libcublas.so.13, so NVIDIA GPUs are not used", "nvidia-cuda-runtime (pip)"},
		{"no runtime 12", nvidia, []Backend{lacking("libcublas.so.12")}, nil, Warning, "lacks libcublas.so.12", "libcublas12 (Debian 13, Ubuntu 24.04)"},
		{"no library of the driver", nvidia, []Backend{lacking("libcuda.so.1")}, nil, Warning, "lacks libcuda.so.1", "ubuntu-drivers"},
		{"a library nobody knows", nvidia, []Backend{lacking("libx.so")}, nil, Warning, "lacks libx.so", "libx.so: the package that has this file"},
		{"not loaded for another reason", nvidia, []Backend{cuda}, nil, Warning, "could not be loaded", "NVIDIA's driver"},
		{"CUDA without a GPU", GPU{}, []Backend{lacking("libcuda.so.1")}, nil, Note, "lacks libcuda.so.1", "NVIDIA's driver"},
		{"not passed into the container", nvidia, []Backend{loaded}, nil, Warning, "ebb cannot compute with it", "--gpus all"},
		{"no kernel driver", GPU{"AMD", "0000:02:00.0", ""}, []Backend{vulkan}, nil, Warning, "a GPU of AMD", "firmware-amd-graphics"},
		{"no Vulkan driver", amd, []Backend{vulkan}, nil, Warning, "a GPU of AMD", "mesa-vulkan-drivers"},
		{"a software driver is none", amd, []Backend{vulkan}, []Device{{Name: "vulkan0", Description: "AMD", Type: "gpu", Software: true, HostBuffer: "x", GotBuffer: "x"}}, Warning, "a GPU of AMD", "mesa-vulkan-drivers"},
		{"no Vulkan library", amd, nil, nil, Warning, "a GPU of AMD", "make libs"},
		{"no Vulkan loader", amd, []Backend{{File: "libggml-vulkan.so", Missing: []string{"libvulkan.so.1"}}}, nil, Warning, "because it lacks libvulkan.so.1", "libvulkan1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := healthy()
			r.Libraries.Backends = test.backends
			r.Devices = slices.Concat(test.devices, []Device{{Name: "cpu", Type: "cpu", HugeBytes: 64 << 20}})
			if test.gpu != (GPU{}) {
				r.Machine.GPUs = []GPU{test.gpu}
			}
			got := slices.DeleteFunc(Findings(r), func(f Finding) bool { return strings.Contains(f.What, "software Vulkan driver") })
			if test.severity == "" {
				if len(got) != 0 {
					t.Errorf("findings %+v, want none", got)
				}
				return
			}
			if len(got) != 1 || got[0].Severity != test.severity || !strings.Contains(got[0].What, test.what) || !strings.Contains(got[0].Fix, test.fix) {
				t.Errorf("findings %+v\nwant one %s with %q and %q", got, test.severity, test.what, test.fix)
			}
		})
	}
}

func TestWithoutLibrariesNoGPUIsCalledUnused(t *testing.T) {
	r := healthy()
	r.Libraries.Error, r.Devices = "not found", nil
	r.Machine.GPUs = []GPU{{"NVIDIA", "0000:01:00.0", ""}}
	if got := Findings(r); len(got) != 1 || got[0].Severity != Fatal {
		t.Errorf("findings %+v, want that there are no libraries alone", got)
	}
}

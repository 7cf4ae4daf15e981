package ggml

// Features returns what of the processor the device's kernels use, as in "AVX2"; none if its
// library does not say.
func (d *Device) Features() []string {
	f := d.proc("ggml_backend_get_features")
	if f == 0 {
		return nil
	}
	var names []string
	const size = 16 // of struct ggml_backend_feature: name, value
	for p := call(f, c.DevBackendReg(d.ptr), 0, 0, 0, 0, 0, 0); p != 0; p += size {
		name, value := *(*uintptr)(pointer(p)), *(*uintptr)(pointer(p + size/2))
		if name == 0 {
			break
		}
		if goString(value) == "1" {
			names = append(names, goString(name))
		}
	}
	return names
}

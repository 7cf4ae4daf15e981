// Command gpucheck checks and measures ebb on a GPU: the tests that compute on a
// device, then overlap and speed, and writes one JSON file of both.
//
//	gpucheck [-device NAME] [-model FILE] [-out FILE] TEST...
//
// Each TEST is a test binary, named after the folder of its package as in
// kv.test, and run there; so a machine without Go needs the folder bin and the
// checkout alone. Without a GPU it uses Mesa's software Vulkan driver, and sizes
// that this can do: then it checks itself.
package main

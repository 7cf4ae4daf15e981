// Command gpucheck checks and measures ebb on a GPU: it runs the tests that compute on a device,
// measures overlap and speed, and writes one JSON file of both.
//
//	gpucheck [-device NAME] [-model FILE] [-out FILE] TEST...
//
// Each TEST is a test binary that has the name of its package's folder, as in kv.test, and runs in
// that folder; so a machine without Go needs only the folder bin and the checkout. Without a GPU
// the command uses Mesa's software Vulkan driver, with sizes that this driver can compute: then it
// checks itself.
package main

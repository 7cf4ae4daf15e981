// Package disk keeps K/V rows in files, for sequences that are larger than the memory of the device
// and of the host together.
//
// A [Store] is a folder with a bound on the bytes that may be used there. It makes a [tier.Tier]
// for each sequence tree, which has a file of its own. A layer's rows are divided into blocks of
// 256 cells. The blocks that were stored to last are open: they lie in host memory, because the
// next rows go there. When a layer opens another block, the one that was stored to least recently
// is written to the file in the background, with a checksum (CRC-32C) that every read verifies.
//
// Where the operating system allows it, the files bypass its page cache (O_DIRECT), and a read of
// several blocks scatters them straight to the heads of the layer's slot. Elsewhere rows pass
// through a buffer. The way is chosen by trying it when the folder is opened.
//
// A file is removed when its tier is closed. On Unix its name is removed as soon as it has been
// created, so that the space returns even if the process is killed.
package disk

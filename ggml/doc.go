// Package ggml binds the parts of libggml that ebb computes with. The library is loaded when the
// program runs, so the program itself needs no C compiler.
//
// There are eight nouns:
//
//   - a [Library] is the loaded libggml: it lists devices;
//   - a [Device] is something that computes, such as "cpu" or "vulkan0";
//   - a [Backend] is an opened device: it computes graphs, allocates buffers
//     and accounts for their bytes by [Purpose];
//   - a [Buffer] is memory of a device or of the host;
//   - a [Tensor] is a shape, a [Type] and, once placed, an address in a buffer;
//   - a [Context] holds tensors that live longer than a graph: weights, inputs,
//     rows of a cache;
//   - a [Graph] holds operations, in the order in which they will run;
//   - a [Scratch] is the buffer that graphs keep intermediate results in.
//
// Shapes are in ggml's order, innermost first.
//
// # Misuse
//
// ggml aborts the process when an operation does not fit its operands, and some operations that do
// not fit give wrong numbers. So every operation first checks types, shapes and strides, and panics
// with a [*ShapeError] that shows the operands. A caller that builds graphs from data that it does
// not trust recovers from the panic. Whatever depends on the machine (memory, files, devices) is
// reported as an error instead.
//
// # Memory
//
// Tensors, graphs and buffers are C memory. Each belongs to the [Buffer], [Context], [Graph],
// [Scratch] or [Backend] that made it, whose owner closes it. The garbage collector frees none of
// it, and a [*Tensor] must not be used after its context or graph was closed.
package ggml

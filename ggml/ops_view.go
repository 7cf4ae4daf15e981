package ggml

import "fmt"

// The operations below compute nothing: their result is the memory of their operand in another
// shape. Strides and offsets are in bytes.

// View1D returns n0 elements of a from byte off on.
func (g *Graph) View1D(a *Tensor, n0, off int64) *Tensor {
	checkView("View1D", a, [4]int64{n0, 1, 1, 1}, [3]int64{}, off)
	return c.View1D(g.next("View1D"), a, n0, uintptr(off))
}

// View2D returns n1 rows of n0 elements of a from byte off, nb1 apart.
func (g *Graph) View2D(a *Tensor, n0, n1, nb1, off int64) *Tensor {
	checkView("View2D", a, [4]int64{n0, n1, 1, 1}, [3]int64{nb1}, off)
	return c.View2D(g.next("View2D"), a, n0, n1, uintptr(nb1), uintptr(off))
}

// View3D returns n2 matrices of n1 rows of n0 elements of a from byte off; rows are nb1 apart and
// matrices nb2.
func (g *Graph) View3D(a *Tensor, n0, n1, n2, nb1, nb2, off int64) *Tensor {
	checkView("View3D", a, [4]int64{n0, n1, n2, 1}, [3]int64{nb1, nb2}, off)
	return c.View3D(g.next("View3D"), a, n0, n1, n2, uintptr(nb1), uintptr(nb2), uintptr(off))
}

// View4D returns a view of a from byte off on: ne elements, of which those of dimension i+1 are nb[i]
// apart.
func (g *Graph) View4D(a *Tensor, ne [4]int64, nb [3]int64, off int64) *Tensor {
	checkView("View4D", a, ne, nb, off)
	return c.View4D(g.next("View4D"), a, ne[0], ne[1], ne[2], ne[3], uintptr(nb[0]), uintptr(nb[1]), uintptr(nb[2]), uintptr(off))
}

// checkView panics unless the view lies inside a.
func checkView(op string, a *Tensor, ne [4]int64, nb [3]int64, off int64) {
	present(op, a)
	view := fmt.Sprintf("%d with strides %d at offset %d", ne, nb, off)
	total := a.Bytes()
	for i, n := range ne {
		// An element of every dimension takes at least one byte, which bounds the products below.
		ok := n >= 1 && n <= total*a.typ.BlockSize()
		if i > 0 && n > 1 {
			ok = ok && nb[i-1] >= 1 && nb[i-1] <= total && n <= total/nb[i-1]+1
		}
		check(ok, op, "a view inside the tensor, not "+view+",", a)
	}
	size := a.typ.size()
	check(ne[0]%a.typ.BlockSize() == 0 && off >= 0 && off%size == 0 && nb[0]%size == 0 && nb[1]%size == 0 && nb[2]%size == 0, op,
		fmt.Sprintf("whole elements or blocks of %d, not %s,", a.typ.BlockSize(), view), a)
	last := ne[0] / a.typ.BlockSize() * size
	last += (ne[1]-1)*nb[0] + (ne[2]-1)*nb[1] + (ne[3]-1)*nb[2]
	check(last <= total && off <= total-last, op, "a view inside the tensor, not "+view+",", a)
	// When ggml checks a view's bounds, it assumes that the elements are packed.
	packed := size * (ne[0] / a.typ.BlockSize()) * ne[1] * ne[2] * ne[3]
	check(packed <= total-off, op, "a view whose elements do not overlap, not "+view+",", a)
	check(a.contiguousRows(), op, "rows without gaps", a)
}

// Reshape2D returns the elements of a, which is contiguous, as [n0, n1].
func (g *Graph) Reshape2D(a *Tensor, n0, n1 int64) *Tensor {
	checkReshape("Reshape2D", a, n0, n1, 1, 1)
	return c.Reshape2D(g.next("Reshape2D"), a, n0, n1)
}

// Reshape3D returns the elements of a, which is contiguous, as [n0, n1, n2].
func (g *Graph) Reshape3D(a *Tensor, n0, n1, n2 int64) *Tensor {
	checkReshape("Reshape3D", a, n0, n1, n2, 1)
	return c.Reshape3D(g.next("Reshape3D"), a, n0, n1, n2)
}

// Reshape4D returns the elements of a, which is contiguous, as [n0, n1, n2, n3].
func (g *Graph) Reshape4D(a *Tensor, n0, n1, n2, n3 int64) *Tensor {
	checkReshape("Reshape4D", a, n0, n1, n2, n3)
	return c.Reshape4D(g.next("Reshape4D"), a, n0, n1, n2, n3)
}

func checkReshape(op string, a *Tensor, n0, n1, n2, n3 int64) {
	present(op, a)
	want := fmt.Sprintf("contiguous elements that fill [%d %d %d %d]", n0, n1, n2, n3)
	n := a.Elements()
	fills := n0 >= 1 && n1 >= 1 && n2 >= 1 && n3 >= 1 && n0 <= n && n1 <= n/n0 && n2 <= n/n0/n1 && n3 <= n/n0/n1/n2 && n0*n1*n2*n3 == n
	check(fills, op, want, a)
	check(a.Contiguous() && n0%a.typ.BlockSize() == 0, op, want, a)
}

// Permute moves dimension i of a to dimension axi.
func (g *Graph) Permute(a *Tensor, ax0, ax1, ax2, ax3 int) *Tensor {
	present("Permute", a)
	var seen [4]bool
	for _, ax := range [4]int{ax0, ax1, ax2, ax3} {
		check(ax >= 0 && ax < 4 && !seen[ax], "Permute",
			fmt.Sprintf("each of 0 to 3 once, not %d %d %d %d,", ax0, ax1, ax2, ax3), a)
		seen[ax] = true
	}
	check(!a.typ.Quantized() || ax0 == 0, "Permute", "the rows of a quantized tensor to stay rows", a)
	return c.Permute(g.next("Permute"), a, int32(ax0), int32(ax1), int32(ax2), int32(ax3))
}

// Transpose exchanges dimensions 0 and 1 of a, which is not quantized.
func (g *Graph) Transpose(a *Tensor) *Tensor {
	present("Transpose", a)
	check(!a.typ.Quantized(), "Transpose", "a type that is not quantized", a)
	return c.Transpose(g.next("Transpose"), a)
}
